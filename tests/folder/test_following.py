"""A folder that is attached to a session follows it (O1, O2)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import eventlog
from eventlog import (
    AutoCommitPolicy,
    CorruptFolder,
    Finalizer,
    FolderLocked,
    FolderUnavailable,
    InvalidArgument,
    Log,
    Message,
    NonRetryableError,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.disk.disk import Disk
from eventlog.testing.disk.files import DiskFiles
from eventlog.testing.identifiers import NumberedIds
from tests.folder.folders import converse, files_in, replayed, work


def refuse(request: SummaryRequest) -> Summary:
    raise NonRetryableError("prompt is too long")


# ---- every step -------------------------------------------------------------------------------


def test_after_every_command_the_files_are_what_the_records_say(
    log: Log, session: Session, folder: Path, clock: FakeClock
) -> None:
    """P3: step by step, from nothing, and by materialising, the bytes are the same."""
    session.attach_folder(folder)
    steps: list[Callable[[], object]] = [
        lambda: converse(session),
        lambda: session.extend([Message.user("a"), Message.user("b")]),
        lambda: session.used(["memory://1"]),
        lambda: session.commit(keep_recent=1),
        lambda: session.append(Message.user("c")),
        session.commit,
        lambda: work(log),
        lambda: session.assign_project("apollo"),
        lambda: session.append(Message.user("d")),
        session.commit,
        lambda: Worker(log, Finalizer(summarizer=refuse)).run_once(),
        lambda: session.retry("archive_003"),
        lambda: session.abandon("archive_003"),
        session.close,
        session.delete,
    ]
    for number, step in enumerate(steps):
        clock.advance(1)
        step()
        assert files_in(folder) == replayed(log), number
        other = folder.parent / f"other-{number}"
        session.materialize(other)
        assert files_in(other) == files_in(folder)


def test_a_finalised_archive_has_its_files_and_a_failed_one_says_so(
    log: Log, session: Session, folder: Path
) -> None:
    session.attach_folder(folder)
    converse(session)
    session.commit()
    work(log)
    session.append(Message.user("more"))
    session.commit()
    Worker(log, Finalizer(summarizer=refuse)).run_once()

    files = files_in(folder)
    assert files["messages.jsonl"] == b""
    assert files["history/archive_001/.overview.md"] == b"# archive_001\n"
    assert json.loads(files["history/archive_001/.done"])["starting_message_id"] == "m1"
    assert "history/archive_001/.failed.json" not in files
    assert "history/archive_002/.done" not in files
    failure = json.loads(files["history/archive_002/.failed.json"])
    assert failure["error"] == "NonRetryableError: prompt is too long"

    session.retry("archive_002")
    assert "history/archive_002/.failed.json" not in files_in(folder)


def test_an_appended_message_is_one_line_more_and_leaves_the_others(
    session: Session, folder: Path
) -> None:
    """B10: in place, so what is there is not written again."""
    session.attach_folder(folder)
    session.append(Message.user("first"))
    live = folder / "messages.jsonl"
    inode, before = live.stat().st_ino, live.read_bytes()

    session.append(Message.user("second \u00fc"))

    assert live.stat().st_ino == inode
    assert live.read_bytes().startswith(before)
    assert live.read_bytes().count(b"\n") == 2
    assert "second \u00fc".encode() in live.read_bytes()


def test_a_commit_leaves_the_files_of_earlier_archives_alone(
    log: Log, session: Session, folder: Path
) -> None:
    session.attach_folder(folder)
    session.append(Message.user("one"))
    session.commit()
    work(log)
    archive = folder / "history" / "archive_001"
    before = {path: path.stat() for path in archive.iterdir()}

    session.append(Message.user("two"))
    session.commit()
    work(log)

    after = {path: path.stat() for path in archive.iterdir()}
    assert {path: (s.st_ino, s.st_mtime_ns) for path, s in after.items()} == {
        path: (s.st_ino, s.st_mtime_ns) for path, s in before.items()
    }


def test_an_archive_is_what_the_commit_took_whatever_comes_later(
    log: Log, session: Session, folder: Path
) -> None:
    """A result that replaces an earlier one reaches the history, not the archive's file."""
    session.attach_folder(folder)
    converse(session)
    session.commit()
    archived = files_in(folder)["history/archive_001/messages.jsonl"]

    session.record_tool_result("m2", "call-1", "it was the disk", "error")

    assert session.history()[1].tools[0].tool_output == "it was the disk"
    assert files_in(folder)["history/archive_001/messages.jsonl"] == archived
    assert files_in(folder) == replayed(log)


