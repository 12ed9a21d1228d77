"""The port that is served on: taken or not, shared by several processes, handed over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from closecast.errors import BadSetting
from closecast.infra.ports import listening_socket


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_on_which_another_program_listens_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BadSetting, match=f"127.0.0.1:{port} is taken by another program"):
            listening_socket("127.0.0.1", port)
    listening_socket("127.0.0.1", port).close()


def test_an_address_of_another_machine_cannot_be_bound() -> None:
    with pytest.raises(BadSetting, match="cannot be bound"):
        listening_socket("192.0.2.1", 8000)


def test_no_other_service_binds_it_before_one_listens() -> None:
    port = free_port()
    with listening_socket("127.0.0.1", port):
        with pytest.raises(BadSetting, match="is taken"):
            listening_socket("127.0.0.1", port)
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))


def test_two_addresses_of_one_machine_have_each_a_port_of_that_number() -> None:
    port = free_port()
    with listening_socket("127.0.0.1", port), listening_socket("127.0.0.2", port):
        pass


def test_a_service_that_has_ended_leaves_its_port_to_the_next_one() -> None:
    port = free_port()
    with listening_socket("127.0.0.1", port) as listener:
        with pytest.raises(BadSetting, match="is taken"):
            listening_socket("127.0.0.1", port)
        client = socket.create_connection(("127.0.0.1", port))
        listener.accept()[0].close()  # first, so that its end is the one that is remembered
        client.close()
    with listening_socket("127.0.0.1", port) as listener:
        client = socket.create_connection(("127.0.0.1", port))  # it listens, and is not only bound
        listener.accept()[0].close()
        client.close()


def test_a_killed_service_leaves_its_port_to_the_next_one_while_a_caller_holds_on() -> None:
    port = free_port()
    listener = listening_socket("127.0.0.1", port)
    with socket.create_connection(("127.0.0.1", port)) as caller:
        accepted, _ = listener.accept()
        accepted.close()
        listener.close()
        with listening_socket("127.0.0.1", port), socket.create_connection(("127.0.0.1", port)):
            caller.recv(1)  # the end of the connection to the service before


def test_a_socket_that_is_meant_for_another_process_is_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    port = free_port()
    with listening_socket("127.0.0.1", port) as bound:
        assert bound.getsockname()[1] == port
    assert "LISTEN_PID" not in os.environ


_BECOMES_ANOTHER = """
import os, socket, sys
from closecast.infra.ports import hand_over, listening_socket
listener = listening_socket("127.0.0.1", int(sys.argv[1]))
if "again" in sys.argv:
    print(os.getpid(), flush=True)
    listener.accept()[0].sendall(b"ok")
else:
    early = socket.create_connection(listener.getsockname())
    os.set_inheritable(early.fileno(), True)
    print(os.getpid(), flush=True)
    hand_over(listener)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "again"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no process becomes another one there")
def test_a_process_that_becomes_another_program_hands_its_connections_over() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BECOMES_ANOTHER, str(free_port())],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert first == second
