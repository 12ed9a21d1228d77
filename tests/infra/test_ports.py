"""The port that is served on: taken or not, and shared by several processes."""

from __future__ import annotations

import multiprocessing.connection
import pickle
import socket
import sys
from multiprocessing.reduction import ForkingPickler

import pytest

from closecast.errors import BadSetting
from closecast.infra.ports import check_port_is_free, port_of_several

linux = pytest.mark.skipif(sys.platform != "linux", reason="not every kernel shares out")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def as_a_process_gets_it(port: socket.socket) -> socket.socket:
    found = pickle.loads(bytes(ForkingPickler.dumps(port)))
    assert isinstance(found, socket.socket)
    return found


def test_a_port_that_somebody_listens_on_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BadSetting, match=f"127.0.0.1:{port} is taken by another program"):
            check_port_is_free("127.0.0.1", port)
    check_port_is_free("127.0.0.1", port)


def test_an_address_of_another_machine_cannot_be_bound() -> None:
    with pytest.raises(BadSetting, match="cannot be bound"):
        check_port_is_free("192.0.2.1", 8000)


@linux
def test_connections_that_come_at_once_are_shared_out() -> None:
    port = free_port()
    with port_of_several("127.0.0.1", port) as shared:
        listeners = [as_a_process_gets_it(shared) for _ in range(2)]
        for one in listeners:
            one.listen()
            one.setblocking(False)
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
        counts = []
        for one in listeners:
            accepted = []
            try:
                while True:
                    accepted.append(one.accept()[0])
            except BlockingIOError:
                counts.append(len(accepted))
            for connection in accepted:
                connection.close()
        for opened in (*clients, *listeners):
            opened.close()
    assert sum(counts) == 64
    assert min(counts) >= 8  # by chance once in 10^9 runs


@linux
def test_two_services_do_not_share_a_port() -> None:
    port = free_port()
    with (
        port_of_several("127.0.0.1", port),
        pytest.raises(BadSetting, match="is taken"),
        port_of_several("127.0.0.1", port),
    ):
        raise AssertionError
    with port_of_several("127.0.0.1", port):
        pass


@linux
def test_two_addresses_of_one_machine_have_each_a_port_of_that_number() -> None:
    port = free_port()
    with port_of_several("127.0.0.1", port), port_of_several("127.0.0.2", port):
        pass


@linux
def test_nobody_else_binds_it_before_one_listens() -> None:
    port = free_port()
    with port_of_several("127.0.0.1", port) as shared:
        with pytest.raises(BadSetting, match="is taken"):
            check_port_is_free("127.0.0.1", port)
        with pytest.raises(BadSetting, match="is taken"), port_of_several("localhost", port):
            raise AssertionError
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))
        with as_a_process_gets_it(shared) as listener:
            listener.listen()


@linux
def test_a_port_of_several_is_taken_once_one_listens() -> None:
    port = free_port()
    with port_of_several("127.0.0.1", port) as shared, as_a_process_gets_it(shared) as listener:
        listener.listen()
        with pytest.raises(BadSetting, match="is taken"):
            check_port_is_free("127.0.0.1", port)


@linux
def test_a_process_that_is_spawned_listens_by_itself() -> None:
    port = free_port()
    with port_of_several("127.0.0.1", port) as shared:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=answer_once, args=(shared, theirs)
        )
        process.start()
        assert ours.recv() == "listening"
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert client.recv(2) == b"ok"
        process.join()


def answer_once(port: socket.socket, parent: multiprocessing.connection.Connection) -> None:
    port.listen()
    parent.send("listening")
    connection, _ = port.accept()
    connection.sendall(b"ok")
    connection.close()
