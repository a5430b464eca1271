"""Turns: units of an agent's work with a lease and a fence (T1 to T5)."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

import eventlog
from eventlog import (
    AutoCommitPolicy,
    InvalidArgument,
    LeaseLost,
    Log,
    Message,
    MessageWithdrawn,
    Session,
    SessionClosed,
    TurnClosed,
    TurnOpen,
    Worker,
)
from eventlog.audit.index_check import compare_index
from eventlog.session.projection import SessionFold
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import core_of, engine_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from eventlog import Recorded
    from eventlog.session.events import MessageAppended
    from eventlog.session.turns.events import TurnStepCompleted


@pytest.fixture
def log(clock: FakeClock) -> Iterator[Log]:
    """A log in memory: what turns are follows from the events alone."""
    with Log(MemoryStore(), clock=clock) as opened:
        yield opened


@pytest.fixture
def rival(log: Log, clock: FakeClock) -> Iterator[Log]:
    """Another log on the same store, as another process has it."""
    with Log(engine_of(log).store.inner, clock=clock) as opened:
        yield opened


@pytest.fixture
def session(log: Log) -> Session:
    return log.session("s", create=True)


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


# ---- T1: what belongs to a turn ---------------------------------------------------------------


def test_a_turn_is_completed_when_its_block_is_left(log: Log, session: Session) -> None:
    with session.turn("t1") as turn:
        assert (turn.turn_id, turn.attempt, turn.done) == ("t1", 1, False)
        session.append(user("q"))
        turn.append(Message.assistant("a", id="a"))

    assert tail(session) == ["q", "a"]
    assert states(session) == {"t1": "completed"}
    marks = [recorded.metadata.turn for recorded in log.read("s")]
    assert marks == [None, None, "t1", "t1", "t1"]
    check(log, session)


def test_begun_again_a_turn_withdraws_what_its_unfinished_attempt_added(
    log: Log, rival: Log, session: Session, clock: FakeClock
) -> None:
    session.append(user("before"))
    with raised(Killed), session.turn("t1") as turn:
        turn.append(user("q"))
        turn.append(calling("c", "x"))
        rival.session("s").append(user("other"))
        rival.session("s").append({"role": "tool", "tool_call_id": "x", "content": "1", "id": "r"})
        turn.record_tool_result("c", "x", "2")
        killed(turn)
    assert tail(session) == ["before", "q", "c", "other", "r"]
    clock.advance(61)

    with session.turn("t1") as turn:
        assert turn.attempt == 2
        assert tail(session) == ["before", "other"]
        session.append(user("q"))
        turn.append(Message.assistant("again", id="c"))
        turn.append(user("q"))  # The id is its key, as ever.

    assert tail(session) == ["before", "other", "q", "c"]
    assert [message.id for message in session.history()] == tail(session)
    check(log, session)


def test_a_turn_that_starts_anew_without_withdrawing_is_found(
    session: Session, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canary: the loop's input would be there twice."""
    monkeypatch.setattr("eventlog.session.turns.commands.plan_withdrawal", lambda *_, **__: None)
    for _ in range(2):
        with raised(Killed), session.turn("t1") as turn:
            turn.append(Message.user("drawn id"))
            killed(turn)
        clock.advance(61)

    assert len(session.tail()) == 2


def test_results_that_an_attempt_recorded_for_earlier_calls_are_withdrawn_too(
    log: Log, session: Session, clock: FakeClock
) -> None:
    session.append(calling("c", "x"))
    with raised(Killed), session.turn("t1") as turn:
        turn.record_tool_result("c", "x", "first")
        killed(turn)
    clock.advance(61)

    with session.turn("t1") as turn:
        assert session.tail()[0].parts[0].model_dump()["tool_status"] == "pending"
        session.record_tool_result("c", "x", "second")
        session.record_tool_result("c", "x", "second")

    assert session.tail()[0].parts[0].model_dump()["tool_output"] == "second"
    assert session.commit().archived == 1
    assert session.history()[0].parts[0].model_dump()["tool_output"] == "second"
    check(log, session)


