"""Print a session that was adopted from a folder, one stored record per line.

How ``records-adoption.jsonl`` was made; see `tell_story` for the rule about golden files.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import eventlog
from eventlog import Metadata, Record
from eventlog.adoption.adopting import adopt
from eventlog.session.events import SessionCreated
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import engine_of

THEN = "2026-01-01T00:00:00.000Z"


def message(name: str, text: str, **fields: Any) -> str:
    parts = [{"type": "text", "text": text}]
    whole = {"id": name, "role": "user", "parts": parts, "created_at": THEN, **fields}
    return json.dumps(whole, ensure_ascii=False) + "\n"


FILES = {
    ".meta.json": json.dumps(
        {
            "session_id": "golden",
            "created_at": THEN,
            "message_count": 3,
            "last_commit_at": THEN,
            "llm_token_usage": {"prompt_tokens": 5, "total_tokens": 5},
            "memories_extracted": {"events": 2, "total": 2},
            "keep_recent_count": 1,
            "acme_key": [1],
        }
    ),
    "messages.jsonl": message("m1", "again") + message("m2", "retained") + message("m5", "ü") + "{",
    ".relations.json": "[]",
    "history/archive_002/messages.jsonl": message("m1", "one") + message("m2", "retained"),
    "history/archive_002/.meta.json": json.dumps({"phase1": {"retained_message_ids": ["m2"]}}),
    "history/archive_002/.overview.md": "# So far",
    "history/archive_002/.abstract.md": "so far",
    "history/archive_002/.done": json.dumps({"working_memory_enabled": True}),
    "history/archive_003/messages.jsonl": message("m3", "three"),
    "history/archive_003/.failed.json": json.dumps({"stage": "x", "error": "timeout"}),
    "history/archive_004/messages.jsonl": message("m4", "four"),
}


def tell() -> list[Record]:
    """Return the records of the whole story."""
    with TemporaryDirectory() as root, contextlib.chdir(root):
        for name, text in FILES.items():
            path = Path("golden", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        with eventlog.open("memory:", clock=FakeClock(), ids=NumberedIds()) as log:
            adopt(
                engine_of(log),
                "golden",
                None,
                SessionCreated(),
                quarantine=False,
                by=Metadata("ada"),
            )
            log.session("golden").delete()
            return list(log.store.read("golden"))


def _story() -> Any:
    """Load the script beside this one."""
    spec = importlib.util.spec_from_file_location(
        "tell_story", Path(__file__).with_name("tell_story.py")
    )
    assert spec is not None
    assert spec.loader is not None
    story = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(story)
    return story


if __name__ == "__main__":
    sys.stdout.writelines(f"{_story().line(record)}\n" for record in tell())
