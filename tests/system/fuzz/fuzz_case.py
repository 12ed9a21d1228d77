"""One request, as bytes, and how to send it again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import unquote

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class FuzzCase:
    """A request.

    Attributes
    ----------
    target : bytes
        Path and query as they are sent: ASCII.
    headers : tuple of (bytes, bytes)
        Names in lower case; without ``content-length``.
    client : str
        Address that it comes from; over a socket it is 127.0.0.1 whatever this says.
    """

    method: str
    target: bytes
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    client: str = "127.0.0.1"

    @property
    def path(self) -> str:
        """As a server decodes it."""
        return unquote(self.target.partition(b"?")[0].decode("ascii"))

    @property
    def query(self) -> bytes:
        """Without the question mark."""
        return self.target.partition(b"?")[2]

    def header(self, name: bytes) -> bytes | None:
        """The first one of a name."""
        return next((value for other, value in self.headers if other == name), None)

    def with_body(self, body: bytes) -> Self:
        """The same with another body."""
        return replace(self, body=body)

    def as_curl(self, port: int = 8000) -> str:
        """A command line of bash that sends it to a service on this machine."""
        parts = ["curl", "-sg", "--path-as-is", "-X", self.method]
        for name, value in self.headers:
            text = f"{name.decode('latin-1')}: {value.decode('latin-1')}"
            parts += ["-H", f"{text[:-1]};" if not value else text]
        if self.body:
            parts += ["--data-binary", "@-"]
        parts.append(f"http://127.0.0.1:{port}{self.target.decode('ascii')}")
        command = shlex.join(parts)
        if not self.body:
            return command
        octal = "".join(
            chr(byte) if 32 <= byte < 127 and byte not in b"'\\%" else f"\\{byte:03o}"
            for byte in self.body
        )
        return f"printf '{octal}' | {command}"
