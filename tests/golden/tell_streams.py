"""Print a session whose messages were written in chunks, one stored record per line.

How ``records-streams.jsonl`` was made; a golden file is never written again.
"""

from __future__ import annotations

from typing import Any

from eventlog import Log, Message, Record
from eventlog.session.streams.commands import BeginMessage, Holder
from eventlog.session.turns.commands import BeginTurn
from eventlog.session.turns.state import TurnFence
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import core_of, engine_of
from tests.golden.tell_story import THEN, line

OWNER: Any = {"host": "ada", "boot": "b", "pid": 7, "started": "1"}
MINUTE = 60_000_000


def tell() -> list[Record]:
    """Return the records of messages that were ended, interrupted and left."""
    clock = FakeClock()
    with Log(MemoryStore(), clock=clock, ids=NumberedIds()) as log:
        session = log.session("s", create=True)

        def do(command: Any, fence: TurnFence | None = None) -> Any:
            return engine_of(log).execute(core_of(log, "s"), command, fence=fence)

        def begin(message_id: str, fence: TurnFence | None = None) -> int:
            data: Any = {"id": message_id, "role": "assistant", "created_at": THEN}
            data["parts"] = []
            holder = Holder(OWNER)
            begun = do(BeginMessage(data, MINUTE, holder, in_turn=fence is not None), fence)
            return int(begun.fence)

        session.append(Message.user("hi", id="m1", created_at=THEN))
        fence = begin("m2")
        session.append_chunk("m2", fence, 1, "let me ")
        call = Message.call("look", {"at": "door"}, tool_id="c1")
        session.append_chunk("m2", fence, 2, [{"type": "text", "text": "look"}, call])
        session.record_tool_result("m2", "c1", "open")
        session.append_chunk("m2", fence, 3, "it is open")
        session.end_message("m2", fence)
        fence = begin("m3")
        session.append_chunk("m3", fence, 1, [call])
        session.interrupt_message("m3", fence)
        session.record_tool_result("m3", "c1", "late")
        begun = do(BeginTurn("t1", OWNER, MINUTE, 600.0))
        fence = begin("m4", TurnFence("t1", begun.attempt))
        session.append_chunk("m4", fence, 1, "half")
        return list(log.store.read("s"))


if __name__ == "__main__":
    for record in tell():
        print(line(record))
