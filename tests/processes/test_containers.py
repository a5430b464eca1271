"""A container that is restarted: what its process had goes on at once, with proof of its death (F2).

The worker runs in PID namespaces of its own, as in a container with the folder of the log mounted. So
nobody outside knows its process id, nor it theirs; what proves its death is the lock beside the log.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

import eventlog
from eventlog import Finalizer, Log, Message, Summary, SummaryRequest, Worker
from eventlog.engine.owner import fate_of, this_process
from eventlog.presence import KEPT_SECONDS, Presence
from eventlog.session.tasks.events import OwnerData, TaskClaimed

CONTAINED = Path(__file__).with_name("contained.py")
NEW_CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def summarize(request: SummaryRequest) -> Summary:
    return Summary(overview="# done", abstract="done")


def has_namespaces() -> bool:
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run([*NEW_CONTAINER, "true"], check=False, capture_output=True).returncode == 0
    )


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["sqlite:///log.db", "files:///log?writers=many"], ids=["sqlite", "files"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log(url: str) -> Generator[Log]:
    with eventlog.open(url) as opened:
        session = opened.session("s", create=True)
        session.append(Message.user("hello"))
        session.commit()
        yield opened


def owner_of(log: Log) -> OwnerData:
    (claimed,) = [each.event for each in log.read("s") if each.type == "task_claimed"]
    assert isinstance(claimed, TaskClaimed)
    return claimed.owner


def elsewhere(owner: OwnerData) -> OwnerData:
    """Return an owner as another container would have recorded it."""
    return {**owner, "host": "elsewhere", "boot": "another", "pid": 1}


@contextmanager
def container(url: str) -> Generator[subprocess.Popen[str]]:
    """Run the worker in PID namespaces of its own until it has claimed the task."""
    if not has_namespaces():
        pytest.skip("NOT TESTED: no namespaces of process ids here (not root, or no unshare)")
    process = subprocess.Popen(
        [*NEW_CONTAINER, sys.executable, str(CONTAINED), url],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "claimed"
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill the container, as `docker kill` would: its first process, and with it all others."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


def until_it_is_gone(owner: OwnerData, log: Log) -> None:
    """Wait for the kernel to let go of a killed process' locks."""
    end = time.monotonic() + 60
    while fate_of(owner, log.store) != "gone":
        assert time.monotonic() < end


# ---- with real namespaces ---------------------------------------------------------------------


def test_a_task_of_a_killed_container_goes_on_at_once(log: Log, url: str) -> None:
    with container(url) as worker:
        owner = owner_of(log)
        assert owner["pid"] < 100, "a process id of a namespace of its own"
        assert fate_of(owner, log.store) == "alive"
        assert Worker(log, Finalizer(summarize)).run_once() == 0, "it lives, so it is waited for"

        kill(worker)
        killed = time.monotonic()
        until_it_is_gone(owner, log)
        assert Worker(log, Finalizer(summarize)).run_once() == 1
        took = time.monotonic() - killed

    (task,) = log.tasks()
    assert (task.state, task.attempts) == ("completed", 2)
    print(f"a task of a killed container went on after {took:.3f} s, of a lease of 300 s")


def test_a_turn_of_a_killed_container_is_begun_again_at_once(log: Log, url: str) -> None:
    if not has_namespaces():
        pytest.skip("NOT TESTED: no namespaces of process ids here (not root, or no unshare)")
    program = (
        "import os, sys, eventlog\n"
        "log = eventlog.open(sys.argv[1])\n"
        "with log.session('t', create=True).turn('turn-1') as turn:\n"
        "    turn.append({'role': 'user', 'content': 'hello'})\n"
        "    os._exit(9)\n"
    )
    subprocess.run([*NEW_CONTAINER, sys.executable, "-c", program, url], check=False)

    session = log.session("t")
    with session.turn("turn-1") as turn:
        assert turn.attempt == 2
        turn.append({"role": "user", "content": "hello"})

    assert [message.text for message in session.tail()] == ["hello"]


# ---- what proves, and what does not -----------------------------------------------------------


def test_the_lock_of_a_process_that_lives_proves_its_life(log: Log, url: str) -> None:
    owner = elsewhere(this_process(log.store))

    with eventlog.open(url) as other:
        assert fate_of(owner, other.store) == "alive"
        log.close()
        assert fate_of(owner, other.store) == "unknown", "closed in order: the file is removed"


