"""Kill a process with signal 9 at each step of its writes, one process per step.

Arguments: a folder; what a step is: one of SQLite's ``statements``, one of its ``writes`` to its
files, or one call of the ``files`` store that changes files and folders; and, to take every third
step only, 3 and the number of the first one. This script has no thread
and no open log, so it may fork: a child runs a scenario on its own file and kills
itself at one step; the next child finds what is left, checks it, repeats the scenario and checks
again. Says one line: how many were killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlite_utils  # noqa: F401 - once here rather than in every child

from eventlog import Finalizer, Log, Message, RetryPolicy, Summary, SummaryRequest, Worker
from eventlog.local_files import FilesUnder, LocalFile, LocalFiles, LocalView
from eventlog.store import Store
from eventlog.stores.files import FilesStore
from eventlog.stores.sqlite import SQLiteStore
from eventlog.testing.crashing import Steps
from eventlog.testing.disk.sqlite import Database
from eventlog.testing.disk.vfs import SteppedVFS
from eventlog.testing.files import SteppedFiles
from eventlog.testing.model.laws import check_laws
from eventlog.testing.sqlite import CrashingSQLiteStore

CHAT = "chat"
NEVER = 1_000_000
SEGMENT_BYTES = 3_000


class DeadlySteps(Steps):
    """Steps of which one is the process's last."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self._last = last

    def take(self, name: str) -> None:
        super().take(name)
        if self.count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


def summarize(request: SummaryRequest) -> Summary:
    return Summary(overview=f"overview of {request.archive_id}", abstract="short")


def scenario(log: Log) -> None:
    """Append, commit, answer a call of the archive, append again, and work."""
    session = log.session(CHAT, create=True)
    at = "2026-01-01T00:00:00Z"
    session.append(Message.user("hello", id="m1", created_at=at))
    call = Message.call("look", {}, tool_id="c1")
    answer = Message.assistant("let me see", tools=(call,), id="m2", created_at=at)
    session.extend([answer, Message.user("and?", id="m3", created_at=at)])
    session.record_tool_result("m2", "c1", "found")
    session.commit(keep_recent=1, idempotency_key="first commit")
    session.append(Message.user("thanks", id="m4", created_at=at))
    Worker(log, Finalizer(summarizer=summarize), retry=RetryPolicy(attempts=9)).run_once()


class UnsyncedFolder(FilesUnder):
    """Files in a folder whose syncs are steps and nothing else."""

    def open(self, path: str, *, empty: bool = False) -> LocalFile:
        return without_sync(super().open(path, empty=empty))

    def create(self, path: str, *, like: str | None = None) -> LocalFile:
        return without_sync(super().create(path, like=like))

    def view(self, path: str) -> LocalView:
        return without_sync(super().view(path))

    def sync_folder(self, path: str) -> None:
        """Leave it to the system."""


class Unsynced(LocalFiles):
    """Files that are not synced: what a killed process wrote outlives it."""

    def under(self, path: str, permissions: int | None = None) -> FilesUnder:
        return UnsyncedFolder(self, path, permissions)

    def sync_folder(self, path: str) -> None:
        """Leave it to the system."""


Opened = TypeVar("Opened", LocalFile, LocalView)


def without_sync(file: Opened) -> Opened:
    file.sync = lambda: None  # type: ignore[method-assign]
    return file


def stepped(kind: str, path: Path, steps: Steps) -> Store:
    """Open a store whose writes are steps."""
    if kind == "statements":
        return CrashingSQLiteStore(path, steps, synchronous="full")
    if kind == "writes":
        return SQLiteStore(path, connect=Database(SteppedVFS(steps), str(path)).connect)
    return FilesStore(path, files=SteppedFiles(Unsynced(), steps), segment_bytes=SEGMENT_BYTES)


def run(kind: str, path: Path, last: int) -> int:
    """Carry the scenario out, to the end or to its last step; return how many steps it took."""
    steps = DeadlySteps(last)
    log = Log(stepped(kind, path, steps))
    scenario(log)
    log.close()
    return steps.count


def finish(kind: str, path: Path) -> int:
    """Check what is left, carry the scenario out again, and check what it leads to."""
    log = Log(FilesStore(path, files=Unsynced()) if kind == "files" else SQLiteStore(path))
    check_laws(log.store)
    scenario(log)
    check_laws(log.store)
    session = log.session(CHAT)
    assert [message.id for message in session.history()] == ["m1", "m2", "m3", "m4"]
    assert [message.id for message in session.tail()] == ["m3", "m4"]
    archive = session.archive("archive_001")
    assert archive.overview == "overview of archive_001"
    assert archive.messages[1].tools[0].tool_output == "found"
    log.close()
    return 0


def in_a_child(work: Callable[[], int]) -> int:
    """Call ``work`` in a forked child; return its result, or minus the signal that ended it."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.write(theirs, str(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(theirs)
    said = os.read(ours, 64)
    os.close(ours)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code or int(said)


def main(folder: Path, kind: str, every: int = 1, first: int = 1) -> None:
    steps = in_a_child(lambda: run(kind, folder / "calm.db", NEVER))
    shared = range(first, steps + 1, every)
    for last in shared:
        path = folder / f"{last}.db"
        ended = in_a_child(lambda: run(kind, path, last))  # noqa: B023 - called before the next step
        assert ended == -signal.SIGKILL, f"step {last}: {ended}"
        assert in_a_child(lambda: finish(kind, path)) == 0, f"step {last}"  # noqa: B023 - as above
    print(steps, len(shared), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
