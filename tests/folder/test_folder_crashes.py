"""A crash at every step of what writes a session folder, the log beside it on the same disk (K3).

Every program is crashed at each of its steps, with every fate of what was not synchronised. What is
left is looked at first as a program does that knows of no log; then the session is opened again,
and its folder has to be what its records say.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eventlog import (
    Finalizer,
    Log,
    Message,
    NonRetryableError,
    Recorded,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.projections.folder_files import folder_files
from eventlog.projections.folder_layout import (
    DONE,
    FAILED,
    LOCK,
    MESSAGES,
    OVERVIEW,
    is_temporary,
    json_object,
    split_archive_file,
)
from eventlog.session.commit import archive_id
from eventlog.session.tasks.events import ArchiveFinalized
from eventlog.testing.exploring import every_crash
from eventlog.testing.host import Host
from tests.shares import Share

CHAT = "chat"
FOLDER = "/home/chat"
MORNING = "2026-01-01T00:00:00Z"


# ---- what is crashed --------------------------------------------------------------------------


def say(host: Host, session: Session, *names: str) -> None:
    """Append messages, and remember those that were acknowledged."""
    for name in names:
        session.append(Message.user(f"text of {name}", id=name, created_at=MORNING))
        host.told.append(name)


def summarize(request: SummaryRequest) -> Summary:
    return Summary(overview=f"overview of {request.archive_id}", abstract="short")


def failing(request: SummaryRequest) -> Summary:
    raise NonRetryableError("prompt is too long")


def work(log: Log, summarizer: Callable[[SummaryRequest], Summary] = summarize) -> None:
    """Finalise what is due."""
    Worker(log, Finalizer(summarizer=summarizer), concurrency=1, draw=lambda: 0.0).run_once()


def used_host() -> Host:
    """Return a host with a folder that followed a commit and its finalisation, all of it stored."""
    with Host() as host:
        with host.open_log() as log:
            session = log.session(CHAT, create=True)
            session.attach_folder(FOLDER)
            host.told.append("attached")
            say(host, session, "m1", "m2")
            session.commit()
            work(log)
            say(host, session, "m3", "m4")
        return host.after_crash()


def attach(host: Host) -> None:
    with host.open_log() as log:
        session = log.session(CHAT, create=True)
        say(host, session, "m1")
        session.attach_folder(FOLDER)
        host.told.append("attached")
        say(host, session, "m2")


def answer(host: Host) -> None:
    """A tool's result arrives: a line in the middle becomes another."""
    with host.open_log() as log:
        session = log.session(CHAT)
        part = Message.call("look", {}, tool_id="call")
        session.append(Message.assistant(tools=(part,), id="m5", created_at=MORNING))
        host.told.append("m5")
        say(host, session, "m6")
        session.record_tool_result("m5", "call", "found")
        say(host, session, "m7")


def commit(host: Host) -> None:
    with host.open_log() as log:
        session = log.session(CHAT)
        say(host, session, "m5")
        assert session.commit(keep_recent=1).archived == 2
        say(host, session, "m6")


def finalise(host: Host) -> None:
    with host.open_log() as log:
        session = log.session(CHAT)
        session.commit()
        work(log)


def fail_and_retry(host: Host) -> None:
    """An archive fails for good, and a retry succeeds."""
    with host.open_log() as log:
        session = log.session(CHAT)
        session.commit()
        work(log, failing)
        session.retry("archive_002", reason="mended")
        work(log)


def heal(host: Host) -> None:
    with host.open_log() as log:
        log.session(CHAT).heal(FOLDER)


# ---- what must hold ---------------------------------------------------------------------------


def files_of(host: Host) -> dict[str, bytes]:
    """Return the files in the folder as they are on the disk."""
    found = host.disk.files()
    prefix = f"{FOLDER}/"
    return {
        path.removeprefix(prefix): content
        for path, content in found.items()
        if path.startswith(prefix) and not path.endswith("/")
    }


