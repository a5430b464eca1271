"""A crash at every step of adopting a damaged folder, the log beside it on the same disk (K3, O4).

Whatever is left, the next adoption finishes it: the session is the one that the folder describes,
and everything that was dropped is in quarantine.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventlog.adoption import adopting
from eventlog.audit.index_check import compare_index
from eventlog.projections.folder_layout import is_quarantined, is_temporary
from eventlog.testing.exploring import every_crash
from eventlog.testing.host import Host
from tests.shares import Share

FOLDER = "/home/foreign"


def line(name: str) -> bytes:
    parts = [{"type": "text", "text": name}]
    message = {"id": name, "role": "user", "parts": parts, "created_at": "2026-01-01T00:00:00Z"}
    return json.dumps(message).encode() + b"\n"


FILES = {
    ".meta.json": b'{"session_id": "s", "message_count": 1, "last_commit_at": "x"}',
    "messages.jsonl": line("a") + line("b") + line("c") + b'{"id": "d", "pa',
    ".relations.json": b"[]",
    "history/archive_001/messages.jsonl": line("a") + b"oops\n" + line("b"),
    "history/archive_001/.overview.md": b"# So far",
    "history/archive_001/.done": b"{}",
}
DROPPED = {line("a") + line("b"), b'{"id": "d", "pa\n', b"oops\n"}


def host_with_folder() -> Host:
    """Return a host with a foreign folder, all of it stored."""
    with Host() as host:
        files = host.files
        for folder in (FOLDER, f"{FOLDER}/history", f"{FOLDER}/history/archive_001"):
            files.make_folder(folder)
        for name, content in FILES.items():
            file = files.open(f"{FOLDER}/{name}")
            file.append(content)
            file.sync()
        for folder in ("/home", FOLDER, f"{FOLDER}/history", f"{FOLDER}/history/archive_001"):
            files.sync_folder(folder)
        return host.after_crash()


def adopt(host: Host) -> None:
    with host.open_log() as log:
        log.adopt(FOLDER, quarantine=True)
        host.told.append("adopted")


def check(host: Host) -> Any:
    with host.open_log() as log:
        known = log.exists("s")
        assert known or not host.told
        log.adopt(FOLDER, quarantine=True)
        session = log.session("s")
        assert [message.id for message in session.tail()] == ["c"]
        assert [message.id for message in session.history()] == ["a", "b", "c"]
        assert [view.state for view in session.archives()] == ["completed"]
        assert log.verify("s") == []
        assert compare_index(log.store) == []
        types = [entry.type for entry in log.read("s")]
        assert types.count("folder_adopted") == 1
    return _files(host)


def _files(host: Host) -> dict[str, bytes]:
    """Assert that the folder is as it was, and that what was dropped of it is there."""
    found = {
        path.removeprefix(f"{FOLDER}/"): data
        for path, data in host.disk.files().items()
        if path.startswith(f"{FOLDER}/")
        and not path.endswith("/")
        and not is_temporary(path.rpartition("/")[2])
    }
    kept = {
        path: found.pop(path) for path in list(found) if is_quarantined(path.rpartition("/")[2])
    }
    assert found == FILES
    whole = b"".join(kept.values())
    assert all(content in whole for content in DROPPED)
    return kept


@pytest.mark.parametrize("events", [20_000, 4], ids=["one append", "parts"])
def test_an_adoption_that_was_stopped_anywhere_is_finished_by_the_next(
    events: int, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopting, "WHOLE_EVENTS", events)

    report = every_crash(
        adopt, check, make_host=host_with_folder, every=share.every, first=share.first
    )

    assert report.images
