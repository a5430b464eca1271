"""Print a session that was imported from a file of another program, one stored record per line.

How ``records-import.jsonl`` was made; a golden file is never written again. Its messages have parts
of foreign shapes, which schema 2 of ``message_appended`` weighs.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from eventlog import Log, Record
from eventlog.exchange.importing import Importer
from eventlog.exchange.notes import Notes
from eventlog.exchange.reading import read_conversations
from eventlog.log import engine_of
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from tests.golden.tell_story import line

CONVERSATION = {
    "id": "c-1",
    "label": "weather",
    "messages": [
        {"role": "user", "content": "How is the weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I should look.", "signature": "s"},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"where": "Oslo"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"}],
        },
        {"role": "assistant", "content": [{"type": "acme", "x": [1, {"y": False}]}]},
    ],
}


def tell() -> list[Record]:
    """Return the records of the session that a file of one conversation becomes."""
    with (
        TemporaryDirectory() as folder,
        Log(MemoryStore(), clock=FakeClock(), ids=NumberedIds()) as log,
    ):
        file = Path(folder, "chat.jsonl")
        file.write_text(json.dumps(CONVERSATION) + "\n", "utf-8")
        notes = Notes("chat.jsonl")
        importer = Importer(engine_of(log))
        for found in read_conversations(file, notes):
            placed = importer.place("c-1", found, is_named=True)
            session = log.session(placed.session_id, create=True)
            core = importer.engine.core(placed.session_id)
            importer.append(core, placed, found, session.version)
            importer.keep(core, found, notes.path)
        return list(log.store.read("c-1"))


if __name__ == "__main__":
    for record in tell():
        print(line(record))