def dead_presence(path: Path) -> str:
    """Return the presence of a process that was killed."""
    program = (
        "import os, sys\n"
        "from eventlog.presence import Presence\n"
        "presence = Presence(sys.argv[1])\n"
        "print(presence.name(), flush=True)\n"
        "os._exit(9)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def test_a_file_without_its_lock_proves_death_to_everybody(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    name = dead_presence(path)
    first, second = Presence(str(path)), Presence(str(path))

    assert [first.is_gone(name), second.is_gone(name), first.is_gone(name)] == [True] * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda boot, device, inode, drawn: f"another-boot/{device}/{inode}/{drawn}",
        lambda boot, device, inode, drawn: f"{boot}/1/{inode}/{drawn}",
        lambda boot, device, inode, drawn: f"{boot}/{device}/1/{drawn}",
        lambda boot, device, inode, drawn: f"{boot}/{device}/{inode}/0000000000000000",
        lambda boot, device, inode, drawn: f"{boot}/{device}/{inode}/../../etc/passwd",
        lambda boot, device, inode, drawn: f"{boot}/{device}/{inode}",
        lambda boot, device, inode, drawn: "",
        lambda boot, device, inode, drawn: f"{boot}/{device}/{inode}/\x00",
    ],
    ids=["boot", "device", "inode", "missing", "path", "short", "empty", "NUL"],
)
def test_anything_that_differs_proves_nothing(tmp_path: Path, change: Callable[..., str]) -> None:
    path = tmp_path / "log.db"
    path.touch()
    name = dead_presence(path)
    assert Presence(str(path)).is_gone(change(*name.split("/"))) is None


def test_on_a_network_file_system_nothing_is_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.db"
    path.touch()
    name = dead_presence(path)
    monkeypatch.setattr("eventlog.presence._kind_of_file_system", lambda folder: "nfs4")

    assert Presence(str(path)).name() is None
    assert Presence(str(path)).is_gone(name) is None
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    name = dead_presence(path)
    (found,) = tmp_path.glob("log.db-owner-*")
    found.rename(tmp_path / "elsewhere")
    found.symlink_to(tmp_path / "elsewhere")

    assert Presence(str(path)).is_gone(name) is None


def test_a_forked_child_does_not_keep_its_parent_alive(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    program = (
        "import os, sys\n"
        "from eventlog.presence import Presence\n"
        "presence = Presence(sys.argv[1])\n"
        "print(presence.name(), flush=True)\n"
        "if os.fork():\n"
        "    os._exit(9)\n"
        "assert presence.is_gone(presence.name()) is False\n"
        "print(presence.name(), flush=True)\n"
        "sys.stdin.read()\n"
        "os._exit(0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        parent, child = (process.stdout.readline().strip() for _ in range(2))
        process.wait(60)
        presence = Presence(str(path))
        assert presence.is_gone(parent) is True
        assert presence.is_gone(child) is False
        process.communicate("")


def test_files_of_processes_that_ended_long_ago_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    for _ in range(2):
        dead_presence(path)
    old, new = sorted(tmp_path.glob("log.db-owner-*"))
    long_ago = time.time() - KEPT_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    (tmp_path / "log.db-owner-notes.txt").touch()
    os.utime(tmp_path / "log.db-owner-notes.txt", (long_ago, long_ago))

    presence = Presence(str(path))
    assert presence.name()

    assert not old.exists()
    assert new.exists()
    assert (tmp_path / "log.db-owner-notes.txt").exists()
    presence.end()
    presence.end()
    assert sorted(tmp_path.glob("log.db-owner-*")) == [new, tmp_path / "log.db-owner-notes.txt"]


def test_a_reader_makes_no_file(log: Log, tmp_path: Path) -> None:
    log.session("s").tail()
    list(log.tasks())
    log.health()

    assert list(tmp_path.glob("log*-owner-*")) == []


def test_work_says_what_it_waits_for_and_until_when(log: Log, url: str) -> None:
    """F2: without a proof the lease has to end."""
    from eventlog.log import engine_of
    from eventlog.session.tasks.commands import ClaimTask

    engine = engine_of(log)
    (task,) = log.tasks()
    nobody = OwnerData(host="elsewhere", boot="another", pid=7, started="1")
    claim = ClaimTask(task.task_id, "w", nobody, 300_000_000, attempts=3)
    engine.execute(engine.core("s"), claim)
    command = [sys.executable, "-m", "eventlog", "--store", url, "work", "--once"]

    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert re.search(
        rf"waiting for the task {task.task_id} of s: process 7 on elsewhere has it, .* it is free at "
        r"\d{4}-\d\d-\d\dT[\d:.]+Z at the latest",
        line,
    )