def test_a_bare_thread_uses_the_handle_and_a_task_inherits_the_turn(session: Session) -> None:
    with session.turn("t1") as turn:
        plain = threading.Thread(target=session.append, args=(user("plain"),))
        bound = threading.Thread(target=turn.append, args=(user("bound"),))
        for thread in (plain, bound):
            thread.start()
            thread.join()

        async def inside() -> None:
            await asyncio.to_thread(session.append, user("inherited"))

        asyncio.run(inside())

    marks = marks_of(session.timeline(types=["message_appended"]))
    assert marks == {"plain": None, "bound": "t1", "inherited": "t1"}


def test_a_streamed_message_belongs_to_the_turn(
    log: Log, session: Session, clock: FakeClock
) -> None:
    def attempt(*, dies: bool) -> None:
        with session.turn("t1") as turn:
            turn.append(user("q"))
            with session.stream(message_id="a", background=False) as out:
                out.write("an answer")
            assert session.message("a").message.text == "an answer"
            if dies:
                killed(turn)

    with raised(Killed):
        attempt(dies=True)
    clock.advance(61)
    attempt(dies=False)

    assert tail(session) == ["q", "a"]
    assert marks_of(session.timeline(types=["message_appended"]))["a"] == "t1"
    check(log, session)


@pytest.mark.parametrize("times", [1, 2])
def test_what_an_attempt_was_still_writing_is_interrupted_and_withdrawn(
    log: Log, session: Session, clock: FakeClock, times: int
) -> None:
    """T1, M7: the audit has what a viewer saw."""
    part = {"type": "tool", "tool_id": "x", "tool_name": "t", "tool_status": "pending"}
    for _ in range(times):
        with raised(Killed), session.turn("t1") as turn:
            turn.append(user("q"))
            out = turn.stream(message_id="a", background=False).__enter__()
            out.write("half an ans")
            out.add(part)
            killed(turn)
        clock.advance(61)

    with session.turn("t1") as turn:
        assert tail(session) == []
        turn.append(user("q"))
        with session.stream(message_id="a", background=False) as again:
            again.write("whole")

    assert [message.text for message in session.history()] == ["q", "whole"]
    seen = [each for each in session.history(withdrawn=True) if each.id == "a"]
    assert [each.text for each in seen] == ["half an ans"] * times + ["whole"]
    assert not core_of(log, "s").state.window.pending
    assert not core_of(log, "s").state.streams
    check(log, session)


# ---- T2: one turn, a lease and a fence --------------------------------------------------------


def test_one_turn_is_open_at_a_time(session: Session, rival: Log, clock: FakeClock) -> None:
    with session.turn("t1"):
        clock.advance(7)
        for turn_id in ("t1", "t2"):
            with pytest.raises(TurnOpen) as caught, rival.session("s").turn(turn_id):
                pass
            assert (caught.value.turn_id, caught.value.age_seconds) == ("t1", 7.0)
            assert caught.value.lease_seconds == 53.0
            assert "process" in caught.value.owner
    with rival.session("s").turn("t2") as turn:
        assert turn.attempt == 1
    assert states(session) == {"t1": "completed", "t2": "completed"}


def test_inside_a_turn_another_one_always_raises(session: Session) -> None:
    with session.turn("t1") as turn:
        for again in (session, turn):
            with pytest.raises(TurnOpen, match="inside"), again.turn("t2", wait_seconds=1000):
                pass
    assert states(session) == {"t1": "completed"}


def test_a_second_turn_waits_for_the_end_of_the_first(session: Session, rival: Log) -> None:
    first = session.turn("t1").__enter__()
    began = threading.Event()

    def wait() -> None:
        with rival.session("s").turn("t2", wait_seconds=60) as turn:
            assert turn.attempt == 1
            began.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not began.is_set()
    first.__exit__(None, None, None)
    waiting.join(60)
    assert began.is_set()
    assert states(session) == {"t1": "completed", "t2": "completed"}


