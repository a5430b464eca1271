"""Print a session with runs that end in every way, one stored record per line.

How ``records-runs.jsonl`` was made; a golden file is never written again.
"""

from __future__ import annotations

from typing import Any

from eventlog import Log, Message, Record
from eventlog.session.runs.commands import RecordModelCall, SettleRun, StartRun, StopRun
from eventlog.session.turns.commands import BeginTurn, EndTurn
from eventlog.session.turns.state import TurnFence
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import core_of, engine_of
from tests.golden.tell_story import THEN, line

OWNER: Any = {"host": "ada", "boot": "b", "pid": 7, "started": "1"}
MINUTE = 60_000_000


def tell() -> list[Record]:
    """Return the records of runs that end in every way."""
    clock = FakeClock()
    with Log(MemoryStore(), clock=clock, ids=NumberedIds()) as log:
        session = log.session("s", create=True, provider="claude")

        def do(command: Any, fence: TurnFence | None = None) -> Any:
            return engine_of(log).execute(core_of(log, "s"), command, fence=fence)

        def start(run_id: str, provider: str = "claude") -> TurnFence:
            begin = BeginTurn(run_id, OWNER, MINUTE, 600.0, resumes=True)
            return TurnFence(run_id, do(StartRun(run_id, "here", provider, begin)).attempt)

        runs = [
            session.enqueue(Message.user(name, id=name, created_at=THEN))
            for name in ("m1", "m2", "m3", "m4")
        ]
        start(runs[0])
        do(SettleRun(runs[0], "crashed", "OSError: reset", provider_gone=True))
        clock.advance(1)
        fence = start(runs[0], "gemini")
        do(RecordModelCall(fence, "ask", 1, "failed", "OSError: reset", 0.5), fence)
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        do(RecordModelCall(fence, "ask", 2, "succeeded", usage=usage), fence)
        do(SettleRun(runs[0], "released", "the supervisor was stopped"))
        fence = start(runs[0], "gemini")
        do(EndTurn(fence, "completed", {"ok": True}), fence)
        start(runs[1])
        do(StopRun(reason="enough"))
        do(SettleRun(runs[1], "released", "the supervisor was stopped"))
        start(runs[2])
        do(SettleRun(runs[2], "failed", "ValueError: no"))
        session.retry(runs[2])
        do(SettleRun(runs[3], "abandoned", "no provider can process it"))
        return list(log.store.read("s"))


if __name__ == "__main__":
    for record in tell():
        print(line(record))
