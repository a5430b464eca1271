"""Commits that follow from a session's own policy (C8)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import eventlog
from eventlog import (
    AutoCommitPolicy,
    Finalizer,
    InvalidArgument,
    Log,
    Message,
    NonRetryableError,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.audit.index_check import compare_index
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import core_of


def create(log: Log, **policy: Any) -> Session:
    return log.session("s", create=True, auto_commit=AutoCommitPolicy(**policy))


def say(session: Session, *ids: str) -> None:
    for id in ids:
        session.append(Message.user("four words of text.", id=id))


def archived(session: Session) -> list[int]:
    return [view.message_count for view in session.archives()]


def live(session: Session) -> list[str]:
    return [message.id for message in session.tail()]


# ---- by what was appended --------------------------------------------------------------------


def test_a_session_is_committed_when_it_has_so_many_messages(log: Log) -> None:
    session = create(log, messages=3)

    say(session, "m1", "m2")
    assert archived(session) == []
    say(session, "m3", "m4")

    assert archived(session) == [3]
    assert live(session) == ["m4"]


def test_a_session_is_committed_when_it_has_so_many_tokens(log: Log) -> None:
    session = create(log, pending_tokens=10)

    say(session, "m1")
    assert (session.meta.pending_tokens, archived(session)) == (5, [])
    say(session, "m2")

    assert archived(session) == [2]


def test_the_newest_messages_stay_live_and_do_not_count(log: Log) -> None:
    session = create(log, messages=2, keep_recent=2)

    say(session, "m1", "m2", "m3")
    assert archived(session) == []
    say(session, "m4", "m5")

    assert archived(session) == [2]
    assert live(session) == ["m3", "m4", "m5"]


def test_an_automatic_commit_is_an_ordinary_one(log: Log) -> None:
    session = create(log, messages=1)
    say(session, "m1")

    assert [recorded.type for recorded in log.read("s")] == [
        "session_created",
        "message_appended",
        "commit_prepared",
        "commit_published",
    ]
    assert [recorded.metadata.actor for recorded in log.read("s", after=2)] == ["auto-commit"] * 2
    assert Worker(log).run_once() == 1


def test_a_batch_is_committed_as_one(log: Log) -> None:
    session = create(log, messages=2)

    session.extend([Message.user("text", id=f"m{number}") for number in range(5)])

    assert archived(session) == [5]


def test_a_turn_that_awaits_a_result_does_not_count(log: Log) -> None:
    """Otherwise every later message would become a separate archive."""
    session = create(log, messages=2)
    say(session, "m1")
    call = Message.call("look", {}, tool_id="t")
    session.append(Message.assistant(tools=(call,), id="m2"))
    session.append(Message.assistant("still looking", id="m3"))
    assert archived(session) == []

    session.record_tool_result("m2", "t", "found")

    assert archived(session) == [3]


def test_that_automatic_commits_are_blocked_is_logged_once_and_harms_nobody(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """C5: a warning per message would drown the one that matters."""

    def summarize(request: SummaryRequest) -> Summary:
        raise NonRetryableError("no")

    session = create(log, messages=1)
    say(session, "m1")
    Worker(log, Finalizer(summarizer=summarize)).run_once()

    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="eventlog"):
        say(session, "m2", "m3")
        assert live(session) == ["m2", "m3"]
        assert session.meta.blocked_by == "archive_001"
        session.abandon("archive_001")  # In turn behind both, which nobody waits for.

    assert caplog.messages == ["automatic_commits_blocked"]
    assert vars(caplog.records[0])["archive_id"] == "archive_001"
    assert archived(session) == [1, 2]
    assert session.meta.blocked_by is None


def test_what_another_process_appended_counts(log: Log, rival: Log) -> None:
    session = create(log, messages=3)
    say(session, "m1")

    say(rival.session("s"), "m2", "m3")

    assert archived(session) == [3]


def test_an_append_that_is_repeated_makes_good_a_commit_that_was_not_made(log: Log) -> None:
    """A crash fell between the two: here, the committing process has no time for it."""
    session = create(log, messages=2)
    core = core_of(log, "s")
    core._after_round_from = 1_000
    say(session, "m1")
    session.append(Message.user("once", id="m2", created_at="then"))
    assert archived(session) == []

    core._after_round_from = 0
    session.append(Message.user("once", id="m2", created_at="then"))

    assert archived(session) == [2]


def test_asyncio_tasks_at_once_share_a_commit(log_url: str) -> None:
    async def main() -> tuple[int, int]:
        policy = AutoCommitPolicy(messages=10)
        async with eventlog.open_async(log_url, auto_commit=policy) as log:
            session = await log.session("s", create=True)
            await asyncio.gather(*(session.append(Message.user("x")) for _ in range(64)))
            result = await session.commit()  # Behind all that is under way.
            views = await session.archives()
            return result.archived, sum(view.message_count for view in views)

    rest, total = asyncio.run(main())

    assert rest < 10
    assert total == 64


# ---- by time ---------------------------------------------------------------------------------


def test_an_idle_session_is_committed_by_whoever_looks(log: Log, clock: FakeClock) -> None:
    session = create(log, idle_seconds=80)
    say(session, "m1")

    clock.advance(79)
    assert log.commit_idle() == ()
    clock.advance(11)
    (result,) = log.commit_idle()

    assert (result.archive_id, result.archived) == ("archive_001", 1)
    assert log.commit_idle() == ()
    assert archived(session) == [1]


def test_a_message_puts_the_end_of_the_wait_off(log: Log, clock: FakeClock) -> None:
    session = create(log, idle_seconds=80)
    for number in range(5):
        say(session, f"m{number}")
        clock.advance(60)
        assert log.commit_idle() == ()

    clock.advance(30)

    assert [result.archived for result in log.commit_idle()] == [5]


def test_a_worker_commits_idle_sessions_and_finalises_them(
    log: Log, rival: Log, clock: FakeClock
) -> None:
    session = create(log, idle_seconds=80)
    say(session, "m1")
    clock.advance(90)

    assert Worker(rival).run_once() == 1

    assert [view.state for view in session.archives()] == ["completed"]


def test_a_running_worker_looks_for_idle_sessions(log: Log, clock: FakeClock) -> None:
    session = create(log, idle_seconds=80)
    say(session, "m1")
    clock.advance(90)

    def summarize(request: SummaryRequest) -> Summary:
        worker.stop()
        return Summary(overview="o", abstract="a")

    worker = Worker(log, Finalizer(summarizer=summarize))
    worker.run()

    assert [view.state for view in session.archives()] == ["completed"]


def test_only_sessions_with_something_to_archive_are_looked_at(log: Log, clock: FakeClock) -> None:
    session = create(log, idle_seconds=80, keep_recent=1)
    say(session, "m1")
    assert list(log.store.scan("idle/", "idle0")) == []
    say(session, "m2")
    assert len(list(log.store.scan("idle/", "idle0"))) == 1

    clock.advance(90)
    log.commit_idle()

    assert list(log.store.scan("idle/", "idle0")) == []
    assert live(session) == ["m2"]


def test_of_many_messages_few_move_the_index_entry(log: Log, clock: FakeClock) -> None:
    session = create(log, idle_seconds=80)
    keys: set[str] = set()
    for number in range(40):
        say(session, f"m{number}")
        ((key, _),) = log.store.scan("idle/", "idle0")
        keys.add(key)
        clock.advance(0.5)

    assert len(keys) <= 4


def test_the_index_is_what_the_events_say(log: Log, clock: FakeClock) -> None:
    """L14: also when messages move the entry, and when a failure takes it away."""

    def summarize(request: SummaryRequest) -> Summary:
        raise NonRetryableError("no")

    session = create(log, idle_seconds=80, messages=50)
    for number in range(12):
        say(session, f"m{number}")
        clock.advance(7)
        assert compare_index(log.store) == []
    session.extend([Message.user("x"), Message.user("y")])
    session.commit(keep_recent=3)
    assert compare_index(log.store) == []
    Worker(log, Finalizer(summarizer=summarize)).run_once()
    assert list(log.store.scan("idle/", "idle0")) == []
    session.abandon("archive_001")
    assert len(list(log.store.scan("idle/", "idle0"))) == 1
    session.close()
    assert list(log.store.scan("idle/", "idle0")) == []
    assert compare_index(log.store) == []


# ---- the policy itself -----------------------------------------------------------------------


def test_a_policy_holds_in_every_process(log: Log, rival: Log) -> None:
    say(create(log, messages=2), "m1")

    elsewhere = rival.session("s", create=True, auto_commit=AutoCommitPolicy(messages=50))
    say(elsewhere, "m2")

    assert archived(elsewhere) == [2]


def test_a_policy_survives_in_a_snapshot(log: Log, rival: Log) -> None:
    session = create(log, messages=2, keep_recent=1)
    say(session, "m1")
    core_of(log, "s").write_snapshot()

    say(rival.session("s"), "m2", "m3")

    assert archived(session) == [2]


def test_sessions_without_a_policy_are_never_committed(log: Log, clock: FakeClock) -> None:
    session = log.session("s", create=True)
    say(session, *(f"m{number}" for number in range(100)))
    clock.advance(1_000_000)

    assert log.commit_idle() == ()
    assert archived(session) == []


@pytest.mark.parametrize(
    "wrong",
    [{}, {"messages": 0}, {"pending_tokens": -1}, {"idle_seconds": 0.0}]
    + [{"idle_seconds": float(number)} for number in ("nan", "inf")]
    + [{"messages": 1, "keep_recent": number} for number in (-1, 10_001)],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        AutoCommitPolicy(**wrong)
