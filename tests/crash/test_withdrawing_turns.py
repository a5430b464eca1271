"""Turns that withdraw what they leave unfinished, crashed everywhere and never begun again (M7, T1, T5).

Whoever comes next, and however late, finds all of a turn that completed and nothing of another; what
others said meanwhile is there; and the audit has all that was acknowledged.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest

from eventlog import Finalizer, Message, Summary, Worker
from eventlog.testing import CrashFound, Host, every_crash
from eventlog.testing.inside import core_of
from tests.shares import CRASH_SHARE, rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog import Log, Session, SummaryRequest
    from eventlog.session.turns.events import OnError

TURNS = ("t1", "t2")


def _calling(tool_id: str) -> Message:
    part = {"type": "tool", "tool_id": tool_id, "tool_name": "t", "tool_status": "pending"}
    return Message.model_validate({"role": "assistant", "parts": [part]})


def _texts(name: str) -> list[str]:
    return [f"input of {name}", f"answer of {name}"]


def _loop(host: Host, on_error: OnError = "withdraw") -> None:
    """Do two turns, while somebody else writes to the session; what was acknowledged is told."""
    session = host.open_log().session("chat", create=True)
    session.ensure_created()
    other = host.open_log().session("chat")
    for name in TURNS:
        with session.turn(name, on_error=on_error) as turn:
            session.append(Message.user(f"input of {name}"))
            host.told.append((name, "input of"))
            call = session.append(_calling(name))
            _say_beside(host, other, name)
            with session.stream(background=False, chunk_bytes=1) as out:
                for token in ("answer", f" of {name}"):
                    out.write(token)
                    host.told.append((name, token))
            session.record_tool_result(call.id, name, "found")
            turn.end(name)
        host.told.append((name, "ended"))


def _say_beside(host: Host, other: Session, name: str) -> None:
    other.append(Message.user(f"beside {name}", id=f"beside {name}"))
    host.told.append(("others", f"beside {name}"))


def _summarize(request: SummaryRequest) -> Summary:
    return Summary(overview="# done", abstract="done")


def _by_a_turn(log: Log) -> None:
    with log.session("chat", create=True).turn("next"):
        pass


def _by_a_commit(log: Log) -> None:
    log.session("chat", create=True).commit()


def _by_a_worker(log: Log) -> None:
    Worker(log, Finalizer(_summarize)).run_once()


NEXT: list[Callable[[Log], None]] = [_by_a_turn, _by_a_commit, _by_a_worker]


def _all_or_nothing(come: Callable[[Log], None], host: Host) -> list[str]:
    host.clock.advance(661)
    log = host.open_log()
    come(log)
    session = log.session("chat", create=True)
    session.ensure_created()
    said = [message.text for message in session.history() if message.text]
    states = {turn.turn_id: turn.state for turn in session.turns()}
    assert "open" not in states.values(), states
    assert session.streams() == ()
    assert not core_of(log, "chat").state.window.pending
    assert log.verify("chat") == []

    assert max(Counter(said).values(), default=1) == 1, said
    for name in TURNS:
        is_whole = states.get(name) == "completed"
        assert is_whole or (name, "ended") not in host.told
        assert [text for text in said if text in _texts(name)] == _texts(name) * is_whole
    _expect_what_was_told(host, session, said)
    return said


def _expect_what_was_told(host: Host, session: Session, said: list[str]) -> None:
    """The messages of others are there, and the audit has what was acknowledged of the turns."""
    audit = "\n".join(message.text for message in session.history(withdrawn=True))
    for who, what in host.told:
        if who == "others":
            assert what in said
        elif what != "ended":
            assert what in audit


@pytest.mark.parametrize("come", NEXT)
def test_a_turn_is_there_whole_or_not_at_all_wherever_its_process_ends(
    come: Callable[[Log], None],
) -> None:
    every = CRASH_SHARE * rounds(4, 1)
    first = 1 + NEXT.index(come) * (every // len(NEXT))
    report = every_crash(_loop, partial(_all_or_nothing, come), every=every, first=first)

    assert report.points > 2
    assert report.images > 5


def test_so_it_is_if_whoever_comes_next_is_crashed_as_well() -> None:
    check = partial(_all_or_nothing, _by_a_turn)
    report = every_crash(_loop, check, recovery=True, every=CRASH_SHARE * rounds(12, 4), first=60)

    assert report.recoveries > 5


def test_a_turn_that_keeps_its_messages_is_not_there_all_or_nothing() -> None:
    """A canary: the crashes are such as withdraw something."""
    keeping = partial(_loop, on_error="keep")
    with pytest.raises(CrashFound):
        every_crash(keeping, partial(_all_or_nothing, _by_a_turn), every=CRASH_SHARE)
