"""Names of processes: none is taken for another, on this machine or on one that looks like it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from closecast.infra import processes as owners


def named(place: str | None = None, pid: int | None = None, start: str | None = None) -> str:
    """This process's name with some of it changed."""
    here, own_pid, own_start = owners.owner_name().rsplit(":", 2)
    return f"{place or here}:{pid or own_pid}:{start or own_start}"


def test_a_process_knows_itself() -> None:
    me = owners.owner_name()
    assert owners.is_alive(me) is True
    assert named() == me
    assert owners.place_of(me) == owners.place()
    assert owners.host_of(me) == owners.place().partition("/")[0]


def test_a_number_that_was_given_to_another_process_is_not_the_first_one() -> None:
    assert owners.is_alive(named(start="1")) is False
    assert owners.is_alive(named(pid=999_999_999)) is False


@pytest.mark.parametrize("place", ["elsewhere", "elsewhere/0b1c2d3e-4026531836"])
def test_of_another_machine_nothing_is_known(place: str) -> None:
    assert owners.is_alive(named(place)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are of Linux")
def test_of_a_container_with_the_same_host_name_nothing_is_known() -> None:
    host, _, rest = owners.place().partition("/")
    boot, _, namespace = rest.partition("-")
    assert owners.is_alive(named(f"{host}/{boot}-{int(namespace) + 1}")) is None
    assert owners.is_alive(named(f"{host}/ffffffff-{namespace}")) is None
    assert owners.is_alive(named(host)) is None  # as named before there were containers


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no such file is read")
@pytest.mark.parametrize("error", [FileNotFoundError, ProcessLookupError])
def test_a_process_that_ends_while_it_is_looked_at_is_dead(
    monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    me = owners.owner_name()

    def gone(_: Path) -> str:
        raise error

    monkeypatch.setattr(Path, "read_text", gone)
    assert owners.is_alive(me) is False


def test_an_ended_process_is_dead() -> None:
    program = "from closecast.infra.processes import owner_name; print(owner_name())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert owners.is_alive(done.stdout.strip()) is False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's death")
@pytest.mark.parametrize("parent", ["os.getppid()", "1"])
def test_a_child_ends_with_its_parent_also_if_that_is_gone_already(parent: str) -> None:
    child = (
        "import os, signal, time; from closecast.infra.processes import die_with_parent;"
        f"die_with_parent({parent}, signal.SIGTERM); print('lives', flush=True); time.sleep(600)"
    )
    program = (
        "import os, subprocess, sys;"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE);"
        "child.stdout.read(5); print(child.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    # The pipes of the dead are closed: this returns only once the child is gone, too.
    assert int(done.stdout) > 0
