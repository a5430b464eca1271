"""Random programs of turns that stream, in two processes: exact, and exact when looked back at.

Between the commands of a turn others append, answer its calls, withdraw and commit; attempts lapse, are
begun again elsewhere, and go on late (T1 to T5, M7, M13, A3).
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventlog import InvalidArgument, Log, Message, Session, Turn
from eventlog.errors import ConflictError, EventLogError, InvalidMessage
from eventlog.session.projection import SessionFold
from eventlog.session.turns import commands as turn_commands
from eventlog.session.turns.unfinished import Unfinished
from eventlog.session_face import core_of
from eventlog.stores.memory import MemoryStore
from eventlog.testing import FakeClock
from tests.shares import examples
from tests.streams.looking_back import Noted, Seen, expect_the_past, look

if TYPE_CHECKING:
    from collections.abc import Container

    from eventlog.records import Metadata

REFUSALS = (ConflictError, InvalidArgument, InvalidMessage)


class Program:
    """Two logs on one store, as two processes are, and what must be so after every step."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.logs = [Log(self.store, clock=self.clock) for _ in range(2)]
        self.logs[0].session("s", create=True).append(Message.user("hi", id="hi"))
        self.turns: dict[int, Turn] = {}
        self.open: dict[int, Any] = {}
        """The stream that each process has open."""
        self.said: set[tuple[int, str]] = set()
        self.noted: dict[int, Seen] = {}

    def session(self, process: int) -> Session:
        return self.logs[process].session("s")

    def run(self, steps: list[tuple[Any, ...]]) -> None:
        for name, *arguments in steps:
            with suppress(*REFUSALS):
                getattr(self, name)(*arguments)
            self.check()
        self.finish()
        self.look_back()

    # ---- steps --------------------------------------------------------------------------------

    def begin(self, process: int, turn_id: str, resume: bool, on_error: Any) -> None:
        turn = self.session(process).turn(turn_id, resume=resume, on_error=on_error)
        turn.__enter__()
        turn._run.release()  # pyright: ignore[reportPrivateUsage]
        if not turn.done:
            self.turns[process] = turn
            self.open.pop(process, None)

    def again(self, process: int, turn_id: str, resume: bool) -> None:
        """The owner is not heard of any more, and another one begins as a loop does."""
        self.clock.advance(61)
        self.begin(process, turn_id, resume, "keep")
        self.say(process, True)

    def say(self, process: int, own_id: bool) -> None:
        turn = self.turns.get(process)
        if turn is None or (turn.attempt, turn.turn_id) in self.said:
            return  # A loop adds its input once in an attempt.
        text = f"input of {turn.turn_id}"
        turn.append(Message.user(text, id=f"in-{turn.turn_id}") if own_id else Message.user(text))
        self.said.add((turn.attempt, turn.turn_id))

    def work(self, process: int, name: str) -> None:
        turn = self.turns.get(process)
        if turn is not None:
            turn.step(name, lambda: name, messages=[Message.assistant(f"made {name}")])

    def stream(self, process: int, name: str | None, own_id: bool, ends: str) -> None:
        turn = self.turns.get(process)
        if turn is None or process in self.open:
            return
        message_id = f"{turn.turn_id}-{name}" if own_id else None
        out = turn.stream(name, message_id=message_id, background=False, chunk_bytes=1)
        out.__enter__()
        if out.done:
            return
        self.open[process] = out
        out.write("half")
        out.call("look", {}, tool_id=f"c-{out.id}")
        if ends != "leave":
            self.close(process, ends)

    def close(self, process: int, ends: str) -> None:
        out = self.open.pop(process, None)
        if out is not None:
            out.end() if ends == "end" else out.interrupt()

    def end(self, process: int, how: str) -> None:
        turn = self.turns.pop(process, None)
        if turn is not None and how == "complete":
            turn.end()
        elif turn is not None:
            error = ValueError("no")
            turn.__exit__(type(error), error, None)

    def append(self, process: int) -> None:
        self.session(process).append(Message.user("meanwhile"))

    def answer(self, process: int) -> None:
        """Somebody else answers the calls that are open, also of a message that is written."""
        session = self.session(process)
        session.refresh()
        state = core_of(session).state
        found = [(call.message_id, call.tool_id) for call in state.window.pending]
        found += [(each.message_id, call) for each in state.streams.values() for call in each.calls]
        for message_id, tool_id in found:
            session.record_tool_result(message_id, tool_id, "found")

    def commit(self, process: int, keep: int) -> None:
        self.session(process).commit(keep_recent=keep)

    def note(self, process: int, by: int) -> None:
        self.session(process).record(Noted(by=by))

    def withdraw(self, process: int) -> None:
        self.session(process).withdraw(last=1)

    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    # ---- what must be so ----------------------------------------------------------------------

    def check(self) -> None:
        log = Log(self.store, clock=self.clock)
        session = log.session("s")
        texts = Counter(message.text for message in session.history())
        assert all(texts[f"input of {turn}"] <= 1 for turn in ("t1", "t2")), texts
        state = core_of(session).state
        for stream in state.streams.values():
            assert state.turn is not None, stream
            assert stream.turn == state.turn.fence, stream
        messages = {message.id: message for message in session.tail()}
        for call in state.window.pending:
            assert "interrupted" not in (messages[call.message_id].model_extra or {}), call
        self.check_attempts(log, messages)
        if session.version not in self.noted:
            self.noted[session.version] = look(session)

    def check_attempts(self, log: Log, live: Container[str]) -> None:
        """Of each turn, messages of its last attempt alone are live."""
        attempts: dict[str, int] = {}
        said: dict[str, Metadata] = {}
        for recorded in log.read("s"):
            event: Any = recorded.event
            if recorded.type == "turn_begun":
                attempts[event.turn] = event.attempt
            elif recorded.type == "message_appended":
                said[event.message["id"]] = recorded.metadata
        for message_id, metadata in said.items():
            if message_id in live and metadata.turn is not None:
                assert metadata.attempt == attempts[metadata.turn], message_id

    def finish(self) -> None:
        """Somebody comes much later: nothing is left open, and all follows from the records."""
        self.clock.advance(1_000)
        log = Log(self.store, clock=self.clock)
        session = log.session("s")
        with session.turn("last"):
            pass
        assert session.streams() == ()
        assert log.verify("s") == []
        fold = SessionFold("s")
        replayed = fold.fold(fold.initial(), list(self.store.read("s")))
        ends = {turn.turn_id: turn.state for turn in session.turns()}
        pending = [call.message_id for call in replayed.window.pending]
        assert not pending or "completed" in {ends.get("t1"), ends.get("t2")}, (pending, ends)

    def look_back(self) -> None:
        """A3: what is seen of a version is what was live at it; a fork of any version is sound."""
        expect_the_past(self.store, self.noted)
        log = Log(self.store, clock=self.clock)
        session = log.session("s")
        for version in sorted(self.noted)[:: max(1, len(self.noted) // 3)]:
            fork = session.fork(f"fork-{version}", version=version)
            assert log.verify(fork.id) == []
            assert [m.parts for m in fork.tail()] == [m.parts for m in self.noted[version].tail]


PROCESS = st.integers(0, 1)
TURN = st.sampled_from(["t1", "t1", "t2"])
NAME = st.sampled_from(["one", "two"])
STEP = st.one_of(
    st.tuples(
        st.just("begin"), PROCESS, TURN, st.booleans(), st.sampled_from(["keep", "withdraw"])
    ),
    *[st.tuples(st.just("again"), PROCESS, TURN, st.booleans())] * 2,
    st.tuples(st.just("say"), PROCESS, st.booleans()),
    st.tuples(st.just("work"), PROCESS, NAME),
    st.tuples(
        st.just("stream"), PROCESS, st.none() | NAME, st.booleans(),
        st.sampled_from(["end", "leave", "leave", "interrupt"]),
    ),
    st.tuples(st.just("close"), PROCESS, st.sampled_from(["end", "interrupt"])),
    st.tuples(st.just("end"), PROCESS, st.sampled_from(["complete", "fail"])),
    st.tuples(st.just("append"), PROCESS),
    st.tuples(st.just("answer"), PROCESS),
    st.tuples(st.just("commit"), PROCESS, st.integers(0, 2)),
    st.tuples(st.just("withdraw"), PROCESS),
    st.tuples(st.just("note"), PROCESS, st.integers(0, 9)),
    st.tuples(st.just("wait"), st.sampled_from([1, 61, 700])),
)  # fmt: skip
BEGUN = ("begin", 0, "t1", True, "keep")
STEPS = st.lists(STEP, max_size=14).map(lambda steps: [BEGUN, ("say", 0, False), *steps])


@given(STEPS)
@settings(examples(15, 200), suppress_health_check=[HealthCheck.too_slow])
def test_programs_of_turns_that_stream_keep_the_laws(steps: list[tuple[Any, ...]]) -> None:
    Program().run(steps)


CRASHED = [
    BEGUN,
    ("say", 0, False),
    ("stream", 0, "one", True, "leave"),
    ("again", 1, "t1", False),
    ("stream", 1, "one", True, "end"),
]


def _unplanned(facts: Any, state: Any, *rest: Any) -> Unfinished:
    return Unfinished((), state, facts)


@pytest.mark.parametrize(
    ("name", "broken"),
    [("end_unfinished", _unplanned), ("live_part", lambda *rest: (set[int](), set[int]()))],
    ids=["its stream stays open", "nothing is withdrawn"],
)
def test_a_turn_that_begins_again_wrongly_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: Any
) -> None:
    """Canaries: the laws do not hold by themselves."""
    Program().run(CRASHED)
    monkeypatch.setattr(turn_commands, name, broken)
    with pytest.raises((AssertionError, EventLogError)):
        Program().run(CRASHED)
