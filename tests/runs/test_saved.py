"""Sessions that are saved to files, and resumed from them, here or elsewhere (R8)."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import (
    ChatCommands,
    CorruptLog,
    FolderUnavailable,
    HistoryConflict,
    InvalidArgument,
    Log,
    Message,
    Session,
    SessionNotFound,
    Supervisor,
    cleanup,
    latest_saved,
)
from eventlog.report.writing import write_report
from eventlog.testing.clock import FakeClock
from tests.runs.driving import check


def talked(log: Log, id_: str = "s", *texts: str, workspace: str | None = "home") -> Session:
    session = log.session(id_, create=True, workspace=workspace)
    for text in texts or ("hello",):
        session.append(Message.user(text))
    return session


def bytes_of(log: Log, id_: str = "s") -> list[Any]:
    return [recorded.record[:-2] for recorded in log.read(id_)]


@pytest.fixture
def other(tmp_path: Path) -> Any:
    """A log of another machine."""
    with eventlog.open(f"sqlite:///{tmp_path / 'other.db'}") as opened:
        yield opened


def test_a_session_goes_on_elsewhere(log: Log, other: Log, tmp_path: Path) -> None:
    session = talked(log, "s", "a", "b")
    session.enqueue(Message.user("queued"))
    log.save("s", tmp_path / "s.zip")

    resumed = other.resume(tmp_path / "s.zip")

    assert (resumed.id, resumed.version) == ("s", session.version)
    hashes = [[recorded.record.hash for recorded in each.read("s")] for each in (log, other)]
    assert hashes[0] == hashes[1]
    assert resumed.meta == session.meta
    assert resumed.tail() == session.tail()

    async def agent(run: eventlog.Run) -> str:
        return run.prompt.text

    assert asyncio.run(Supervisor(other, agent).run_once()) == 1
    assert [message.text for message in resumed.tail()] == ["a", "b", "queued"]
    check(other)


def test_what_is_new_is_appended_and_what_went_on_stays(
    log: Log, other: Log, tmp_path: Path
) -> None:
    session = talked(log)
    log.save("s", tmp_path / "1.zip")
    session.append(Message.user("more"))
    log.save("s", tmp_path / "2.zip")

    resumed = other.resume(tmp_path / "1.zip")
    assert other.resume(tmp_path / "2.zip").version == session.version
    assert other.resume(tmp_path / "1.zip").version == session.version
    assert [message.text for message in resumed.tail()] == ["hello", "more"]
    resumed.append(Message.user("here"))
    assert other.resume(tmp_path / "2.zip").version == session.version + 1
    check(other)


def test_another_beginning_is_refused(log: Log, other: Log, tmp_path: Path) -> None:
    talked(log)
    talked(other, "s", "something else", "and more")
    before = bytes_of(other)
    log.save("s", tmp_path / "s.zip")

    with pytest.raises(HistoryConflict):
        other.resume(tmp_path / "s.zip")
    assert bytes_of(other) == before


def test_a_save_takes_the_place_of_the_one_before(log: Log, tmp_path: Path) -> None:
    session = talked(log)
    log.save("s", tmp_path / "s.zip")
    session.append(Message.user("more"))
    assert log.save("s", tmp_path / "s.zip").records == session.version
    with pytest.raises(SessionNotFound):
        log.save("nobody", tmp_path / "n.zip")
    with pytest.raises(FolderUnavailable):
        log.save("s", tmp_path / "missing" / "s.zip")


def test_a_save_takes_the_place_of_a_file_alone(log: Log, tmp_path: Path) -> None:
    """G3: a FIFO, a socket or a device that the program's user may replace stays what it is."""
    log.session("s", create=True).append(Message.user("x"))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "folder").mkdir()

    def there() -> dict[str, tuple[int, int]]:
        found = ((path.name, path.lstat()) for path in tmp_path.iterdir())
        return {name: (status.st_mode, status.st_ino) for name, status in found}

    before = there()

    for name in before:
        with pytest.raises(FolderUnavailable, match="which is not replaced"):
            log.save("s", tmp_path / name)
        with pytest.raises(FolderUnavailable, match="which is not replaced"):
            write_report(log, ["s"], tmp_path / name)
    assert there() == before


