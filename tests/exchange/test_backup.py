"""Backups: the log in one file as it was at one moment, whole or not at all (U2, G8)."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

import eventlog
from eventlog import Finalizer, InvalidArgument, Log, Message, Worker
from eventlog.audit.index_check import compare_index
from eventlog.errors import EventLogError, FolderUnavailable, LogClosed, StoreUnavailable
from eventlog.exchange import backup as backing_up
from eventlog.stores.sqlite import backup as pages

STORES = ("memory:", "sqlite:///log.db", "files:///log")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of each test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=STORES)
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    with eventlog.open(request.param) as opened:
        fill(opened)
        yield opened


def fill(log: Log, messages: int = 5) -> None:
    """Write two sessions, one with an archive and a large output."""
    for name in ("a", "b/c"):
        session = log.session(name, create=True, owner="ada")
        session.extend([Message.user(f"{number} of {name}") for number in range(messages)])
    session.append(Message.tool("t-1", "line\n" * 10_000, id="large"))
    session.commit(keep_recent=1)
    Worker(log, Finalizer()).run_once()


def identities(log: Log) -> list[tuple[str, int, bytes, bytes]]:
    return [(each.stream, each.version, each.event_id, each.hash) for each in log.store.read_all()]


def assert_sound(log: Log) -> None:
    """Assert that nothing is wrong with a log, its index or its file."""
    for session in log.sessions():
        assert log.verify(session) == []
    assert list(compare_index(log.store)) == []
    assert log.store.check() == []


def read_whole(url: str) -> None:
    with eventlog.open(url) as log:
        assert_sound(log)
        identities(log)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".new" in path.name]


# ---- what is in it ----------------------------------------------------------------------------


def test_a_backup_of_any_store_is_the_same_log_in_one_file(log: Log, folder: Path) -> None:
    report = log.backup("backup.db")

    with eventlog.open("sqlite:///backup.db") as copy:
        assert identities(copy) == identities(log)
        assert copy.session("b/c").history(hydrate=True) == log.session("b/c").history(hydrate=True)
        assert list(copy.sessions(owner="ada")) == list(log.sessions(owner="ada"))
        assert_sound(copy)
    assert (report.sessions, report.records) == (2, len(identities(log)))
    assert report.path == "backup.db"
    assert leftovers(folder) == []


def test_a_restored_log_goes_on_and_can_be_copied_into_another_store(log: Log) -> None:
    from eventlog.exchange.copying import copy_log

    log.backup("backup.db")

    with eventlog.open("sqlite:///backup.db") as copy, eventlog.open("files:///other") as other:
        copy.session("a").append(Message.user("after the restore"))
        copy_log(copy.store, other.store, verify=True)
        assert identities(other) == identities(copy)
        assert_sound(other)


def test_a_backup_is_another_log_to_those_who_follow(log: Log) -> None:
    checkpoint = log.checkpoint()
    report = log.backup("backup.db")

    with eventlog.open("sqlite:///backup.db") as copy:
        assert copy.checkpoint().split("/")[0] == report.log_id != checkpoint.split("/")[0]
        with pytest.raises(InvalidArgument, match="belongs to the log"):
            next(copy.follow(after=checkpoint))


def test_two_backups_are_two_logs(log: Log) -> None:
    assert log.backup("one.db").log_id != log.backup("two.db").log_id


def test_a_log_without_events_has_a_backup() -> None:
    with eventlog.open("memory:") as log:
        report = log.backup("backup.db")
    assert (report.sessions, report.records) == (0, 0)
    with eventlog.open("sqlite:///backup.db?mode=ro") as copy:
        assert list(copy.sessions()) == []


def test_the_asynchronous_face_backs_up_as_well() -> None:
    async def run() -> int:
        async with eventlog.open_async("sqlite:///log.db") as log:
            session = await log.session("s", create=True)
            await session.append(Message.user("hello"))
            return (await log.backup("backup.db")).records

    assert asyncio.run(run()) == 2


def test_names_that_urls_would_misread_are_taken_as_they_are(log: Log, folder: Path) -> None:
    log.backup("a ü?mode=ro#%41.db")

    assert (folder / "a ü?mode=ro#%41.db").is_file()


@pytest.mark.parametrize("url", STORES[1:])
def test_a_backup_is_as_private_as_the_log(url: str, folder: Path) -> None:
    folder.chmod(0o755)
    with eventlog.open(f"{url}?permissions=0600") as log:
        fill(log)
        log.backup("backup.db")

    assert (folder / "backup.db").stat().st_mode & 0o777 == 0o600


def test_a_closed_log_has_no_backup(folder: Path) -> None:
    for url in STORES:
        log = eventlog.open(url)
        log.close()
        with pytest.raises(LogClosed):
            log.backup("backup.db")
    assert not (folder / "backup.db").exists()
    assert leftovers(folder) == []


def test_a_log_is_no_backup_of_itself(folder: Path) -> None:
    with eventlog.open("sqlite:///log.db") as log:
        fill(log)
        with pytest.raises(InvalidArgument, match="is there already"):
            log.backup("log.db")
        assert_sound(log)


# ---- under load -------------------------------------------------------------------------------


@pytest.mark.parametrize("url", STORES)
def test_under_load_a_backup_is_what_the_log_was_at_one_moment(url: str) -> None:
    """All that was acknowledged before is in it, and no event without those before it."""
    done = Event()
    written: list[list[str]] = [[] for _ in range(6)]

    def write(log: Log, number: int) -> None:
        session = log.session(f"writer-{number}", create=True)
        while not done.is_set():
            written[number].append(session.append(Message.user("x" * 400)).id)
            if len(written[number]) % 7 == 0:
                session.commit(keep_recent=1)

    with eventlog.open(url) as log, ThreadPoolExecutor(6) as pool:
        fill(log, 400)
        writers = [pool.submit(write, log, number) for number in range(6)]
        try:
            while min(map(len, written)) < 10:
                assert not any(writer.done() for writer in writers)
            before = [list(ids) for ids in written]
            report = log.backup("backup.db")
            after = len(identities(log))
        finally:
            done.set()
        for writer in writers:
            writer.result()
        whole = identities(log)

    with eventlog.open("sqlite:///backup.db") as copy:
        assert identities(copy) == whole[: report.records]
        assert report.records <= after
        for number, ids in enumerate(before):
            history = [message.id for message in copy.session(f"writer-{number}").history()]
            assert history[: len(ids)] == ids
        assert_sound(copy)


# ---- what goes wrong --------------------------------------------------------------------------


def test_a_file_that_is_there_is_never_overwritten(log: Log, folder: Path) -> None:
    (folder / "backup.db").write_text("precious")
    with pytest.raises(InvalidArgument, match="is there already"):
        log.backup("backup.db")
    assert (folder / "backup.db").read_text() == "precious"

    (folder / "link.db").symlink_to("nowhere")
    with pytest.raises(InvalidArgument, match="is there already"):
        log.backup("link.db")
    assert leftovers(folder) == []


@pytest.mark.parametrize("links", [True, False])
def test_nor_is_one_that_appears_meanwhile(
    log: Log, folder: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the file system has no hard links."""
    if not links:

        def refuse(path: Path, target: str) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
        log.backup("other.db")
        assert (folder / "other.db").is_file()

    with pytest.raises(InvalidArgument, match="is there already"):
        log.backup(
            "backup.db", advance=lambda done, total: (folder / "backup.db").write_text("precious")
        )

    assert (folder / "backup.db").read_text() == "precious"
    assert leftovers(folder) == []


