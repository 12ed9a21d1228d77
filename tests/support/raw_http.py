"""Bytes to a server and back, without a client that would put them right."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

PATIENCE_S = 60.0
"""Only a server that stands still makes this pass."""


def connect(port: int) -> socket.socket:
    """A connection to 127.0.0.1."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def until_closed(connection: socket.socket) -> bytes:
    """All that arrives until the server closes."""
    received = b""
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            received += part
    return received


def exchange(port: int, *pieces: bytes) -> bytes:
    """Send pieces, and receive all until the server closes."""
    with connect(port) as connection:
        with suppress(ConnectionError):  # closed before all was sent: the answer tells why
            for piece in pieces:
                connection.sendall(piece)
        return until_closed(connection)


def send_without_end(connection: socket.socket, piece: bytes) -> int:
    """Send until the server takes no more; answer how many bytes it took.

    Raises
    ------
    AssertionError
        If it took more than 64 MB.
    """
    sent = 0
    with suppress(ConnectionError):
        while sent < 64_000_000:
            connection.sendall(piece)
            sent += len(piece)
    assert sent < 64_000_000, "a server that takes everything"
    return sent


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """A request with a Host header."""
    lines = [f"{line} HTTP/1.1", "host: 127.0.0.1", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def statuses(answers: bytes) -> list[int]:
    """Status codes of answers, in order."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


def first_answer(connection: socket.socket, whole: Callable[[bytes], bool]) -> bytes:
    """What arrives until it is whole."""
    received = b""
    while not whole(received):
        part = connection.recv(65_536)
        if not part:
            break
        received += part
    return received