def test_a_late_owner_changes_nothing(
    log: Log, rival: Log, session: Session, clock: FakeClock
) -> None:
    session.append(user("a"))
    other = rival.session("s")
    late = session.turn("t1").__enter__()
    late.append(user("q"))
    clock.advance(61)
    with other.turn("t1") as turn:
        turn.append(user("q"))
        for act in (
            lambda: late.append(user("late")),
            lambda: late.append(user("q")),
            lambda: session.append(user("late")),
            lambda: late.extend([user("late")]),
            lambda: late.step("s", lambda: 1),
            late.end,
            lambda: late.withdraw(last=1),
            late._run.renew,
        ):
            with pytest.raises(LeaseLost):
                act()
    with pytest.raises(LeaseLost):
        late.__exit__(None, None, None)
    assert tail(session) == ["a", "q"]
    assert states(session) == {"t1": "completed"}
    assert session.turns()[0].attempt == 2
    check(log, session)


def test_a_renewed_lease_lasts(session: Session, rival: Log, clock: FakeClock) -> None:
    with session.turn("t1") as turn:
        updated = session.meta.updated_at
        for _ in range(5):
            clock.advance(40)
            turn._run.renew()
        with pytest.raises(TurnOpen), rival.session("s").turn("t1"):
            pass
        assert session.meta.updated_at == updated
        assert session.turns()[0].lease_until == "2026-01-01T00:04:20.000000Z"


def test_the_lease_is_renewed_by_a_thread_of_the_log(session: Session) -> None:
    """F2b: the code of the turn, here a busy loop, need not give way."""
    with session.turn("t1", lease_seconds=0.03):
        while not session.timeline(types=["turn_renewed"]):
            pass
    assert states(session) == {"t1": "completed"}


def test_an_owner_that_is_proven_dead_loses_its_turn_at_once(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.turn("t1").__enter__().append(user("q"))
    monkeypatch.setattr("eventlog.engine.turns.is_gone", lambda owner, store: True)
    from eventlog.engine.turn_context import _bound

    _bound.set(())
    with session.turn("t1") as turn:
        assert turn.attempt == 2
        assert tail(session) == []


def test_waiting_is_no_attempt(session: Session, rival: Log) -> None:
    with session.turn("t1"):
        for _ in range(3):
            with pytest.raises(TurnOpen), rival.session("s").turn("t1", wait_seconds=0.01):
                pass
    assert session.turns()[0].attempt == 1


# ---- T3: steps --------------------------------------------------------------------------------


def test_a_finished_step_is_read_back_and_its_messages_come_again(
    log: Log, session: Session, clock: FakeClock
) -> None:
    calls: list[str] = []

    def ask(question: str) -> dict[str, str]:
        calls.append(question)
        return {"answer": question.upper()}

    def work(turn: Any, *, dies: bool) -> None:
        turn.append(Message.user("drawn"))
        found = turn.step(
            "ask", ask, "why", messages=lambda made: [Message.assistant(made["answer"])]
        )
        assert found == {"answer": "WHY"}
        if dies:
            killed(turn)
        turn.append(Message.assistant("end"))

    for dies in (True, True, False):
        clock.advance(61)
        try:
            with session.turn("t1", resume=True) as turn:
                work(turn, dies=dies)
        except Killed:
            pass

    assert calls == ["why"]
    assert [message.text for message in session.tail()] == ["drawn", "WHY", "end"]
    assert session.turns()[0].attempt == 3
    check(log, session)


def test_without_resume_steps_run_again(session: Session, clock: FakeClock) -> None:
    calls: list[int] = []
    for _ in range(2):
        clock.advance(61)
        with raised(Killed), session.turn("t1") as turn:
            turn.step("s", calls.append, 1)
            killed(turn)
    assert calls == [1, 1]


def test_with_other_arguments_a_step_runs_again(session: Session, clock: FakeClock) -> None:
    outputs: list[int] = []
    for number in (1, 2, 2):
        clock.advance(61)
        with raised(Killed), session.turn("t1", resume=True) as turn:
            outputs.append(turn.step("double", lambda value: value * 2, number))
            killed(turn)
    assert outputs == [2, 4, 4]


def test_a_name_is_used_once_in_an_attempt(session: Session) -> None:
    with session.turn("t1") as turn:
        assert turn.step("s", lambda: 1) == 1
        with pytest.raises(InvalidArgument, match="'s' was used before"):
            turn.step("s", lambda: 2)
        with pytest.raises(ZeroDivisionError):
            turn.step("fails", lambda: 1 / 0)
        assert turn.step("fails", lambda: 3) == 3
        for name in ("", 7, "\ud800"):
            with pytest.raises(InvalidArgument):
                turn.step(name, int)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="cannot be stored"):
            turn.step("object", object)


