"""Random programs of producers: chunks in any cut, resent, late, in two processes at once (M7, P8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from eventlog import DuplicateEvent, LeaseLost, Log, Message, Session
from eventlog.errors import EventLogError
from eventlog.session.streams import commands
from eventlog.session.streams.content import joined_parts, text_part
from eventlog.stores.memory import MemoryStore
from eventlog.testing import FakeClock

LEASE_SECONDS = 60
IDS = ("a", "b")

PIECES = st.builds(
    text_part, st.text(max_size=5), st.sampled_from(["text", "reasoning"])
) | st.just({"type": "tool", "tool_id": "c", "tool_name": "t"})


@given(st.lists(PIECES), st.data())
def test_it_does_not_matter_where_a_message_is_cut(
    pieces: list[dict[str, Any]], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(pieces)))))
    chunks = [pieces[i:j] for i, j in zip([0, *cuts], [*cuts, len(pieces)], strict=True)]
    joined = [joined_parts(chunk) for chunk in chunks]

    assert joined_parts(part for chunk in joined for part in chunk) == joined_parts(pieces)


@dataclass
class Known:
    """What the program knows of a message."""

    producer: int
    fence: int
    lease_until: int
    chunks: list[str] = field(default_factory=list)
    state: str = "streaming"


class Program:
    """Two logs on one store, as two processes are, and what must be so."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        store = MemoryStore()
        self.logs = [Log(store, clock=self.clock) for _ in range(2)]
        self.logs[0].session("s", create=True).append(Message.user("hi"))
        self.known: dict[str, Known] = {}

    def session(self, process: int) -> Session:
        return self.logs[process].session("s")

    def run(self, steps: list[tuple[Any, ...]]) -> None:
        for name, *arguments in steps:
            getattr(self, name)(*arguments)
            self.note_interruptions()
        self.check()

    def note_interruptions(self) -> None:
        """A message may have been ended by others only when its lease was over."""
        streaming = {stream.message_id for stream in self.session(0).streams()}
        for message_id, known in self.known.items():
            if known.state == "streaming" and message_id not in streaming:
                assert known.lease_until <= self.clock(), message_id
                known.state = "interrupted"

    def check(self) -> None:
        found = {message.id: message for message in self.session(1).history()}
        for message_id, known in self.known.items():
            if known.state != "streaming" and (known.chunks or known.state == "ended"):
                message = found[message_id]
                assert message.text == "".join(known.chunks)
                assert (known.state == "interrupted") == ("interrupted" in message.model_extra)  # type: ignore[operator]
            else:
                assert message_id not in found
        assert self.logs[0].verify("s") == []

    # ---- steps --------------------------------------------------------------------------------

    def begin(self, process: int, message_id: str) -> None:
        try:
            begun = self.session(process).begin_message(message_id=message_id)
        except DuplicateEvent:
            assert message_id in self.known
        else:
            old = self.known.get(message_id)  # If nothing of it arrived, its id is free again.
            assert old is None or (not old.chunks and old.lease_until <= self.clock())
            self.known[message_id] = Known(process, begun.fence, self.clock() + 60_000_000)

    def chunk(self, message_id: str, text: str, times: int) -> None:
        known = self.known.get(message_id)
        if known is None:
            return
        session, number = self.session(known.producer), len(known.chunks) + 1
        try:
            for _ in range(times):
                session.append_chunk(message_id, known.fence, number, text)
        except LeaseLost:
            self.note_interruptions()
            assert known.state != "streaming"
        else:
            assert known.state == "streaming"
            known.chunks.append(text)
            known.lease_until = self.clock() + 60_000_000

    def resend(self, message_id: str, number: int) -> None:
        known = self.known.get(message_id)
        if known is not None and number <= len(known.chunks):
            text = known.chunks[number - 1]
            self.session(known.producer).append_chunk(message_id, known.fence, number, text)

    def intrude(self, process: int, message_id: str) -> None:
        """One that never had the message, or had it once: it has another fence."""
        known = self.known.get(message_id)
        if known is None:
            return
        with pytest.raises(LeaseLost):
            self.session(process).append_chunk(
                message_id, known.fence + 1, len(known.chunks) + 1, "!"
            )

    def end(self, message_id: str, times: int) -> None:
        known = self.known.get(message_id)
        if known is None:
            return
        try:
            for _ in range(times):
                self.session(known.producer).end_message(message_id, known.fence)
        except LeaseLost:
            self.note_interruptions()
            assert known.state == "interrupted"
        else:
            assert known.state in ("streaming", "ended")
            known.state = "ended"

    def append(self, process: int) -> None:
        self.session(process).append(Message.user("meanwhile"))
        self.note_interruptions()
        for message_id, known in self.known.items():
            assert known.state != "streaming" or known.lease_until > self.clock(), message_id

    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)


PROCESS, ID = st.integers(0, 1), st.sampled_from(IDS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), PROCESS, ID),
        st.tuples(st.just("chunk"), ID, st.sampled_from(["x", "yy"]), st.integers(1, 2)),
        st.tuples(st.just("resend"), ID, st.integers(1, 3)),
        st.tuples(st.just("intrude"), PROCESS, ID),
        st.tuples(st.just("end"), ID, st.integers(1, 2)),
        st.tuples(st.just("append"), PROCESS),
        st.tuples(st.just("wait"), st.sampled_from([1, 59, 61])),
    ),
    max_size=12,
)


@given(STEPS)
@settings(max_examples=40)
def test_programs_of_producers_keep_the_laws(steps: list[tuple[Any, ...]]) -> None:
    Program().run(steps)


def _breaks(steps: list[tuple[Any, ...]]) -> bool:
    try:
        Program().run(steps)
    except (AssertionError, EventLogError, pytest.fail.Exception):
        return True
    return False


def test_a_stream_that_is_fenced_by_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The canary: whoever knows the id may write."""

    def unfenced(command: Any, state: Any) -> Any:
        stream = state.streams.get(command.message_id)
        if stream is None:
            raise LeaseLost(command.message_id, command.fence, "gone", of="message")
        return stream

    monkeypatch.setattr(commands.StreamCommand, "own", unfenced)
    assert find(STEPS, _breaks, settings=settings(phases=[Phase.generate], max_examples=300))
