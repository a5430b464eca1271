"""Views that read the newest messages only answer as if they had read all (X4 to X6)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import eventlog
from eventlog import (
    EventLogError,
    Finalizer,
    Log,
    Message,
    NonRetryableError,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.engine.queries import latest_overview
from eventlog.session import recent, window
from eventlog.session.context import (
    assemble,
    last_whole,
    paired,
    truncated,
    unique,
    weighed_anew,
)
from eventlog.session.reading import StoredMessage
from eventlog.session.tokens import estimate_tokens
from eventlog.session.version_ranges import ascending
from eventlog.testing.clock import FakeClock
from tests.shares import examples

TOOL_IDS = ("c0", "c1", "c2")


@contextmanager
def small_limits() -> Generator[None, None, None]:
    """Read a message or two at a time, and let the window forget most of the live ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recent, "FIRST_PAGE", 1)
        patch.setattr(recent, "LAST_PAGE", 3)
        patch.setattr(window, "KEEP_LIMIT", 8)
        patch.setattr(window, "_KNOWN_LIMIT", 10)
        yield


class History:
    """A session to which anything may happen that callers, workers and damage can do."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.session = log.session("s", create=True, failed_archives="skip")
        self.calls: list[tuple[str, str]] = []
        self.said = 0

    def run(self, step: int, number: int) -> None:
        steps = (
            self.user,
            self.assistant,
            self.call,
            self.call,
            self.call_without_arguments,
            self.result,
            self.result,
            self.carried_result,
            self.late_result,
            self.late_result,
            self.commit,
            self.finish,
            self.fail,
            self.lose_overview,
        )
        with suppress(EventLogError):  # Refused, as it may be: it changed nothing.
            steps[step % len(steps)](number)

    def id(self) -> str:
        self.said += 1
        return f"m{self.said}"

    def user(self, number: int) -> None:
        self.session.append(Message.user("q" * (number % 40), id=self.id()))

    def assistant(self, number: int) -> None:
        self.session.append(Message.assistant("a" * (number % 40), id=self.id()))

    def call(self, number: int) -> None:
        part = Message.call("look", {"n": number}, tool_id=TOOL_IDS[number % 3])
        self.called(Message.assistant("calls" if number % 2 else None, tools=(part,), id=self.id()))

    def call_without_arguments(self, number: int) -> None:
        part = {
            "type": "tool",
            "tool_id": TOOL_IDS[number % 3],
            "tool_name": "look",
            "tool_status": "pending",
        }
        self.called(Message.model_validate({"id": self.id(), "role": "assistant", "parts": [part]}))

    def called(self, message: Message) -> None:
        self.session.append(message)
        self.calls += [(message.id, part.tool_id) for part in message.tools]

    def result(self, number: int) -> None:
        self.session.append(Message.tool(TOOL_IDS[number % 3], "r" * (number % 30), id=self.id()))

    def carried_result(self, number: int) -> None:
        """A user's message that holds a result, alone or beside text, as Anthropic has it."""
        parts: list[Any] = [
            {"type": "tool_result", "tool_use_id": TOOL_IDS[number % 3], "content": "found"}
        ]
        if number % 2:
            parts.append({"type": "text", "text": "and go on"})
        self.session.append(
            Message.model_validate({"id": self.id(), "role": "user", "parts": parts})
        )

    def late_result(self, number: int) -> None:
        if self.calls:
            message_id, tool_id = self.calls[number % len(self.calls)]
            self.session.record_tool_result(
                message_id,
                tool_id,
                "late" * (number % 9),
                "error" if number % 5 == 0 else "completed",
            )

    def commit(self, number: int) -> None:
        if number % 3 == 0:
            self.session.commit(keep_turn_tokens=number % 60)
        else:
            self.session.commit(keep_recent=number % 6)

    def finish(self, _: int) -> None:
        self.work(Summary(overview="over" * 5, abstract="a"))

    def fail(self, _: int) -> None:
        self.work(None)

    def work(self, summary: Summary | None) -> None:
        async def summarize(_: SummaryRequest) -> Summary:
            if summary is None:
                raise NonRetryableError("no")
            return summary

        Worker(self.log, Finalizer(summarize), draw=lambda: 1.0).run_once()

    def lose_overview(self, _: int) -> None:
        """From now on the newest overview is damaged in the store."""
        overview = self.session._core.state.overview
        if overview is not None:
            store: Any = self.log.store
            stream = store._streams["s"]
            damaged = stream[overview.version - 1]._replace(data=b"{")
            stream[overview.version - 1] = damaged


def all_shown(session: Session) -> tuple[str, int, list[StoredMessage]]:
    core = session._core
    state = core.snapshot_of_state()
    overview, unreadable, uncovered = latest_overview(core, state)
    spans = [span for archive in uncovered for span in archive.takes]
    messages = core.reader.messages(ascending([*spans, *core.live_ranges()]))
    return overview, unreadable, messages


def as_if_all_were_read(session: Session, number: int) -> dict[str, Any]:
    live = session._core.reader.messages(session._core.live_ranges())
    overview, unreadable, shown = all_shown(session)
    weighed = weighed_anew(shown, estimate_tokens)
    newest = last_whole(paired(unique(shown)), number)
    return {
        "tail": [entry.message for entry in last_whole(live, number)] if number else [],
        "truncated": [entry.message for entry in truncated(live, recent=number)],
        "without question": [
            entry.message for entry in truncated(live, keep_first_user=False, recent=number)
        ],
        "search": (overview, [entry.message for entry in newest]),
        "context": assemble(
            overview,
            estimate_tokens(overview),
            weighed,
            token_budget=number * 9,
            failed_archives=len(session._core.state.failed),
            unreadable_overviews=unreadable,
        ),
    }


def as_read(session: Session, number: int) -> dict[str, Any]:
    search = session.context_for_search("?", max_messages=number)
    return {
        "tail": list(session.tail(last=number)),
        "truncated": list(session.truncated(recent=number)),
        "without question": list(session.truncated(keep_first_user=False, recent=number)),
        "search": (search.latest_archive_overview, list(search.current_messages)),
        "context": session.context(token_budget=number * 9),
    }


STEPS = st.lists(st.tuples(st.integers(0, 13), st.integers(0, 99)), max_size=45)


@examples(60, 6_000)
@given(STEPS, st.lists(st.integers(0, 14), min_size=2, max_size=4))
@example([(2, 0), *[(0, 9), (1, 9)] * 4, (5, 0), (0, 8), (1, 8)], [1, 3, 5])
@example([(7, 1), *[(1, 9)] * 9, (5, 2), (1, 8)], [1, 2, 3])
def test_bounded_reading_answers_as_if_all_were_read(
    steps: list[tuple[int, int]], numbers: list[int]
) -> None:
    """X4 to X6, C3: with late results, results without a call, failed archives and lost overviews;
    at the end, and on the way, where what was found out before is used again."""
    with small_limits(), Log(eventlog.open("memory:").store, clock=FakeClock()) as log:
        history = History(log)
        for place, (step, number) in enumerate(steps):
            history.run(step, number)
            if place % 7 == 6:
                asked = numbers[place % len(numbers)]
                assert as_read(history.session, asked) == as_if_all_were_read(
                    history.session, asked
                )
        if not steps:
            return
        for asked in numbers:
            assert as_read(history.session, asked) == as_if_all_were_read(history.session, asked)
