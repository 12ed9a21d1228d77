"""Every setting, with its unit, bounds and meaning. Environment: ``CLOSECAST_<NAME>``."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from closecast.settings.access import AccessSettings
from closecast.settings.forecasts import ForecastSettings
from closecast.settings.logs import LogSettings
from closecast.settings.server import ServerSettings
from closecast.settings.sources import SourceSettings
from closecast.settings.storage import StorageSettings
from closecast.settings.training import Occasion, TrainingSettings

__all__ = ["Occasion", "Settings", "describe", "get_settings"]


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
    """Read once at start from the environment (and from a file ``.env``)."""

    model_config = SettingsConfigDict(
        env_prefix="CLOSECAST_", env_file=".env", extra="ignore", frozen=True
    )

    @property
    def keys_path(self) -> Path:
        """Path of the file of the API keys."""
        return Path(self.api_keys_file) if self.api_keys_file else self.data_dir / "api_keys.json"


def describe(error: ValidationError) -> str:
    """Settings that cannot work, in one line."""
    problems = "; ".join(
        f"CLOSECAST_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()
    )
    return f"a setting cannot work: {problems}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read from the environment at the first call."""
    return Settings()
