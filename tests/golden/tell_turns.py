"""Print a session with turns and withdrawals, one stored record per line.

How ``records-turns.jsonl`` was made; a golden file is never written again.
"""

from __future__ import annotations

from typing import Any

from eventlog import Log, Message, Record
from eventlog.session.commands import AppendMessages
from eventlog.session.turns.commands import (
    AbandonStaleTurn,
    BeginTurn,
    CompleteTurnStep,
    EndTurn,
    RenewTurn,
)
from eventlog.session.turns.state import TurnFence
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import core_of, engine_of
from tests.golden.tell_story import THEN, line

OWNER: Any = {"host": "ada", "boot": "b", "pid": 7, "started": "1"}
MINUTE = 60_000_000


def tell() -> list[Record]:
    """Return the records of turns that end in every way, and of what was withdrawn beside them."""
    clock = FakeClock()
    with Log(MemoryStore(), clock=clock, ids=NumberedIds()) as log:
        session = log.session("s", create=True)

        def do(command: Any, fence: TurnFence | None = None) -> Any:
            return engine_of(log).execute(core_of(log, "s"), command, fence=fence)

        def begin(turn_id: str, **options: Any) -> TurnFence:
            begun = do(BeginTurn(turn_id, OWNER, MINUTE, 600.0, **options))
            return TurnFence(turn_id, begun.attempt)

        say(session, "m1", "m2", "m3")
        session.withdraw(message_ids=["m2"])
        session.replace(message_ids=["m1"], messages=[message("m1", "edited")])
        fence = begin("t1")
        call = {"type": "tool", "tool_id": "c1", "tool_name": "f", "tool_status": "pending"}
        asks = message("m4", "?").model_dump(mode="json") | {"role": "assistant", "parts": [call]}
        data: Any = asks
        step = AppendMessages((Message.model_validate(asks),), (data,), (3,))
        do(CompleteTurnStep(fence, "ask", "d" * 32, {"n": 1}, None, step), fence)
        do(RenewTurn(fence, MINUTE), fence)
        do(EndTurn(fence, "failed", "ValueError: no"), fence)
        fence = begin("t1", resumes=True)
        do(EndTurn(fence, "completed", {"ok": True}), fence)
        fence = begin("t2", on_error="withdraw")
        do(EndTurn(fence, "cancelled", "CancelledError: "), fence)
        begin("t3")
        clock.advance(3600)
        do(AbandonStaleTurn())
        session.clear()
        return list(log.store.read("s"))


def message(id_: str, text: str) -> Message:
    return Message.user(text, id=id_, created_at=THEN)


def say(session: Any, *ids: str) -> None:
    for id_ in ids:
        session.append(message(id_, id_))


if __name__ == "__main__":
    for record in tell():
        print(line(record))