# ---- commits and the folder -------------------------------------------------------------------


def test_a_commit_is_published_when_its_archive_is_on_disk(
    log: Log, session: Session, folder: Path
) -> None:
    """§6: preparing until then."""
    session.attach_folder(folder)
    session.append(Message.user("hello"))

    result = session.commit()

    assert (folder / "history/archive_001/messages.jsonl").exists()
    assert log.task(str(result.task_id)).state == "pending"
    types = [recorded.type for recorded in log.read("chat")]
    assert types[-2:] == ["commit_prepared", "commit_published"]


def test_a_commit_of_another_process_is_published_by_the_owner(
    log: Log, rival: Log, session: Session, folder: Path
) -> None:
    session.attach_folder(folder)
    session.append(Message.user("hello"))
    other = rival.session("chat")

    result = other.commit()
    assert log.task(str(result.task_id)).state == "preparing"

    session.refresh()
    assert log.task(str(result.task_id)).state == "pending"
    assert files_in(folder) == replayed(log)


def test_a_commit_whose_folder_nobody_writes_is_published_after_thirty_seconds(
    log: Log, session: Session, folder: Path, rival: Log, clock: FakeClock
) -> None:
    session.attach_folder(folder)
    session.append(Message.user("hello"))
    rival.session("chat").commit()

    assert work(rival) == 0
    clock.advance(31)
    assert work(rival) == 1
    assert not (folder / "history").exists()

    session.refresh()
    assert files_in(folder) == replayed(log)


def test_a_worker_elsewhere_writes_no_file(
    log: Log, rival: Log, session: Session, folder: Path
) -> None:
    session.attach_folder(folder)
    session.append(Message.user("hello"))
    session.commit()

    assert work(rival) == 1
    assert not (folder / "history/archive_001/.done").exists()

    session.refresh()
    assert (folder / "history/archive_001/.done").exists()


# ---- who owns a folder ------------------------------------------------------------------------


def test_the_next_process_brings_the_folder_up_to_date(
    tmp_path: Path, folder: Path, clock: FakeClock
) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with eventlog.open(url, clock=clock) as log:
        log.session("chat", create=True).attach_folder(folder)
    with eventlog.open(url, clock=clock) as log:
        other = log.session("chat", follow_folder=False)
        converse(other)
        other.commit(keep_recent=1)
        view = other.folder
        assert view is not None
        assert not view.owned
        assert (folder / "messages.jsonl").read_bytes() == b""

    with eventlog.open(url, clock=clock) as log:
        session = log.session("chat")
        assert files_in(folder) == replayed(log)
        assert session.folder == (str(folder), True, session.version, None)
        assert [task.state for task in log.tasks()] == ["pending"]
        assert "folder_healed" not in {recorded.type for recorded in log.read("chat")}


def test_only_one_process_owns_a_folder(
    log: Log, rival: Log, session: Session, folder: Path
) -> None:
    session.attach_folder(folder)
    other = rival.session("chat")

    other.append(Message.user("from elsewhere"))
    assert (folder / "messages.jsonl").read_bytes() == b""
    for refused in (other.attach_folder, other.materialize, other.heal):
        with pytest.raises(FolderLocked, match="another process owns it"):
            refused(folder)

    log.close()
    again = rival.session("chat")
    assert again.folder == (str(folder), True, again.version, None)
    assert files_in(folder) == replayed(rival)


def test_a_detached_folder_stays_as_it_is(log: Log, session: Session, folder: Path) -> None:
    session.attach_folder(folder)
    session.append(Message.user("one"))
    before = files_in(folder)

    session.detach_folder()
    session.append(Message.user("two"))

    assert session.folder is None
    assert files_in(folder) == before
    assert session.commit().task_id is not None
    assert [task.state for task in log.tasks()] == ["pending"]
    assert session.attach_folder(folder.parent / "another").owned


def test_attaching_twice_records_it_once_and_another_folder_is_refused(
    log: Log, session: Session, folder: Path
) -> None:
    session.attach_folder(folder)
    session.attach_folder(folder)

    assert [recorded.type for recorded in log.read("chat")] == [
        "session_created",
        "folder_attached",
    ]
    with pytest.raises(InvalidArgument, match=r"detach_folder\(\) first"):
        session.attach_folder(folder.parent / "another")
    assert not (folder.parent / "another").exists()