def test_an_output_is_returned_as_a_later_attempt_reads_it(session: Session) -> None:
    with session.turn("t1") as turn:
        pair: Any = turn.step("tuple", lambda: (1, 2))
        assert pair == [1, 2]
        large = "x" * 100_000
        assert turn.step("large", lambda: large) == large
    stored = session.timeline(types=["turn_step_completed"])
    assert [cast("TurnStepCompleted", each.event).blob is None for each in stored] == [True, False]


# ---- T4: commits ------------------------------------------------------------------------------


def test_a_commit_takes_nothing_of_an_open_turn_whoever_wrote_it(
    log: Log, rival: Log, session: Session
) -> None:
    session.extend([user("a"), user("b")])
    with session.turn("t1") as turn:
        turn.append(user("q"))
        rival.session("s").append(user("other"))
        assert session.commit().archived == 2
        assert session.commit().reason == "turn_open"
        assert rival.session("s").commit(keep_recent=1).reason == "turn_open"
        assert session.commit(keep_recent=9).reason == "all_within_keep_window"
    assert tail(session) == ["q", "other"]
    assert session.commit().archived == 2
    check(log, session)


def test_automatic_commits_count_only_what_could_be_taken(log: Log, clock: FakeClock) -> None:
    policy = AutoCommitPolicy(messages=3, idle_seconds=60.0)
    session = log.session("auto", create=True, auto_commit=policy)
    with session.turn("t1"):
        session.extend([user(f"m{number}") for number in range(5)])
        assert session.meta.commit_count == 0
        clock.advance(120)
        assert engine_of(log).commit_idle() == ()
    session.append(user("more"))
    assert session.meta.commit_count == 1
    check(log, session)


# ---- T5: ends ---------------------------------------------------------------------------------


