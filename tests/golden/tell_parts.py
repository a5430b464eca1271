"""Print a session with parts of many shapes, as `message_appended` of schema 2, one record per line.

How ``records-parts.jsonl`` was made, which is never written again: the files before it hold
messages of schema 1.
"""

from __future__ import annotations

import json

import eventlog
from eventlog import Message
from eventlog.identifiers import format_id
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds

THEN = "2026-01-01T00:00:00.000000Z"
MESSAGES = [
    ("user", [{"type": "input_text", "text": "Show the log"}, {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]),
    ("assistant", [{"type": "thinking", "thinking": "Two logs."}, *({"type": "tool_use", "id": "t0", "name": "read", "input": {"path": path}} for path in ("a.log", "b.log", "c.log"))]),
    ("user", [{"type": "tool_result", "tool_use_id": "t0", "content": [{"type": "text", "text": "all is well"}]}]),
    ("assistant", [{"type": "acme.chart", "points": [1, 2]}, {"type": "function_call", "call_id": "f1", "name": "plot", "arguments": "{}"}]),
]  # fmt: skip


def main() -> None:
    with eventlog.open("memory:", clock=FakeClock(), ids=NumberedIds()) as log:
        session = log.session("golden parts", create=True)
        for number, (role, parts) in enumerate(MESSAGES):
            fields = {"id": f"m{number}", "role": role, "parts": parts, "created_at": THEN}
            session.append(Message.model_validate(fields))
        session.record_tool_result("m1", "t0", "not so well", occurrence=1)
        session.abandon_call("m1", "t0", occurrence=2)
        for recorded in log.read("golden parts"):
            record = recorded.record
            print(
                json.dumps(
                    {
                        **record._asdict(),
                        "position": int(str(record.position)),
                        "event_id": format_id(record.event_id),
                        "data": record.data.decode(),
                        "metadata": record.metadata.decode(),
                        "hash": record.hash.hex(),
                    },
                    ensure_ascii=False,
                )
            )


if __name__ == "__main__":
    main()
