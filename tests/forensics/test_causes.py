"""Why: what led to an event, and what it led to, for turns, streams, runs and withdrawals."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog import Message, PlainRun, RestartPolicy, Supervisor
from eventlog.chain import chained_record
from eventlog.identifiers import draw_id
from eventlog.records import Append

if TYPE_CHECKING:
    from eventlog import Log, Session
    from eventlog.testing.clock import FakeClock


def chain(session: Session, version: int) -> list[tuple[int, str]]:
    """Return what led to an event: the version and the reason of each cause."""
    return [(cause.version, cause.reason) for cause in session.why(version)[1:]]


def version_of(session: Session, type_: str, nth: int = 0) -> int:
    return session.timeline(types=[type_])[nth].version


def test_what_is_recorded_in_a_turn_is_because_of_its_attempt(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("before", id="before"))
    with session.turn("turn-1") as turn:
        session.append(Message.user("question", id="q"))
        session.used(["viking://a"])
        work = turn.step("search", lambda: "found", messages=[Message.assistant("found")])
        session.queue_task("acme.work", {"found": work})
        turn.end({"done": True})
    begun = version_of(session, "turn_begun")
    attempt = (begun, "attempt 1 at the turn turn-1")

    assert chain(session, begun - 1) == []
    step = version_of(session, "turn_step_completed")
    for type_ in ("contexts_used", "turn_step_completed", "task_queued", "turn_completed"):
        assert chain(session, version_of(session, type_)) == [attempt], type_
    assert chain(session, begun + 1) == [attempt]
    assert chain(session, step + 1) == [(step, "the step search of its turn"), attempt]
    tree = [(cause.depth, cause.version) for cause in session.why(begun, tree=True)]
    assert tree == [
        (0, begun),
        *((1, version) for version in range(begun + 1, step + 1)),
        (2, step + 1),
        *((1, version) for version in range(step + 2, session.version + 1)),
    ]


def test_a_streamed_message_leads_back_to_its_beginning_and_its_turn(log: Log) -> None:
    session = log.session("s", create=True)
    with session.turn("turn-1") as turn, turn.stream("answer", role="assistant") as out:
        out.write("half an ")
        out.call("look", {}, tool_id="c-1")
    session.record_tool_result(out.id, "c-1", "found")
    begun, first = version_of(session, "turn_begun"), version_of(session, "message_begun")
    end = version_of(session, "message_ended")
    attempt = (begun, "attempt 1 at the turn turn-1")
    up_to_stream = [(first, "the beginning of the message"), attempt]

    assert chain(session, version_of(session, "chunk_appended")) == up_to_stream
    assert chain(session, end) == up_to_stream
    assert chain(session, end + 1) == [(end, "the end of its stream"), *up_to_stream]
    result = version_of(session, "tool_result_recorded")
    assert chain(session, result)[0] == (end + 1, "the message that made the call c-1")
    assert chain(session, result)[-1] == attempt


def test_a_result_that_comes_while_its_call_is_written_is_because_of_that(log: Log) -> None:
    session = log.session("s", create=True)
    with session.stream(role="assistant", background=False, chunk_bytes=1) as out:
        out.call("look", {}, tool_id="c-1")
        session.record_tool_result(out.id, "c-1", "found")
    begun = version_of(session, "message_begun")
    kept = version_of(session, "result_kept")
    assert chain(session, kept) == [(begun, "the message that made the call c-1")]


def test_a_turn_begun_again_leads_back_to_the_attempt_before(log: Log) -> None:
    session = log.session("s", create=True)
    with suppress(ZeroDivisionError), session.turn("turn-1"):
        session.append(Message.user("question", id="q"))
        _ = 1 / 0
    with session.turn("turn-1"):
        session.append(Message.user("question", id="q"))
    first, again = (version_of(session, "turn_begun", nth) for nth in (0, 1))
    failed = version_of(session, "turn_failed")
    before = [(failed, "the attempt before it"), (first, "attempt 1 at the turn turn-1")]

    assert chain(session, again) == before
    assert chain(session, again + 1) == [(again, "attempt 2 at the turn turn-1"), *before]
    withdrawn = version_of(session, "messages_withdrawn")
    assert chain(session, withdrawn) == [
        (first + 1, "the first record that it takes out"),
        (first, "attempt 1 at the turn turn-1"),
    ]


def test_a_message_in_the_place_of_another_is_because_of_the_withdrawal(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("first", id="a"))
    session.append(Message.user("second", id="b"))
    session.replace(message_ids=["b"], messages=[Message.user("better", id="c")])
    session.append(Message.user("third", id="d"))
    withdrawn = version_of(session, "messages_withdrawn")
    found = [(withdrawn, "the withdrawal in whose place it came")]

    assert chain(session, withdrawn) == [(3, "the first record that it takes out")]
    assert chain(session, withdrawn + 1)[:1] == found
    assert chain(session, session.version) == []


def ran(log: Log, clock: FakeClock) -> Session:
    """Return a session with a run whose first attempt crashed."""

    def agent(run: PlainRun) -> None:
        run.call(lambda: "said")
        call = Message.call("look", {}, tool_id="c-1")
        asked = run.session.append(Message.assistant("Looking.", tools=(call,)))
        run.session.record_tool_result(asked.id, "c-1", "found")
        if run.attempt == 1:
            raise ConnectionError("provider died")

    session = log.session("s", create=True)
    session.enqueue(Message.user("in the queue", id="in"))
    for _ in range(2):
        asyncio.run(Supervisor(log, agent, restarts=RestartPolicy(delays=(1,))).run_once())
        clock.advance(30)
    return session


def test_what_a_run_does_leads_back_to_the_message_that_was_queued(
    log: Log, clock: FakeClock
) -> None:
    session = ran(log, clock)
    queued = version_of(session, "message_enqueued")
    starts = [version_of(session, "run_started", nth) for nth in (0, 1)]
    turns = [version_of(session, "turn_begun", nth) for nth in (0, 1)]
    crash = version_of(session, "run_crashed")
    results = [version_of(session, "tool_result_recorded", nth) for nth in (0, 1)]

    first = [turns[0], starts[0], queued]
    assert [version for version, _ in chain(session, results[0])] == [results[0] - 1, *first]
    second = [results[1] - 1, turns[1], starts[1], crash, starts[0], queued]
    assert [version for version, _ in chain(session, results[1])] == second
    reasons = [reason for _, reason in chain(session, turns[1])]
    assert reasons == [
        "the attempt of the run",
        "the step of the run before it",
        "the step of the run before it",
        "the message that waited for the run",
    ]
    assert chain(session, version_of(session, "model_called"))[0][0] == starts[0]
    # Everything in this session followed from that one message.
    tree = {cause.version for cause in session.why(queued, tree=True)}
    assert tree == set(range(queued, session.version + 1))


def test_every_cause_is_earlier_and_the_twin_names_the_same(log: Log, clock: FakeClock) -> None:
    session = ran(log, clock)

    async def twins() -> None:
        async with eventlog.AsyncLog(log) as twin:
            other = await twin.session("s")
            for version in range(1, session.version + 1):
                causes = session.why(version)
                versions = [cause.version for cause in causes]
                assert versions == sorted(versions, reverse=True)
                assert await other.why(version) == causes
                tree = session.why(version, tree=True)
                assert await other.why(version, tree=True) == tree
                assert all(chain_of.version >= version for chain_of in tree)

    asyncio.run(twins())


@pytest.mark.parametrize(
    "metadata",
    [
        b'{"causation_id":["x"]}',
        b'{"causation_id":{}}',
        b'{"turn":["t"],"attempt":1}',
        b'{"turn":{},"attempt":[]}',
        b'{"turn":"t","attempt":"1"}',
        b"[]",
        b"\xff",
    ],
)
def test_metadata_of_any_kind_name_no_cause(log: Log, metadata: bytes) -> None:
    """G9: only damage, or a forger, stores such."""
    session = log.session("s", create=True)
    session.append(Message.user("before"))
    head = log.store.head("s")
    record = chained_record(
        head.hash, "s", 3, draw_id(), "acme.done", 1, head.time, b"{}", metadata
    )
    log.store.append([Append("s", 2, (record,))])
    session.refresh()

    assert chain(session, 3) == []
    assert len(session.why(1, tree=True)) == 1
