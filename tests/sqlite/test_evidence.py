"""A SQLite log that must not change (U3): read-only, with and without what SQLite needs beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import eventlog
from eventlog import Message
from eventlog.errors import EventLogError, InvalidArgument, StoreUnavailable, UnsupportedStore

KILLED = (
    "import os, sys, eventlog\n"
    "from eventlog import Message\n"
    "session = eventlog.open(f'sqlite:///{sys.argv[1]}').session('s', create=True)\n"
    "for number in range(20):\n"
    "    session.append(Message.user(str(number)))\n"
    "session.commit(keep_recent=5)\n"
    "os._exit(9)\n"
)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a process that was killed: the WAL holds everything, and its -shm is there."""
    found = tmp_path / "evidence"
    found.mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, str(found / "log.db")], check=False)
    assert done.returncode == 9
    assert {path.name for path in found.iterdir()} == {"log.db", "log.db-wal", "log.db-shm"}
    return found


def read(folder: Path) -> str:
    """Read everything through every way of reading; return how the file was opened."""
    with eventlog.open(f"sqlite:///{folder}/log.db?mode=ro") as log:
        session = log.session("s")
        assert session.version == 23
        assert len(session.tail()) == 5
        assert log.verify("s") == []
        assert list(log.sessions()) == ["s"]
        assert len(list(log.read_all())) == 23
        assert session.at(version=7).meta.message_count == 6
        assert len(list(log.tasks())) == 1
        log.bundle(["s"], folder.parent / f"{os.urandom(4).hex()}.zip")
        with pytest.raises(UnsupportedStore, match="mode=ro"):
            session.append(Message.user("more"))
        with pytest.raises(UnsupportedStore, match="mode=ro"):
            log.store.put_blob("k", b"")
        return log.store.settings()["opened"]


def test_evidence_of_a_killed_process_is_read_with_its_shm(folder: Path) -> None:
    before = files_of(folder)
    assert "-shm beside it" in read(folder)
    after = files_of(folder)
    # SQLite may use the shared memory, which holds nothing of the log.
    assert {**after, "log.db-shm": b""} == {**before, "log.db-shm": b""}


def test_evidence_without_its_shm_is_read_from_a_private_copy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "log.db-shm").unlink()
    before = files_of(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(folder.parent))
    assert "private copy" in read(folder)
    assert files_of(folder) == before
    assert [path for path in folder.parent.iterdir() if "evidence-" in path.name] == []


def test_a_file_alone_is_read_and_nothing_made_beside_it(folder: Path) -> None:
    with eventlog.open(f"sqlite:///{folder}/log.db"):
        pass
    assert {path.name for path in folder.iterdir()} == {"log.db"}
    before = files_of(folder)
    assert "nobody writes" in read(folder)
    assert files_of(folder) == before


def test_a_folder_and_file_that_cannot_be_written_are_read(folder: Path) -> None:
    with eventlog.open(f"sqlite:///{folder}/log.db"):
        pass
    for path in (*folder.iterdir(), folder):
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        assert read(folder)
    finally:
        folder.chmod(0o700)


def test_what_another_process_writes_meanwhile_is_seen(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    with eventlog.open(url) as log, eventlog.open(f"{url}?mode=ro") as reader:
        session = log.session("s", create=True)
        session.append(Message.user("one"))
        assert reader.session("s").version == 2
        session.append(Message.user("two"))
        assert len(reader.session("s").tail()) == 2


def test_what_cannot_be_read_as_it_is_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(StoreUnavailable):
        eventlog.open(f"sqlite:///{tmp_path}/nothing.db?mode=ro")
    assert not (tmp_path / "nothing.db").exists()
    (tmp_path / "empty.db").write_bytes(b"")
    with pytest.raises(UnsupportedStore, match="no log in it"):
        eventlog.open(f"sqlite:///{tmp_path}/empty.db?mode=ro")
    (tmp_path / "text.db").write_bytes(b"hello " * 1_000)
    with pytest.raises(EventLogError):
        eventlog.open(f"sqlite:///{tmp_path}/text.db?mode=ro")
    with pytest.raises(InvalidArgument):
        eventlog.open(f"sqlite:///{tmp_path}/x.db?mode=rx")


def test_a_copy_of_the_three_files_is_the_log(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copied")
    assert read(tmp_path / "copied")
