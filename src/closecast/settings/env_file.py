"""Where values of settings come from: the environment, and a file ``.env`` as people have it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic_settings import BaseSettings, DotEnvSettingsSource
from pydantic_settings.sources.types import DotenvType

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://\S+")


class UnreadableEnvFile(OSError):
    """A file ``.env`` that is there and cannot be read."""


def usable(variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """Variables without empty ones, and without those that Kubernetes makes of a service's name.

    A service named ``closecast`` gives every pod beside it ``CLOSECAST_PORT=tcp://10.0.0.1:8000``.

    >>> usable({"closecast_host": "", "closecast_port": "tcp://10.0.0.1:80"})
    {}
    """
    return {
        name: value
        for name, value in variables.items()
        if value is not None
        and value.strip()
        and not (name.lower() == "closecast_port" and is_service_link(value))
    }


def is_service_link(value: str) -> bool:
    """True for the value of a variable that Kubernetes makes for a service."""
    return _SERVICE_LINK.fullmatch(value.strip()) is not None


def read_env_file(path: Path) -> tuple[dict[str, str | None], str]:
    """The variables of a file, and the name of its encoding.

    Editors of Windows write UTF-8 with a byte order mark, UTF-16, or the local code page; a file
    that is not UTF-8 and has no mark is read as Windows-1252.

    Raises
    ------
    UnreadableEnvFile
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableEnvFile(
            f"the file {path} cannot be read ({error.strerror or error}): mend its permissions, "
            "or remove it"
        ) from error
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        encoding = "windows-1252"
        text = content.decode(encoding, errors="replace")
    return dotenv_values(stream=StringIO(text.replace("\r\n", "\n"))), encoding


class EnvFile(DotEnvSettingsSource):
    """The settings of a file ``.env``, in any of the encodings that editors write."""

    def __init__(self, settings: type[BaseSettings], file: DotenvType) -> None:
        super().__init__(settings, env_file=file, env_ignore_empty=True)
        self.env_vars = usable(self.env_vars)

    @staticmethod
    def _static_read_env_file(file_path: Path, **_options: Any) -> Mapping[str, str | None]:
        values, _ = read_env_file(file_path)
        return {name.lower(): value for name, value in values.items()}
