"""A streaming agent that loses its power at every write: each message is there once (M7, P1, P8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from eventlog import Message
from eventlog.session.streams import interrupting
from eventlog.testing import CrashFound, every_crash

if TYPE_CHECKING:
    from eventlog.testing import Host

ANSWERS = ("a1", "a2")


def agent(host: Host) -> None:
    """Answer twice; each chunk that was acknowledged is told."""
    session = host.open_log().session("chat", create=True)
    for answer in ANSWERS:
        session.append(Message.user("question", id=f"q-{answer}"))
        host.told.append((f"q-{answer}", "question"))
        with session.stream(message_id=answer, background=False, chunk_bytes=3) as out:
            for token in ("one", "two"):
                out.write(token)
                host.told.append((answer, token))
            call = out.call("search", {}, tool_id="c1")
            session.record_tool_result(answer, call.tool_id, "found")
            host.told.append((answer, "found"))
        host.told.append((answer, "ended"))


def each_message_is_there_once(host: Host) -> list[str]:
    """Recover as the service does: with the next command, once the lease has ended."""
    host.clock.advance(120)
    log = host.open_log()
    session = log.session("chat", create=True)
    session.append(Message.user("after", id="after"))

    messages = {message.id: message for message in session.history()}
    assert len(messages) == len(session.history())
    assert session.streams() == ()
    for message_id, said in host.told:
        message = messages[message_id]
        marks = message.model_extra or {}
        if said == "ended":
            assert "interrupted" not in marks, message
        elif said == "found":
            assert message.tools[0].tool_output == "found", message
        else:
            assert said in message.text, message
    for message in messages.values():
        assert all(call.tool_status != "pending" for call in message.tools), message
    assert log.verify("chat") == []
    return [f"{message.id} {message.text} {message.model_extra}" for message in messages.values()]


def test_an_agent_that_streams_survives_every_crash() -> None:
    report = every_crash(agent, each_message_is_there_once, every=9)
    assert report.points > 10


def test_two_recoveries_are_one() -> None:
    """The recovery is crashed, too, at each of its own steps."""
    report = every_crash(agent, each_message_is_there_once, recovery=True, every=60, first=45)
    assert report.recoveries > 20


# ---- canaries ----------------------------------------------------------------------------------


def test_a_recovery_that_forgets_what_arrived_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = interrupting.arrived

    def forgetful(*arguments: Any) -> object:
        found = arrived(*arguments)
        for entry in found.values():
            entry.data["parts"] = entry.data["parts"][:0]
        return found

    monkeypatch.setattr(interrupting, "arrived", forgetful)
    with pytest.raises(CrashFound):
        every_crash(agent, each_message_is_there_once, power=False, every=5)


def test_a_recovery_that_leaves_calls_open_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupting, "_closed_calls", lambda *arguments: [])
    with pytest.raises(CrashFound):
        every_crash(agent, each_message_is_there_once, power=False, every=2)
