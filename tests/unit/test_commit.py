"""Commits: what they take, what they leave, and that nothing is lost between (C1 to C7)."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import (
    CommitBlocked,
    CommitResult,
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
from eventlog.session.events import CommitPrepared
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import core_of


def say(session: Session, *texts: str) -> None:
    """Append messages by turns: of the user, of the assistant."""
    for number, text in enumerate(texts):
        session.append(Message.assistant(text) if number % 2 else Message.user(text))


def tail(session: Session) -> list[str]:
    return [message.text for message in session.tail()]


async def refuse(request: SummaryRequest) -> Summary:
    raise NonRetryableError("Bearer abcdef123456 says no")


async def accept(request: SummaryRequest) -> Summary:
    return Summary(overview=f"overview of {request.archive_id}", abstract="")


def fail_all(log: Log) -> None:
    Worker(log, Finalizer(refuse)).run_once()


def finish_all(log: Log) -> int:
    return Worker(log, Finalizer(accept)).run_once()


# ---- what it tells ----------------------------------------------------------------------------


def test_a_commit_tells_at_once_what_it_did(log: Log) -> None:
    """C2."""
    session = log.session("s", create=True)
    say(session, "a", "b", "c")

    result = session.commit(keep_recent=1)

    assert result == CommitResult(
        status="accepted",
        session_id="s",
        archived=2,
        archive_id="archive_001",
        archive_uri="eventlog://s/history/archive_001",
        task_id=result.task_id,
        reason=None,
    )
    assert log.task(result.task_id or "").archive_id == "archive_001"
    assert tail(session) == ["c"]


def test_a_commit_of_nothing_is_skipped_and_recorded_nowhere(log: Log) -> None:
    """C2."""
    session = log.session("s", create=True)
    assert session.commit() == CommitResult("skipped", "s", reason="no_messages")
    assert not log.exists("s")

    say(session, "a", "b")
    assert session.commit(keep_recent=2) == CommitResult(
        "skipped", "s", reason="all_within_keep_window"
    )
    assert session.commit(keep_recent=10_000).reason == "all_within_keep_window"
    assert log.store.head("s").version == 3


@pytest.mark.parametrize("options", [{"keep_recent": -1}, {"keep_recent": 10_001}])
def test_keep_recent_is_from_nothing_to_ten_thousand(log: Log, options: dict[str, int]) -> None:
    """C3."""
    session = log.session("s", create=True)
    say(session, "a")
    with pytest.raises(InvalidArgument, match="from 0 to 10,000"):
        session.commit(**options)  # type: ignore[arg-type]
    assert tail(session) == ["a"]


def test_one_mode_of_retention_at_a_time(log: Log) -> None:
    session = log.session("s", create=True)
    with pytest.raises(InvalidArgument, match="not both"):
        session.commit(1, keep_turn_tokens=1)
    with pytest.raises(
        InvalidArgument, match="keep_turn_tokens is -1; it must be a number of tokens"
    ):
        session.commit(keep_turn_tokens=-1)


def test_a_commit_is_one_atomic_append_that_names_ranges(log: Log) -> None:
    """C1: its size grows neither with the archive nor with what it retains."""
    sizes: list[int] = []
    for count in (4, 400):
        session = log.session(f"s{count}", create=True)
        session.extend([Message.user(f"{number:04}") for number in range(count)])
        session.commit(keep_recent=count // 2)
        prepared, published = log.read(session.id, after=count + 1)
        event = cast("CommitPrepared", prepared.event)
        assert event.takes == [(1, count // 2 + 1)]
        assert event.retains == [(count // 2 + 2, count + 1)]
        assert (event.message_count, event.retained_count) == (count // 2, count // 2)
        assert published.type == "commit_published"
        assert prepared.time == published.time
        sizes.append(len(prepared.record.data))
    assert sizes[1] - sizes[0] <= 20


# ---- what stays -------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(0, 14), st.booleans())
def test_the_newest_messages_stay_with_their_ids_and_order(
    count: int, keep_recent: int, again: bool
) -> None:
    """C3, P2: each message is live or archived, never both."""
    with eventlog.open("memory:", clock=FakeClock()) as log:
        session = log.session("s", create=True)
        messages = [session.append(Message.user(f"m{number}")) for number in range(count)]
        session.commit(keep_recent)
        if again:
            session.commit(keep_recent // 2)
        kept = keep_recent // 2 if again else keep_recent

        assert session.tail() == tuple(messages[max(0, count - kept) :])
        finish_all(log)
        archived = [
            message
            for archive in session.archives()
            for message in session.archive(archive.archive_id).messages
        ]
        assert [*archived, *session.tail()] == messages


@pytest.mark.parametrize(("budget", "stays"), [(0, 0), (3, 0), (4, 2), (7, 2), (8, 4), (99, 6)])
def test_a_turn_budget_keeps_the_newest_whole_turns(log: Log, budget: int, stays: int) -> None:
    """C3: of 2 messages and 4 tokens each."""
    session = log.session("s", create=True)
    say(session, "u1______", "a1______", "u2______", "a2______", "u3______", "a3______")

    session.commit(keep_turn_tokens=budget)

    assert len(session.tail()) == stays


@pytest.mark.parametrize(
    "options", [{"keep_recent": 0}, {"keep_recent": 1}, {"keep_turn_tokens": 0}]
)
def test_a_call_without_result_stays_live_with_its_turn(log: Log, options: dict[str, int]) -> None:
    """C3: in every mode, until its result is there."""
    session = log.session("s", create=True)
    say(session, "before", "done", "question")
    call = Message.call("look", {}, tool_id="t")
    session.append(Message.assistant("calling", tools=(call,), id="m"))
    say(session, "after", "so")

    result = session.commit(**options)  # type: ignore[arg-type]

    assert tail(session)[:2] == ["question", "calling"]
    assert result.archived == 2 + (2 - options.get("keep_recent", 0))
    session.record_tool_result("m", "t", "found")
    session.commit()
    assert tail(session) == []
    finish_all(log)
    archived = session.archive("archive_002").messages
    assert archived[1].tools[0].tool_output == "found"


def test_a_result_as_a_message_of_its_own_ends_the_waiting_too(log: Log) -> None:
    session = log.session("s", create=True)
    call = Message.call("look", {}, tool_id="t")
    session.append(Message.assistant("calling", tools=(call,)))
    assert session.commit().reason == "all_within_keep_window"

    session.append(Message.tool("t", "found"))

    assert session.commit().archived == 2


def test_a_running_result_keeps_its_call_live(log: Log) -> None:
    session = log.session("s", create=True)
    call = Message.call("look", {}, tool_id="t")
    session.append(Message.assistant("calling", tools=(call,), id="m"))
    session.record_tool_result("m", "t", "half", "running")
    say(session, "other turn")

    session.commit()

    assert tail(session) == ["calling"]
    assert session.tail()[0].tools[0].tool_output == "half"


def test_a_late_result_for_an_archived_message_reaches_the_next_summary(log: Log) -> None:
    """C3: of a call that had a result already, so that it did not hold its turn."""
    seen: list[str] = []

    async def look(request: SummaryRequest) -> Summary:
        seen.extend(str(part.tool_output) for m in request.messages for part in m.tools)
        return await accept(request)

    session = log.session("s", create=True)
    call = Message.call("look", {}, tool_id="t")
    session.append(Message.assistant("calling", tools=(call,), id="m"))
    session.record_tool_result("m", "t", "failed", "error")
    session.commit()
    session.record_tool_result("m", "t", "found after all")

    Worker(log, Finalizer(look)).run_once()

    assert seen == ["found after all"]


# ---- commit after commit ----------------------------------------------------------------------


def test_commits_are_accepted_one_after_the_other_and_finalised_in_order(log: Log) -> None:
    """C4."""
    session = log.session("s", create=True)
    for number in range(12):
        say(session, f"m{number}")
        assert session.commit().archive_id == f"archive_{number + 1:03d}"
    assert len({task.task_id for task in log.tasks("s")}) == 12

    assert finish_all(log) == 12

    finalised = [entry for entry in log.read("s") if entry.type == "archive_finalized"]
    assert [getattr(entry.event, "archive", 0) for entry in finalised] == list(range(1, 13))


def test_archives_are_ordered_by_number_beyond_a_thousand(log: Log) -> None:
    """F1: 999 before 1000."""
    session = log.session("s", create=True)
    session.append(Message.user("x"))
    _renumber_commits(log, 998)
    session = log.session("s")
    for number in range(3):
        say(session, f"m{number}")
        session.commit()

    finish_all(log)

    names = [archive.archive_id for archive in session.archives()]
    assert names == ["archive_999", "archive_1000", "archive_1001"]
    events = [entry.event for entry in log.read("s") if entry.type == "archive_finalized"]
    assert [getattr(event, "archive", 0) for event in events] == [999, 1000, 1001]


def _renumber_commits(log: Log, count: int) -> None:
    """Make a session look as if it had committed so often."""
    core_of(log, "s").state.commit_count = count


def test_a_message_appended_while_commits_run_is_there_exactly_once(
    log_url: str, clock: FakeClock
) -> None:
    """C7, P1, P2: from threads, against the clock of nobody."""
    with eventlog.open(log_url, clock=clock) as log, ThreadPoolExecutor(4) as pool:
        session = log.session("s", create=True)
        say(session, "first")
        writing = threading.Event()

        def append(name: str) -> None:
            for number in range(25):
                session.append(Message.user(f"{name}{number}"))

        def commit() -> None:
            while not writing.is_set():
                session.commit(keep_recent=1)

        committing = pool.submit(commit)
        try:
            list(pool.map(append, "abc"))
        finally:
            writing.set()
        committing.result()
        finish_all(log)

        archived = [
            message.text
            for archive in session.archives()
            for message in session.archive(archive.archive_id).messages
        ]
        everything = [*archived, *tail(session)]
        assert everything == [message.text for message in session.history()]
        assert sorted(everything) == sorted(
            ["first", *(f"{name}{number}" for name in "abc" for number in range(25))]
        )


def test_of_two_commits_at_once_exactly_one_archives(log: Log, rival: Log) -> None:
    """C6: whoever they come from."""
    session, other = log.session("s", create=True), None
    say(session, "a", "b")
    other = rival.session("s")

    results = [session.commit(), other.commit()]

    assert [result.status for result in results] == ["accepted", "skipped"]
    assert len(session.archives()) == 1


def test_of_many_commits_at_once_exactly_one_archives(log_url: str) -> None:
    """C6: within one batch of the committer."""

    async def main() -> list[CommitResult]:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            await session.extend([Message.user("a"), Message.user("b")])
            return list(await asyncio.gather(*(session.commit() for _ in range(20))))

    results = asyncio.run(main())

    assert sorted(result.status for result in results) == ["accepted", *["skipped"] * 19]


# ---- after a failure --------------------------------------------------------------------------


def test_a_failed_archive_blocks_commits_until_somebody_decides(log: Log) -> None:
    """C5: policy ``block``; the error says how to go on."""
    session = log.session("s", create=True)
    say(session, "a")
    session.commit()
    fail_all(log)
    say(session, "b")

    with pytest.raises(CommitBlocked) as caught:
        session.commit()

    error = caught.value
    assert (error.session_id, error.archive_id, error.attempts) == ("s", "archive_001", 1)
    assert error.last_error == "NonRetryableError: Bearer [redacted] says no"
    assert "`eventlog retry s archive_001` or abandon it" in str(error)
    assert tail(session) == ["b"]
    assert [archive.state for archive in session.archives()] == ["terminal_failed"]


@pytest.mark.parametrize("way", ["retry", "abandon"])
def test_a_blocked_session_goes_on_after_retry_or_abandonment(log: Log, way: str) -> None:
    session = log.session("s", create=True)
    say(session, "a")
    session.commit()
    fail_all(log)
    say(session, "b")

    getattr(session, way)("archive_001", actor="ops", reason="looked at it")

    assert session.commit().archive_id == "archive_002"
    finish_all(log)
    states = [archive.state for archive in session.archives()]
    assert states == ["completed" if way == "retry" else "abandoned", "completed"]


def test_a_blocked_session_blocks_no_other_and_its_own_order(log: Log) -> None:
    """F1: what was committed before the failure waits; other sessions go on."""
    blocked, free = log.session("blocked", create=True), log.session("free", create=True)
    for number in range(2):
        say(blocked, f"m{number}")
        blocked.commit()
    fail_all(log)
    say(free, "x")
    free.commit()

    assert finish_all(log) == 1

    assert [archive.state for archive in blocked.archives()] == ["terminal_failed", "pending"]
    assert [archive.state for archive in free.archives()] == ["completed"]
    assert [key for key, _ in log.store.scan("due/", "due0")] == []


def test_under_skip_a_failure_blocks_nothing(log: Log) -> None:
    """C5: for the order it counts as finished; a later retry never becomes the latest overview."""
    session = log.session("s", create=True, failed_archives="skip")
    say(session, "a")
    session.commit()
    fail_all(log)
    say(session, "b")
    assert session.commit().archive_id == "archive_002"
    finish_all(log)
    assert session.context().latest_archive_overview == "overview of archive_002"

    assert session.retry("archive_001") == "accepted"
    assert finish_all(log) == 1

    assert [archive.state for archive in session.archives()] == ["completed", "completed"]
    assert session.context().latest_archive_overview == "overview of archive_002"
    assert session.context().messages == ()


def test_the_policy_is_recorded_with_the_session(log: Log, rival: Log) -> None:
    session = log.session("s", create=True, failed_archives="skip")
    say(session, "a")
    session.commit()
    fail_all(rival)

    other = rival.session("s")
    say(other, "b")

    assert other.commit().status == "accepted"


def test_pending_tokens_leave_out_what_the_last_commit_kept(log: Log) -> None:
    """M8."""
    session = log.session("s", create=True)
    say(session, "12345678", "12345678", "12345678")
    assert session.meta.pending_tokens == 6

    session.commit(keep_recent=2)

    assert (session.meta.keep_recent_count, session.meta.pending_tokens) == (2, 0)
    say(session, "1234")
    assert session.meta.pending_tokens == 2


def test_ranges_of_archives_do_not_overlap(log: Log) -> None:
    """P2: by version, whatever was retained in between."""
    session = log.session("s", create=True)
    for number in range(20):
        say(session, f"m{number}", f"n{number}")
        session.commit(keep_recent=number % 4)

    events = [entry.event for entry in log.read("s") if entry.type == "commit_prepared"]
    taken = sorted(span for event in events for span in cast("CommitPrepared", event).takes)

    assert all(before[1] < after[0] for before, after in pairwise(taken))
