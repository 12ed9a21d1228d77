"""Every setting, with its unit, bounds and meaning. Environment: ``CLOSECAST_<NAME>``."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from closecast.settings.access import AccessSettings
from closecast.settings.env_file import EnvFile, usable
from closecast.settings.forecasts import ForecastSettings
from closecast.settings.logs import LogSettings
from closecast.settings.server import ServerSettings
from closecast.settings.sources import SourceSettings
from closecast.settings.spelling import OFF, as_meant
from closecast.settings.storage import StorageSettings
from closecast.settings.training import Occasion, TrainingSettings

__all__ = ["Occasion", "Settings", "as_environment", "describe", "get_settings"]

_USUAL_FILE = os.devnull
"""Stands for ``.env``: Pydantic's own reader, which takes UTF-8 only, finds nothing to read."""


class Settings(
    BaseSettings,
    LogSettings,
    TrainingSettings,
    ForecastSettings,
    SourceSettings,
    StorageSettings,
    AccessSettings,
    ServerSettings,
):
    """Read once at start from the environment (and from a file ``.env``).

    A variable that is empty counts as unset; ``off`` empties a setting of text.

    Raises
    ------
    UnreadableEnvFile
        If there is a file ``.env`` that cannot be read.
    """

    model_config = SettingsConfigDict(
        env_prefix="CLOSECAST_", env_file=_USUAL_FILE, extra="ignore", frozen=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file; each without what is empty."""
        assert isinstance(env_settings, EnvSettingsSource)
        assert isinstance(dotenv_settings, DotEnvSettingsSource)
        env_settings.env_vars = usable(env_settings.env_vars)
        if dotenv_settings.env_file is None:
            return init_settings, env_settings
        named = dotenv_settings.env_file
        return init_settings, env_settings, EnvFile(cls, ".env" if named == _USUAL_FILE else named)

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        return as_meant(value, cls.model_fields[info.field_name])

    @property
    def keys_path(self) -> Path:
        """Path of the file of the API keys."""
        return Path(self.api_keys_file) if self.api_keys_file else self.data_dir / "api_keys.json"


def as_environment(settings: Settings) -> dict[str, str]:
    """Variables that give another process the same settings, whatever its file ``.env`` holds."""
    return {
        f"CLOSECAST_{name.upper()}": str(value) or OFF
        for name, value in settings.model_dump().items()
    }


def describe(error: ValidationError) -> str:
    """Settings that cannot work, in one line."""
    problems = "; ".join(
        f"CLOSECAST_{str(item['loc'][0]).upper()}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
    )
    return f"a setting cannot work: {problems}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read from the environment at the first call."""
    return Settings()