def test_a_completed_turn_never_runs_again(session: Session) -> None:
    with session.turn("t1") as turn:
        turn.append(user("q"))
        turn.end({"answer": 42})
        turn.end({"answer": 42})
        assert turn.result == {"answer": 42}
        with pytest.raises(LeaseLost):
            turn.append(user("late"))
    with session.turn("t1") as turn:
        assert (turn.done, turn.result, turn.attempt) == (True, {"answer": 42}, 1)
        session.append(user("outside"))
    with session.turn("t2"):
        pass
    with session.turn("t2") as turn:
        assert (turn.done, turn.result) == (True, None)
    assert tail(session) == ["q", "outside"]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ValueError("no"), "failed"),
        (KeyboardInterrupt(), "cancelled"),
        (SystemExit(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
def test_a_turn_ends_as_its_block_is_left(
    log: Log, session: Session, error: BaseException, state: str
) -> None:
    with raised(type(error)), session.turn("t1") as turn:
        turn.append(calling("c", "x"))
        raise error

    assert states(session) == {"t1": state}
    part = session.tail()[0].parts[0].model_dump()
    assert (part["tool_status"], part["tool_output"], part["interrupted"]) == (
        "error",
        "interrupted",
        True,
    )
    session.record_tool_result("c", "x", "late but real")
    part = session.tail()[0].parts[0].model_dump()
    assert (part["tool_status"], part["tool_output"]) == ("completed", "late but real")
    assert "interrupted" not in part
    with session.turn("t1") as turn:
        assert (turn.attempt, tail(session)) == (2, [])
    check(log, session)


def test_a_turn_can_withdraw_what_it_added_when_it_fails(log: Log, session: Session) -> None:
    session.append(user("a"))
    with raised(ValueError, match="no"), session.turn("t1", on_error="withdraw") as turn:
        turn.extend([user("q"), calling("c", "x")])
        raise ValueError("no")

    assert tail(session) == ["a"]
    assert session.turns()[0].error == "ValueError: no"
    with pytest.raises(MessageWithdrawn):
        session.append(user("q"))
    check(log, session)


def test_a_failed_turn_of_which_a_commit_took_part_takes_a_new_id(
    log: Log, session: Session
) -> None:
    with raised(ValueError, match="no"), session.turn("t1") as turn:
        turn.extend([user("q"), user("r")])
        raise ValueError("no")
    session.commit(keep_recent=1)

    with pytest.raises(TurnClosed) as caught, session.turn("t1"):
        pass
    assert (caught.value.turn_id, caught.value.state) == ("t1", "failed")
    with session.turn("t2"):
        pass
    assert tail(session) == ["r"]
    check(log, session)


def test_a_stale_turn_holds_until_it_is_abandoned(
    log: Log, rival: Log, session: Session, clock: FakeClock
) -> None:
    with raised(Killed), session.turn("t1", stale_seconds=100.0) as turn:
        turn.append(user("q"))
        killed(turn)
    clock.advance(159)
    with pytest.raises(TurnOpen), session.turn("t2"):
        pass
    assert session.commit().reason == "turn_open"
    clock.advance(1)
    with session.turn("t2"):
        assert states(session) == {"t1": "abandoned", "t2": "open"}
    assert tail(session) == ["q"]
    check(log, session)


@pytest.mark.parametrize("on_error", ["keep", "withdraw"])
@pytest.mark.parametrize("by", ["commit", "worker", "turn"])
def test_a_stale_turn_is_abandoned_by_whoever_comes(
    log: Log, session: Session, clock: FakeClock, by: str, on_error: Any
) -> None:
    session.append(user("a"))
    with raised(Killed), session.turn("t1", on_error=on_error) as turn:
        turn.extend([user("q"), calling("c", "x")])
        killed(turn)
    clock.advance(661)

    if by == "commit":
        archived = session.commit().archived
        assert archived == (3 if on_error == "keep" else 1)
    elif by == "worker":
        Worker(log).run_once()
    else:
        with session.turn("t2"):
            pass
    assert states(session)["t1"] == "abandoned"
    said = [message.id for message in session.history()]
    assert said == (["a", "q", "c"] if on_error == "keep" else ["a"])
    assert not core_of(log, "s").state.window.pending
    check(log, session)


@pytest.mark.parametrize("end", ["close", "delete"])
def test_the_end_of_a_session_ends_its_turn(
    log: Log, rival: Log, session: Session, end: str
) -> None:
    with session.turn("t1") as turn:
        turn.append(calling("c", "x"))
        version = session.version
        getattr(rival.session("s"), end)()
        with pytest.raises((SessionClosed, LeaseLost)):
            turn.append(user("late"))
    types = [recorded.type for recorded in log.read("s", after=version)]
    assert types[:2] == ["tool_result_recorded", "turn_abandoned"]
    assert states(session) == {"t1": "abandoned"}
    check(log, session)


# ---- arguments and views ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"turn_id": ""},
        {"turn_id": "x" * 513},
        {"turn_id": 7},
        {"lease_seconds": 0},
        {"wait_seconds": -1},
        {"stale_seconds": "long"},
        {"on_error": "maybe"},
    ],
)
def test_arguments_of_turns_are_checked(session: Session, options: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"turn_id": "t", **options}
    with pytest.raises(InvalidArgument):
        session.turn(**arguments)


@pytest.mark.parametrize("turn_id", ["a/b", "a%2Fb", "../x", "ü👩‍🔬"])
def test_any_text_is_the_id_of_a_turn(log: Log, session: Session, turn_id: str) -> None:
    with session.turn(turn_id) as turn:
        turn.end(1)
    with session.turn(turn_id) as turn:
        assert turn.result == 1
    assert states(session) == {turn_id: "completed"}
    check(log, session)


def test_a_moment_has_the_turns_of_its_time(session: Session) -> None:
    with session.turn("t1"):
        session.append(user("q"))
        version = session.version
    assert [turn.state for turn in session.at(version=version).turns()] == ["open"]
    assert [turn.state for turn in session.at(version=session.version).turns()] == ["completed"]
    fork = session.fork("f")
    assert states(fork) == {"t1": "completed"}


