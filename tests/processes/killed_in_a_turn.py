"""Kill a process with signal 9 at each step of a turn that withdraws what it leaves unfinished.

Arguments and steps are those of `killed_while_streaming`. The turn is never begun again. After each kill
two processes begin other turns at once, and a third looks at what is there: all of the turn if it
completed, and otherwise nothing of it, but for the audit, which has all that was acknowledged. Says
one line: the steps, how many processes were killed, and how many turns were withdrawn.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from eventlog import Log, Message, Session
from eventlog.testing.model.laws import check_laws

if TYPE_CHECKING:
    from tests.processes.killed_at_each_step import CHAT, DeadlySteps
    from tests.processes.killed_while_streaming import (
        acknowledged_of,
        kill_at_each,
        reopened,
        tell,
    )
else:
    from killed_at_each_step import CHAT, DeadlySteps
    from killed_while_streaming import acknowledged_of, kill_at_each, reopened, tell

OWN = ["question", "call", "answer"]
"""The messages of the turn, by their ids."""

CHUNKS = ["the ", "answer"]


def calling() -> Message:
    part = {"type": "tool", "tool_id": "c", "tool_name": "t", "tool_status": "pending"}
    return Message.model_validate({"id": "call", "role": "assistant", "parts": [part]})


def scenario(log: Log, steps: DeadlySteps, told: Path) -> None:
    """Do one turn, with a call and a stream, while others append; note what was acknowledged.

    Its lease is over at once, which harms it in nothing while nobody else comes.
    """
    session = log.session(CHAT, create=True)
    session.append(Message.user("before", id="before"))
    told.with_suffix(".before").write_text(str(steps.count))
    turn = session.begin_turn("t", on_error="withdraw", lease_seconds=0.001, stale_seconds=0)
    tell(told, "t", "begun")
    turn.append(Message.user("question", id="question"))
    tell(told, "question", "said")
    session.append(Message.user("of others", id="others"))
    tell(told, "others", "said")
    turn.append(calling())
    tell(told, "call", "said")
    with turn.stream(message_id="answer", background=False, chunk_bytes=1) as out:
        for chunk in CHUNKS:
            out.write(chunk)
            tell(told, "answer", chunk)
    turn.record_tool_result("call", "c", "found")
    turn.end("done")
    tell(told, "t", "ended")


def recover(session: Session, number: int) -> None:
    """Begin another turn, which abandons the one whose process has ended."""
    with session.turn(f"after {number}", wait_seconds=60) as turn:
        turn.append(Message.user("and then?", id=f"after {number}"))


def check(kind: str, path: Path) -> int:
    """Compare what is there with what was acknowledged; return how many turns were withdrawn."""
    log = reopened(kind, path)
    check_laws(log.store)
    session = log.session(CHAT)
    states = {turn.turn_id: turn.state for turn in session.turns()}
    assert (states.pop("after 0"), states.pop("after 1")) == ("completed", "completed")
    is_whole = states.get("t") == "completed"
    assert is_whole or "ended" not in acknowledged_of(path, "t")
    assert is_whole or states.get("t", "abandoned") == "abandoned"
    assert states or not acknowledged_of(path, "t")
    assert session.streams() == ()

    found = [message.id for message in session.history()]
    assert len(set(found)) == len(found)
    assert [id_ for id_ in found if id_ in OWN] == OWN * is_whole
    assert found[0] == "before"
    assert "others" in found or not acknowledged_of(path, "others")
    audit = {message.id: message.text for message in session.history(withdrawn=True)}
    assert all(id_ in audit for id_ in OWN if acknowledged_of(path, id_))
    assert audit.get("answer", "").startswith("".join(acknowledged_of(path, "answer")))
    log.close()
    return int(states.get("t") == "abandoned")


def main(folder: Path, kind: str, every: int = 1, first: int = 1) -> None:
    kill_at_each(folder, kind, every, first, scenario, recover, check)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
