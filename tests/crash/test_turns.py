"""An agent's loop of turns, crashed everywhere and started again until it is done (T1, T3, M7, P1, P8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from eventlog import Message
from eventlog.testing import CrashFound, Host, every_crash
from eventlog.testing.inside import core_of
from tests.shares import CRASH_SHARE

if TYPE_CHECKING:
    from eventlog import Session

TURNS = ("t1", "t2")


def _calling(tool_id: str) -> Message:
    part = {"type": "tool", "tool_id": tool_id, "tool_name": "t", "tool_status": "pending"}
    return Message.model_validate({"role": "assistant", "parts": [part]})


def _work(session: Session, turn: Any, made: list[str]) -> None:
    """Do the work of one turn; its messages draw their ids, as those of most agents do."""
    name = turn.turn_id
    session.append(Message.user(f"input of {name}"))
    call = session.append(_calling(name))

    def run() -> str:
        made.append(name)
        return f"output of {name}"

    output = turn.step("tool", run)
    session.record_tool_result(call.id, name, output)
    with session.stream("answer", background=False, chunk_bytes=1) as out:
        if not out.done:
            for token in ("answer", " of ", name):
                out.write(token)
            part = out.call("look", {}, tool_id=f"look-{name}")
            session.record_tool_result(out.id, part.tool_id, "seen")


def _loop(host: Host) -> None:
    session = host.open_log().session("chat", create=True)
    made = host.in_doubt = []
    for name in TURNS:
        with session.turn(name, resume=True) as turn:
            if not turn.done:
                _work(session, turn, made)
                turn.end(name)
        host.told.append(name)


def _loop_without_turns(host: Host) -> None:
    session = host.open_log().session("chat", create=True)
    for name in TURNS[len(host.told) :]:
        session.append(Message.user(f"input of {name}"))
        session.append(Message.assistant(f"answer of {name}"))
        host.told.append(name)


def _said(host: Host) -> list[str]:
    log = host.open_log()
    session = log.session("chat", create=True)
    assert log.verify("chat") == []
    assert not core_of(log, "chat").state.window.pending
    assert not session.streams()
    return [message.text for message in session.history() if message.text]


def _exact(host: Host) -> list[str]:
    """Start the loop again, as its supervisor would, and look at what it has said in the end."""
    host.clock.advance(61)
    told = list(host.told)
    _loop(host)
    host.told[:] = told
    said = _said(host)
    assert said == [text for name in TURNS for text in (f"input of {name}", f"answer of {name}")]
    return said


def test_a_loop_of_turns_is_exact_wherever_it_is_crashed() -> None:
    report = every_crash(_loop, _exact, every=CRASH_SHARE)

    assert report.points > 5
    assert report.images > 20


def test_the_same_loop_without_turns_doubles_inputs() -> None:
    """A canary: the crashes are such as turns are for."""

    def check(host: Host) -> list[str]:
        _loop_without_turns(host)
        said = _said(host)
        assert len(said) == len(set(said))
        return said

    with pytest.raises(CrashFound):
        every_crash(_loop_without_turns, check, every=CRASH_SHARE)