def check(host: Host) -> dict[str, bytes]:
    """Open the session again: its folder is what the records say, whatever was left of it."""
    left = files_of(host)
    with host.open_log() as log:
        if not log.exists(CHAT):
            assert host.told == []
            return {}
        session = log.session(CHAT)
        history = [message.id for message in session.history()]
        told = [name for name in host.told if name.startswith("m")]
        assert history[: len(told)] == told  # P1
        if session.folder is None:
            assert "attached" not in host.told
            return {}
        assert session.folder.owned
        assert session.folder.problem is None
        records = list(log.read(CHAT))
    expected = folder_files(records)
    assert {**expected, LOCK: b""} == files_of(host)  # P3
    assert sorted(ids_in_messages(expected)) == sorted(history)  # P1, P2
    assert finalised(expected) == finalised_in(records)  # P4
    check_that_names_are_proof(left, expected)
    return expected


def check_that_names_are_proof(left: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """A program that knows of no log never sees a part of an archive's file, even after a crash."""
    for path, content in left.items():
        archived = split_archive_file(path)
        if archived and not is_temporary(archived[1]) and archived[1] != FAILED:
            assert content == expected[path], path
        if path.endswith(f"/{DONE}"):
            assert path.replace(DONE, OVERVIEW) in left


def ids_in_messages(files: dict[str, bytes]) -> list[str]:
    lines = [
        json_object(line)
        for path, content in files.items()
        if path.endswith(MESSAGES)
        for line in content.split(b"\n")
        if line
    ]
    return [line["id"] for line in lines if line is not None]


def finalised(files: dict[str, bytes]) -> set[str]:
    return {path.split("/")[1] for path in files if path.endswith(f"/{DONE}")}


def finalised_in(records: list[Recorded]) -> set[str]:
    events = [recorded.event for recorded in records]
    return {archive_id(event.archive) for event in events if isinstance(event, ArchiveFinalized)}


def damaged_host() -> Host:
    """Return a host whose folder has most kinds of damage, all of it stored."""
    with used_host() as host:
        damage(host)
        return host.after_crash()


def damage(host: Host) -> None:
    files, archive = host.files, f"{FOLDER}/history/archive_001"
    archived = files.read(f"{archive}/messages.jsonl")
    live = files.open(f"{FOLDER}/messages.jsonl")
    live.append(archived + b'{"id": "elsewhere", "role": "user", "parts": []}\n{"id": "torn')
    files.remove(f"{archive}/.done")
    files.open(f"{FOLDER}/.meta.json", empty=True).append(b'{"session_id"')
    files.make_folder(f"{FOLDER}/history/archive_007")
    files.open(f"{FOLDER}/history/archive_007/messages.jsonl").append(archived)
    files.open(f"{archive}/.overview.md.eventlog-tmp").append(b"over")


@pytest.mark.parametrize(
    ("program", "make_host"),
    [
        (attach, Host),
        (answer, used_host),
        (commit, used_host),
        (finalise, used_host),
        (fail_and_retry, used_host),
    ],
)
def test_a_folder_is_what_the_records_say_wherever_its_writer_was_stopped(
    program: Callable[[Host], None], make_host: Callable[[], Host], share: Share
) -> None:
    """P1 to P4, O2."""
    print(every_crash(program, check, make_host=make_host, every=share.every, first=share.first))


def check_healed(host: Host) -> dict[str, bytes]:
    """Heal: the folder is what the records say, and what the log does not have is still there."""
    with host.open_log() as log:
        session = log.session(CHAT)
        session.heal(FOLDER)
        assert session.heal(FOLDER).findings == ()
        expected = folder_files(log.read(CHAT))
    files = files_of(host)
    kept = {path: files.pop(path) for path in list(files) if ".quarantined-" in path}
    assert {**expected, LOCK: b""} == files
    unknown = [content for content in kept.values() if b"elsewhere" in content]
    assert unknown == [b'{"id": "elsewhere", "role": "user", "parts": []}\n']
    assert [path for path in kept if "archive_007/" in path]
    return kept


def test_a_heal_that_was_stopped_anywhere_is_finished_by_the_next(share: Share) -> None:
    """O3."""
    report = every_crash(
        heal, check_healed, make_host=damaged_host, every=share.every, first=share.first
    )

    assert report.images
