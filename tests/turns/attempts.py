"""What the tests of turns have in common: messages, views, and attempts that end badly."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from eventlog import (
    Log,
    Message,
    Session,
)
from eventlog.audit.index_check import compare_index
from eventlog.session.projection import SessionFold
from eventlog.testing.inside import core_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from eventlog import Recorded
    from eventlog.session.events import MessageAppended


def user(id_: str) -> Message:
    return Message.user(id_, id=id_)


def calling(id_: str, tool_id: str) -> Message:
    part = {"type": "tool", "tool_id": tool_id, "tool_name": "t", "tool_status": "pending"}
    return Message.model_validate({"id": id_, "role": "assistant", "parts": [part]})


def tail(session: Session) -> list[str]:
    return [message.id for message in session.tail()]


def states(session: Session) -> dict[str, str]:
    return {turn.turn_id: turn.state for turn in session.turns()}


def marks_of(events: Sequence[Recorded]) -> dict[str, str | None]:
    """Return which turn each message is of, by id."""
    return {
        cast("MessageAppended", recorded.event).message["id"]: recorded.metadata.turn
        for recorded in events
    }


def check(log: Log, session: Session) -> None:
    """Assert that the session verifies, and that state and index follow from its records."""
    session.refresh()
    core = core_of(log, session.id)
    assert log.verify(session.id) == []
    fold = SessionFold(session.id)
    replayed = fold.fold(fold.initial(), list(core.store.read(session.id)))
    assert replayed == core.state
    assert fold.load(fold.dump(replayed)) == replayed
    assert compare_index(core.store) == []
    assert core.state.findings == []


@contextmanager
def raised(kind: type[BaseException], match: str | None = None) -> Generator[None]:
    """Expect that a turn, which is left with an exception, lets that go on."""
    with pytest.raises(kind, match=match):
        yield


class Killed(BaseException):
    """Ends an attempt as the death of its process does: nothing more is recorded."""


def killed(turn: Any) -> None:
    """Leave a turn as a process leaves it that is killed."""
    turn._run.stop()
    raise Killed