def test_a_folder_with_what_the_session_does_not_have_is_not_attached(
    log: Log, session: Session, folder: Path
) -> None:
    folder.mkdir(parents=True)
    line = b'{"id": "x", "role": "user", "parts": []}\n'
    (folder / "messages.jsonl").write_bytes(line)

    with pytest.raises(CorruptFolder, match="eventlog import"):
        session.attach_folder(folder)
    assert not log.exists("chat")
    session.append(Message.user("hello"))
    with pytest.raises(CorruptFolder, match="eventlog import"):
        session.materialize(folder)

    assert (folder / "messages.jsonl").read_bytes() == line


def test_an_empty_path_is_not_the_current_folder(session: Session) -> None:
    with pytest.raises(InvalidArgument, match="is empty"):
        session.attach_folder("")


def test_the_folder_of_another_session_is_refused(log: Log, session: Session, folder: Path) -> None:
    session.attach_folder(folder)
    other = log.session("other", create=True)
    other.append(Message.user("mine"))
    before = files_in(folder)
    for refused in (other.attach_folder, other.materialize, other.heal):
        with pytest.raises(
            (InvalidArgument, FolderLocked), match=r"belongs to session 'chat'|owns it"
        ):
            refused(folder)
    assert files_in(folder) == before


def test_unknown_files_are_left_alone(session: Session, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / ".recall_log.json").write_text("{}")

    session.attach_folder(folder)
    session.heal(folder)

    assert (folder / ".recall_log.json").read_text() == "{}"


# ---- a folder that cannot be written ----------------------------------------------------------


def test_a_full_disk_refuses_no_append_and_is_made_good_later() -> None:
    disk, clock = Disk(), FakeClock()
    with Log(MemoryStore(), clock=clock, ids=NumberedIds(), files=DiskFiles(disk)) as log:
        session = log.session("chat", create=True)
        session.attach_folder("/chat")
        disk.steps.fail(disk.steps.count + 1, "full")

        session.append(Message.user("one", id="m1"))
        view = session.folder
        assert view is not None
        assert view.problem is not None
        assert view.version == 0

        session.append(Message.user("two", id="m2"))
        assert b"m2" not in disk.files()["/chat/messages.jsonl"]
        clock.advance(1)
        session.append(Message.user("three", id="m3"))

        written = {path.removeprefix("/chat/"): data for path, data in disk.files().items()}
        assert {path: written[path] for path in replayed(log)} == replayed(log)
        assert session.folder == ("/chat", True, session.version, None)


def test_a_commit_is_accepted_though_its_archive_cannot_be_written() -> None:
    disk, clock = Disk(), FakeClock()
    with Log(MemoryStore(), clock=clock, ids=NumberedIds(), files=DiskFiles(disk)) as log:
        session = log.session("chat", create=True)
        session.attach_folder("/chat")
        session.append(Message.user("one"))
        disk.steps.fail(disk.steps.count + 2, "cut")

        result = session.commit()

        assert result.status == "accepted"
        assert log.task(str(result.task_id)).state == "preparing"
        clock.advance(1)
        session.refresh()
        assert log.task(str(result.task_id)).state == "pending"


def test_a_folder_that_cannot_be_made_is_said_so(log: Log, session: Session, folder: Path) -> None:
    folder.parent.write_bytes(b"a file where a folder is to be")

    with pytest.raises(FolderUnavailable, match="nothing is lost"):
        session.attach_folder(folder)
    assert not log.exists("chat")