def test_a_session_that_is_opened_again_knows_its_open_turn(clock: FakeClock) -> None:
    store = MemoryStore()
    with Log(store, clock=clock) as log:
        log.session("s", create=True).turn("t1").__enter__().append(user("q"))
    from eventlog.engine.turn_context import _bound

    _bound.set(())
    with Log(store, clock=clock) as log:
        session = log.session("s")
        assert states(session) == {"t1": "open"}
        clock.advance(61)
        with session.turn("t1") as turn:
            assert (turn.attempt, tail(session)) == (2, [])


# ---- the asynchronous twin --------------------------------------------------------------------


def run(main: Any) -> None:
    asyncio.run(main)


def test_a_turn_in_asyncio_is_bound_to_its_task_and_those_it_starts() -> None:
    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            entered, go_on = asyncio.Event(), asyncio.Event()

            async def agent() -> None:
                async with session.turn("t1", resume=True) as turn:
                    entered.set()
                    await asyncio.gather(session.append(user("x")), turn.append(user("y")))
                    await go_on.wait()

                    async def ask(value: int) -> int:
                        await asyncio.sleep(0)
                        return value + 1

                    assert await turn.step("ask", ask, 1, messages=[user("z")]) == 2
                    assert await turn.step("plain", lambda: 7) == 7
                    await turn.end("done")

            task = asyncio.create_task(agent())
            await entered.wait()
            await session.append(user("other"))
            with pytest.raises(TurnOpen):
                async with session.turn("t2"):
                    pass
            go_on.set()
            await task
            async with session.turn("t1") as turn:
                assert (turn.done, turn.result) == (True, "done")
            marks = marks_of(await session.timeline(types=["message_appended"]))
            assert marks == {"x": "t1", "y": "t1", "z": "t1", "other": None}
            assert await log.verify("s") == []

    run(main())


def test_a_cancelled_turn_is_recorded_as_cancelled() -> None:
    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            entered = asyncio.Event()

            async def agent() -> None:
                async with session.turn("t1") as turn:
                    await turn.append(calling("c", "x"))
                    entered.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(agent())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            (turn,) = await session.turns()
            assert turn.state == "cancelled"
            assert (await session.tail())[0].parts[0].model_dump()["interrupted"]

    run(main())


def test_a_second_turn_in_asyncio_waits() -> None:
    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)

            async def agent(name: str) -> None:
                async with session.turn(name, wait_seconds=60):
                    await session.append(user(name))
                    await asyncio.sleep(0)

            await asyncio.gather(*(agent(f"t{number}") for number in range(3)))
            assert sorted(turn.state for turn in await session.turns()) == ["completed"] * 3
            versions = [message.id for message in await session.tail()]
            assert sorted(versions) == ["t0", "t1", "t2"]

    run(main())


def loop_of_an_agent(session: Session, turns: Sequence[str], die_after: int) -> None:
    """Run turns of an agent, each with a call and its result, and die after some commands."""
    done = 0

    def alive(turn: Any) -> None:
        nonlocal done
        done += 1
        if done >= die_after:
            killed(turn)

    for name in turns:
        with session.turn(name, resume=True) as turn:
            if turn.done:
                continue
            turn.append(Message.user(f"input of {name}"))
            alive(turn)
            turn.append(calling(f"call-{name}", "t"))
            alive(turn)
            output = turn.step("tool", lambda name=name: f"output of {name}")
            alive(turn)
            turn.record_tool_result(f"call-{name}", "t", output)
            alive(turn)
            turn.append(Message.assistant(f"answer of {name}"))
            alive(turn)


@pytest.mark.parametrize("die_after", range(1, 12))
def test_a_loop_that_dies_anywhere_doubles_no_input_and_orphans_no_call(
    log: Log, session: Session, clock: FakeClock, die_after: int
) -> None:
    for _ in range(30):
        try:
            loop_of_an_agent(session, ["t1", "t2", "t3"], die_after)
        except Killed:
            clock.advance(61)
            if die_after < 6:
                die_after += 1
        else:
            break
    texts = [message.text for message in session.tail() if message.text]
    assert texts == [
        text for name in ("t1", "t2", "t3") for text in (f"input of {name}", f"answer of {name}")
    ]
    assert not core_of(log, "s").state.window.pending
    check(log, session)