def test_what_is_no_saved_session_is_refused(log: Log, other: Log, tmp_path: Path) -> None:
    talked(log)
    talked(log, "t")
    log.bundle(["s", "t"], tmp_path / "two.zip")
    log.bundle(["s"], tmp_path / "redacted.zip", redact="texts")
    (tmp_path / "torn.zip").write_bytes((tmp_path / "two.zip").read_bytes()[:-40])

    for name, kind in (
        ("two.zip", InvalidArgument),
        ("redacted.zip", InvalidArgument),
        ("torn.zip", CorruptLog),
        ("missing.zip", FileNotFoundError),
    ):
        with pytest.raises(kind):
            other.resume(tmp_path / name)
    assert [*other.sessions()] == []


def test_the_newest_is_the_one_with_the_newest_event(
    log: Log, clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not the newest file; and a torn one among good ones is passed over, and told."""
    talked(log, "old")
    clock.advance(60)
    talked(log, "new")
    clock.advance(60)
    talked(log, "elsewhere", workspace="/srv/x")
    for name in ("new", "elsewhere", "old"):
        log.save(name, tmp_path / f"{name}.zip")
    (tmp_path / "torn.zip").write_bytes((tmp_path / "old.zip").read_bytes()[:-40])
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "link.zip").symlink_to(tmp_path / "old.zip")
    (tmp_path / "notes.txt").write_text("x")
    for name in ("new", "elsewhere"):
        os.utime(tmp_path / f"{name}.zip", (1, 1))

    with caplog.at_level(logging.WARNING, "eventlog"):
        assert latest_saved(tmp_path, "home") == str(tmp_path / "new.zip")
    assert latest_saved(tmp_path) == str(tmp_path / "elsewhere.zip")
    assert latest_saved(tmp_path, "nowhere") is None
    skipped = {str(vars(record)["path"]) for record in caplog.records}
    assert {tmp_path / "torn.zip", tmp_path / "link.zip"} <= {Path(path) for path in skipped}
    assert str(tmp_path / "old.zip") not in skipped
    with pytest.raises(FolderUnavailable):
        latest_saved(tmp_path / "missing")


def test_old_ones_are_removed_and_counted(log: Log, clock: FakeClock, tmp_path: Path) -> None:
    talked(log, "old")
    clock.advance(86_400 * 3)
    talked(log, "new")
    for name in ("old", "new"):
        log.save(name, tmp_path / f"{name}.zip")
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04")

    assert cleanup(tmp_path, timedelta(days=4), clock=clock) == 0
    assert cleanup(tmp_path, timedelta(days=2), clock=clock) == 1
    assert sorted(os.listdir(tmp_path)) == ["new.zip", "torn.zip"]
    assert cleanup(tmp_path, datetime(2030, 1, 1, tzinfo=UTC)) == 1
    for wrong in (timedelta(-1), datetime(2030, 1, 1), "yesterday"):  # noqa: DTZ001
        with pytest.raises(InvalidArgument):
            cleanup(tmp_path, wrong)


def test_a_chat_saves_and_resumes(log: Log, other: Log, tmp_path: Path) -> None:
    session = talked(log, "a/b")
    here, there = ChatCommands(log, tmp_path), ChatCommands(other, tmp_path)

    assert here.handle("hello", session) is None
    assert here.handle("/sessions", session) is None
    said = here.handle("/session", session)
    assert said is not None
    assert "session a/b, version 2: 1 messages" in said.text
    saved = here.handle("/save", session)
    assert saved is not None
    assert "saved version 2 to" in saved.text

    mine = talked(other, "mine")
    reply = there.handle("/resume", mine)
    assert reply is not None
    assert (reply.session.id, reply.session.version) == ("a/b", 2)

    for line in ("/resume ../../etc/passwd", "/save ..", "/resume missing"):
        refused = there.handle(line, mine)
        assert refused is not None
        assert refused.session is mine
        assert refused.text.startswith(line.split(maxsplit=1)[0])
    assert [path.suffix for path in tmp_path.iterdir() if "other" not in path.name] == [".zip"]


def test_the_twin_saves_and_resumes(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with eventlog.open_async("memory:") as one, eventlog.open_async("memory:") as two:
            session = await one.session("s", create=True)
            await session.append(Message.user("hi"))
            await one.save("s", tmp_path / "s.zip")
            resumed = await two.resume(tmp_path / "s.zip")
            return [message.text for message in await resumed.tail()]

    assert asyncio.run(main()) == ["hi"]