def test_a_folder_that_is_gone_is_not_made_anew_by_opening_its_session(
    tmp_path: Path, folder: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with eventlog.open(url) as log:
        log.session("chat", create=True).attach_folder(folder)
    folder.rename(tmp_path / "elsewhere")

    with eventlog.open(url) as log:
        session = log.session("chat")
        session.append(Message.user("hello"))
        assert not folder.exists()
        assert session.attach_folder(folder).owned
        assert files_in(folder) == replayed(log)


# ---- the asynchronous twin --------------------------------------------------------------------


def test_the_asynchronous_session_writes_the_same_files(tmp_path: Path, folder: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"

    async def talk() -> None:
        async with eventlog.open_async(url) as log:
            session = await log.session("chat", create=True)
            assert (await session.attach_folder(folder)).owned
            await asyncio.gather(*(session.append(Message.user(str(n))) for n in range(20)))
            assert (folder / "messages.jsonl").read_bytes().count(b"\n") == 20
            await session.commit(keep_recent=3)
            assert [task.state async for task in log.tasks()] == ["pending"]
            assert (await session.heal(folder)).findings == ()
            assert (await session.materialize(folder.parent / "copy")).healed
            await session.detach_folder()
            assert session.folder is None

    asyncio.run(talk())
    with eventlog.open(url) as log:
        assert files_in(folder) == replayed(log)
        assert files_in(folder.parent / "copy") == replayed(log)


def test_a_cancelled_append_is_in_the_folder_at_the_latest_when_the_log_is_closed(
    tmp_path: Path, folder: Path
) -> None:
    """L15: it was stored, so the folder has it."""
    url = f"sqlite:///{tmp_path / 'log.db'}"

    async def talk() -> None:
        async with eventlog.open_async(url) as log:
            session = await log.session("chat", create=True)
            await session.attach_folder(folder)
            append = asyncio.ensure_future(session.append(Message.user("hello")))
            await asyncio.sleep(0)
            append.cancel()
            await asyncio.gather(append, return_exceptions=True)

    asyncio.run(talk())
    with eventlog.open(url) as log:
        assert files_in(folder) == replayed(log)


# ---- large outputs and automatic commits ------------------------------------------------------


def test_a_large_tool_output_has_its_own_files(log: Log, session: Session, folder: Path) -> None:
    """M6: named as the message refers to it, whole, and written before the line that names it."""
    session.attach_folder(folder)
    output = "\u00fc" * 30_000
    call = Message.call("read_log", {}, tool_id="call-1")
    session.append(Message.assistant(tools=(call,), id="m1"))
    session.record_tool_result("m1", "call-1", output)
    answered = {**call.model_dump(exclude_unset=True), "tool_id": "call-2", "tool_output": output}
    session.append(
        {"id": "m2", "role": "assistant", "parts": [{**answered, "tool_status": "completed"}]}
    )
    session.commit()

    (first, second) = sorted((folder / "tool-results").iterdir())
    assert (first / "output.txt").read_text() == (second / "output.txt").read_text() == output
    about = json.loads((first / "metadata.json").read_bytes())
    assert (about["tool_result_id"], about["tool_name"]) == (first.name, "read_log")
    assert (about["message_id"], about["original_chars"]) == ("m1", 30_000)
    line = files_in(folder)["history/archive_001/messages.jsonl"]
    assert about["storage_uri"].encode() in line
    assert files_in(folder) == replayed(log, values={about["sha256"]: output.encode()})

    healthy = files_in(folder)
    (first / "output.txt").unlink()
    (second / ".metadata.json.eventlog-tmp").write_bytes(b"{")
    assert len(session.heal(folder).findings) == 2
    assert files_in(folder) == healthy
    assert session.materialize(folder.parent / "copy").healed
    assert files_in(folder.parent / "copy") == healthy


def test_a_large_output_that_is_lost_with_its_folder_is_written_at_the_next_start(
    log: Log, rival: Log, session: Session, folder: Path
) -> None:
    session.attach_folder(folder)
    part = {"type": "tool", "tool_id": "c", "tool_status": "completed", "tool_output": "x" * 30_000}
    session.append({"role": "assistant", "parts": [part]})
    healthy = files_in(folder)
    log.close()
    shutil.rmtree(folder / "tool-results")

    rival.session("chat")

    assert files_in(folder) == healthy


def test_an_automatic_commit_is_in_the_folder_when_the_log_is_closed(
    tmp_path: Path, folder: Path
) -> None:
    """C8: nobody waits for it, so nobody's answer says that it is written."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with eventlog.open(url) as log:
        policy = AutoCommitPolicy(messages=2)
        session = log.session("chat", create=True, auto_commit=policy)
        session.attach_folder(folder)
        for number in range(5):
            session.append(Message.user(str(number)))
        session.refresh()
        assert {task.state for task in log.tasks()} == {"pending"}
    with eventlog.open(url) as log:
        assert files_in(folder) == replayed(log)
        assert "history/archive_002/messages.jsonl" in files_in(folder)
