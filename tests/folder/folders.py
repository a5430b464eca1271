"""Commands on sessions with folders, and reading their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eventlog import Finalizer, Log, Message, Session, Summary, SummaryRequest, Worker
from eventlog.projections.folder_files import folder_files
from eventlog.projections.folder_layout import LOCK

Files = dict[str, bytes]


def files_in(folder: Path) -> Files:
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob("**/*")
        if path.is_file()
    }
    assert found.pop(LOCK, b"") == b""
    return found


def replayed(log: Log, values: Mapping[str, bytes] | None = None) -> Files:
    """Return what the records of the session say that the files are."""
    return folder_files(log.read("chat"), values)


def summarize(request: SummaryRequest) -> Summary:
    return Summary(overview=f"# {request.archive_id}\n", abstract=f"{len(request.messages)} said")


def work(log: Log) -> int:
    return Worker(log, Finalizer(summarizer=summarize)).run_once()


def converse(session: Session) -> None:
    """Say a few things, among them a call whose result comes later."""
    session.append(Message.user("Why did it fail?", id="m1"))
    call = Message.call("read_log", {"lines": 50}, tool_id="call-1")
    session.append(Message.assistant("Let me look.", tools=(call,), id="m2"))
    session.append(Message.user("Take your time.\u2028Really.", id="m3"))
    session.record_tool_result("m2", "call-1", "exit code 137")
    session.append(Message.assistant("Out of memory.", id="m4"))
