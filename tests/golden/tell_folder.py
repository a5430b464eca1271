"""Write a session with an attached folder, its records and its files, into a folder to look at.

How ``records-folder-1.jsonl`` and ``folder-1`` were made: ``python tests/golden/tell_folder.py
tests/golden`` in an empty place. Neither is ever written again. The files come from a simulated
disk, on which they were written step by step.
"""

from __future__ import annotations

import sys
from pathlib import Path

from eventlog import (
    Extraction,
    Finalizer,
    Log,
    Message,
    NonRetryableError,
    Record,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.projections.folder_layout import LOCK
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.disk.disk import Disk
from eventlog.testing.disk.files import DiskFiles
from eventlog.testing.identifiers import NumberedIds
from tests.golden.tell_story import line

FOLDER = "/sessions/golden"
THEN = "2026-01-01T00:00:00.000000Z"


def summarize(request: SummaryRequest) -> Summary:
    if request.archive_id == "archive_002":
        raise NonRetryableError("prompt is too long")
    overview = "---\n# Deploying \U0001f680"
    return Summary(overview=overview, abstract="deploying", usage={"prompt_tokens": 100})


def extract(request: SummaryRequest) -> Extraction:
    diff = {"adds": [{"uri": "memory://1", "after": "uses make"}]}
    return Extraction(memories={"preferences": 1}, diff=diff, usage={"prompt_tokens": 5})


def talk(session: Session) -> None:
    """Say most kinds of things that a message can hold."""
    session.append(Message.user("How do I deploy?\u2028Now.", id="m1", created_at=THEN, mood=None))
    call = Message.call("search", {"query": "d\u00e9ploy", "limit": 1e22}, tool_id="call-1")
    session.append(Message.assistant("Let me look.", tools=(call,), id="m2", created_at=THEN))
    session.record_tool_result("m2", "call-1", "use make deploy", duration_ms=12.5)
    parts = [
        {"type": "context", "uri": "memory://1"},
        {"type": "image_url", "image_url": {"url": "https://example.org/1.png"}},
        {"type": "acme", "x": [1, {"y": False}]},
    ]
    session.append({"parts": parts, "role": "assistant", "id": "m3", "created_at": THEN})


def tell() -> tuple[list[Record], dict[str, bytes]]:
    """Return the records of a session, and the files that were in its folder at the end."""
    disk, clock = Disk(), FakeClock()
    with Log(MemoryStore(), clock=clock, ids=NumberedIds(), files=DiskFiles(disk)) as log:
        session = log.session("golden", create=True, owner="ada", project="apollo")
        session.attach_folder(FOLDER)
        talk(session)
        clock.advance(1.5)
        session.commit(keep_recent=1)
        finalizer = Finalizer(summarizer=summarize, memory_extractor=extract)
        Worker(log, finalizer, concurrency=1).run_once()
        session.append(Message.user("And then?", id="m4", created_at=THEN))
        session.commit()
        Worker(log, finalizer, concurrency=1).run_once()
        clock.advance(1)
        session.append({"role": "tool", "id": "m5", "created_at": THEN, "parts": []})
        disk.remove(f"{FOLDER}/messages.jsonl")
        session.heal(FOLDER)
        session.detach_folder()
        records = list(log.store.read(session.id))
    prefix = f"{FOLDER}/"
    files = {
        path.removeprefix(prefix): content
        for path, content in disk.files().items()
        if path.startswith(prefix) and not path.endswith(("/", LOCK))
    }
    return records, files


def write(place: Path) -> None:
    """Write the records and the files."""
    records, files = tell()
    lines = "".join(f"{line(record)}\n" for record in records)
    (place / "records-folder-1.jsonl").write_text(lines, "utf-8")
    for path, content in files.items():
        file = place / "folder-1" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