def test_a_folder_that_is_not_there_is_named(log: Log) -> None:
    with pytest.raises(FolderUnavailable, match="nowhere"):
        log.backup("nowhere/backup.db")


@contextmanager
def files_up_to(size: int) -> Generator[None]:
    """Let no file of this process grow beyond a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("url", STORES)
def test_a_full_disk_leaves_nothing_and_harms_nothing(url: str, folder: Path) -> None:
    with eventlog.open(url) as log:
        fill(log, 1_000)
        whole = identities(log)

        with files_up_to(100_000), pytest.raises((StoreUnavailable, FolderUnavailable)) as caught:
            log.backup("backup.db")

        assert "backup.db" in str(caught.value)
        assert not (folder / "backup.db").exists()
        assert leftovers(folder) == []
        assert identities(log) == whole
        log.backup("backup.db")
        assert (folder / "backup.db").exists()


KILLED = """
import os, signal, sys
import eventlog
from eventlog.stores.sqlite import backup

backup.PAGES = 1

def advance(done, total):
    if done * 2 > total:
        os.kill(os.getpid(), signal.SIGKILL)

eventlog.open("sqlite:///log.db").backup("backup.db", advance=advance)
"""


def test_a_process_that_is_killed_half_way_leaves_no_file_that_looks_whole(folder: Path) -> None:
    with eventlog.open("sqlite:///log.db") as log:
        fill(log, 500)
        whole = identities(log)

    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=folder, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "backup.db").exists()
    (left,) = leftovers(folder)
    with pytest.raises(EventLogError):
        read_whole(f"sqlite:///{left}?mode=ro")
    with eventlog.open("sqlite:///log.db") as log:
        assert identities(log) == whole
        log.backup("backup.db")


def test_ctrl_c_gives_a_backup_up_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = Event()
    monkeypatch.setattr(pages, "PAGES", 1)
    give_up = backing_up.Backup.give_up

    def note(backup: backing_up.Backup) -> None:
        give_up(backup)
        given_up.set()

    def interrupt(done: int, total: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert given_up.wait(60)

    monkeypatch.setattr(backing_up.Backup, "give_up", note)
    with eventlog.open("sqlite:///log.db") as log:
        fill(log)
        with pytest.raises(KeyboardInterrupt):
            log.backup("backup.db", advance=interrupt)

        assert not (folder / "backup.db").exists()
        assert leftovers(folder) == []
        log.session("a").append(Message.user("the log goes on"))
