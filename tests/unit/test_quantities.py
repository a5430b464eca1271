"""Numbers from callers: anything else, or one out of range, is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import eventlog
from eventlog import AutoCommitPolicy, InvalidArgument, Message, RetryPolicy, Session
from eventlog import ToolOutputPolicy as Outputs

Call = Callable[[Session, Any], object]

WHOLE: list[tuple[str, Call]] = [
    ("last", lambda session, value: session.tail(value)),
    ("token_budget", lambda session, value: session.context(value)),
    ("max_messages", lambda session, value: session.context_for_search("?", value)),
    ("recent", lambda session, value: session.truncated(recent=value)),
    ("keep_recent", lambda session, value: session.commit(keep_recent=value)),
    ("keep_turn_tokens", lambda session, value: session.commit(keep_turn_tokens=value)),
    ("messages", lambda _, value: AutoCommitPolicy(messages=value)),
    ("pending_tokens", lambda _, value: AutoCommitPolicy(pending_tokens=value)),
    ("keep_recent", lambda _, value: AutoCommitPolicy(messages=1, keep_recent=value)),
    ("inline_characters", lambda _, value: Outputs(inline_characters=value)),
    ("attempts", lambda _, value: RetryPolicy(attempts=value)),
]


@pytest.fixture
def session() -> Iterator[Session]:
    with eventlog.open("memory://") as log:
        session = log.session("s", create=True)
        session.append(Message.user("hello"))
        yield session


@pytest.mark.parametrize(("name", "call"), WHOLE)
@pytest.mark.parametrize("value", ["5", 1.5, [], float("nan")])
def test_what_is_no_whole_number_is_refused_by_name(
    session: Session, name: str, call: Call, value: Any
) -> None:
    with pytest.raises(InvalidArgument, match=rf"{name} is .*; it must be a whole number"):
        call(session, value)
    assert session.version == 2


@pytest.mark.parametrize(("name", "call"), WHOLE)
def test_what_counts_is_not_below_zero(session: Session, name: str, call: Call) -> None:
    with pytest.raises(
        InvalidArgument,
        match=rf"{name} is -1; it must be a number of \w+, (?:[01] or more|from 0 to)",
    ):
        call(session, -1)


@pytest.mark.parametrize("value", ["5", -1, float("nan"), float("inf"), None])
def test_what_is_no_time_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="base_seconds is "):
        RetryPolicy(base_seconds=value)


@pytest.mark.parametrize("value", ["5", 0, -1, float("nan"), float("inf")])
def test_a_session_is_idle_after_some_time(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="idle_seconds is "):
        AutoCommitPolicy(idle_seconds=value)
