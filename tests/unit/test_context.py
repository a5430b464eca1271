"""What a model is shown of a session (X1 to X7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import (
    ArchiveNotFound,
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
from eventlog.session.context import assemble, truncated
from eventlog.session.reading import StoredMessage
from eventlog.testing.clock import FakeClock
from tests.shares import on_two_stores


async def name_archive(request: SummaryRequest) -> Summary:
    return Summary(overview=f"overview of {request.archive_id}", abstract=request.archive_id)


def work(log: Log, summarizer: Any = name_archive, limit: int | None = None) -> int:
    """Run a worker until nothing is due, or until it has completed a number of tasks."""
    done = 0

    async def counted(request: SummaryRequest) -> Summary:
        nonlocal done
        done += 1
        if limit is not None and done > limit:
            raise eventlog.RetryableError("enough for now")
        summary: Summary = await summarizer(request)
        return summary

    return Worker(log, Finalizer(counted), draw=lambda: 1.0).run_once()


def say_round(session: Session, number: int) -> None:
    session.append(Message.user(f"question {number}", id=f"q{number}"))
    session.append(Message.assistant(f"answer {number}", id=f"a{number}"))


def texts(session: Session) -> list[str]:
    return [message.text for message in session.context().messages]


def test_an_overview_is_weighed_by_the_estimator_of_the_log(log: Log) -> None:
    """M11, X4: as the messages beside it are."""
    with Log(log.store, estimate_tokens=len) as weighing:
        session = weighing.session("s", create=True)
        say_round(session, 1)
        session.commit()
        work(weighing)
        overview = "overview of archive_001"

        context = session.context(token_budget=len(overview))
        assert context.stats.archive_tokens == context.estimated_tokens == len(overview)
        assert session.context(token_budget=len(overview) - 1).latest_archive_overview == ""
        search = session.context_for_search("question")
        assert search.latest_archive_overview == overview


ROUND_1 = ["question 1", "answer 1"]
ROUND_2 = ["question 2", "answer 2"]

# ---- rapid commits ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finished", "overview", "messages"),
    [
        (0, "", ROUND_1 + ROUND_2),
        (1, "overview of archive_001", ROUND_2),
        (2, "overview of archive_002", []),
    ],
)
def test_messages_are_shown_until_an_overview_stands_for_them(
    log: Log, finished: int, overview: str, messages: list[str]
) -> None:
    """X2: two commits, of which none, one or both are done."""
    session = log.session("s", create=True)
    for number in (1, 2):
        say_round(session, number)
        session.commit()

    work(log, limit=finished)

    context = session.context()
    assert context.latest_archive_overview == overview
    assert [message.text for message in context.messages] == messages
    assert context.stats.total == context.stats.included == len(messages)


def test_the_live_tail_follows_what_is_archived_but_not_covered(log: Log) -> None:
    """X1: each message once, in order, though retained ones are live and in no archive."""
    session = log.session("s", create=True)
    say_round(session, 1)
    session.commit(keep_recent=1)
    say_round(session, 2)

    assert texts(session) == ROUND_1 + ROUND_2
    work(log)
    assert session.context().latest_archive_overview == "overview of archive_001"
    assert texts(session) == [*ROUND_1[1:], *ROUND_2]


def test_messages_of_a_failed_archive_stay_visible_until_an_overview_covers_them(
    log: Log,
) -> None:
    """C5, X1: a failure loses nothing, and the next overview covers both."""

    async def fail_first(request: SummaryRequest) -> Summary:
        if request.archive_id == "archive_001":
            raise NonRetryableError("no")
        assert [message.text for message in request.uncovered] == ROUND_1
        return await name_archive(request)

    session = log.session("s", create=True, failed_archives="skip")
    say_round(session, 1)
    session.commit()
    work(log, fail_first)
    assert texts(session) == ROUND_1
    assert session.context().stats.failed_archives == 1

    say_round(session, 2)
    session.commit()
    assert texts(session) == ROUND_1 + ROUND_2
    work(log, fail_first)

    context = session.context()
    assert (context.latest_archive_overview, context.messages) == ("overview of archive_002", ())


def test_an_abandoned_archive_stays_visible_too(log: Log) -> None:
    session = log.session("s", create=True)
    say_round(session, 1)
    session.commit()

    session.abandon("archive_001", reason="not worth it")

    assert texts(session) == ROUND_1


def test_an_unreadable_overview_falls_back_to_the_newest_older_one(log: Log) -> None:
    """X3: and it is counted; the messages that it stood for are shown again."""
    session = log.session("s", create=True)
    for number in (1, 2, 3):
        say_round(session, number)
        session.commit()
        work(log)
    version = next(
        entry.version for entry in log.read("s", reverse=True) if entry.type == "archive_finalized"
    )
    damaged = eventlog.Log(cast("Any", _Damaged(log.store, version)))

    context = damaged.session("s").context()

    assert context.latest_archive_overview == "overview of archive_002"
    assert [message.text for message in context.messages] == ["question 3", "answer 3"]
    assert context.stats.unreadable_overviews == 1


class _Damaged:
    """A store of which one record comes back with data that is no event."""

    def __init__(self, store: Any, version: int) -> None:
        self._store = store
        self._version = version

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(self, stream: str, **range_: Any) -> Any:
        for record in self._store.read(stream, **range_):
            damaged = record.version == self._version and range_.get("until") == self._version
            yield record._replace(data=b"{") if damaged else record


# ---- the budget -------------------------------------------------------------------------------


def stored(role: str, tokens: int, name: str) -> StoredMessage:
    data: Any = {"id": name, "role": role, "parts": [], "created_at": ""}
    return StoredMessage(1, data, tokens)


CONVERSATION = [
    stored("system", 5, "s"),
    stored("user", 10, "u1"),
    stored("assistant", 10, "a1"),
    stored("user", 10, "u2"),
    stored("assistant", 10, "a2"),
    stored("tool", 10, "t2"),
    stored("user", 10, "u3"),
    stored("assistant", 10, "a3"),
]


@pytest.mark.parametrize(
    ("budget", "overview", "names"),
    [
        (1_000, "text", "s u1 a1 u2 a2 t2 u3 a3"),
        (95, "text", "s u1 a1 u2 a2 t2 u3 a3"),
        (94, "", "s u1 a1 u2 a2 t2 u3 a3"),
        (75, "", "s u1 a1 u2 a2 t2 u3 a3"),
        (74, "", "u1 a1 u2 a2 t2 u3 a3"),
        (70, "", "u1 a1 u2 a2 t2 u3 a3"),
        (69, "", "u1 u2 a2 t2 u3 a3"),
        (60, "", "u1 u2 a2 t2 u3 a3"),
        (59, "text", "u1 u3 a3"),
        (30, "", "u1 u3 a3"),
        (0, "", "u1 u3 a3"),
    ],
)
def test_whole_turns_go_first_and_the_overview_fits_beside_what_stays(
    budget: int, overview: str, names: str
) -> None:
    """X4: the first user message and the newest turn stay whatever they weigh."""
    context = assemble("text", 20, CONVERSATION, token_budget=budget)

    assert [message.id for message in context.messages] == names.split()
    assert context.latest_archive_overview == overview
    tokens = 10 * len(names.split()) - (5 if names.startswith("s") else 0)
    assert context.stats.active_tokens == tokens
    assert context.stats.archive_tokens == (20 if overview else 0)
    assert context.estimated_tokens == tokens + context.stats.archive_tokens
    assert context.stats.total == 8
    assert context.stats.dropped == 8 - len(names.split())


@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), st.integers(0, 9))
    ),
    st.integers(0, 60),
)
def test_the_budget_holds_unless_the_first_question_and_the_newest_turn_exceed_it(
    drawn: list[tuple[str, int]], budget: int
) -> None:
    entries = [stored(role, tokens, str(n)) for n, (role, tokens) in enumerate(drawn)]

    context = assemble("", 0, entries, token_budget=budget)

    shown = {message.id for message in context.messages}
    users = [n for n, (role, _) in enumerate(drawn) if role == "user"]
    newest_turn = set(map(str, range(users[-1] if users else 0, len(drawn))))
    must = newest_turn | {str(n) for n in users[:1]}
    assert must <= shown
    assert context.estimated_tokens <= budget or shown == must
    assert [int(message.id) for message in context.messages] == sorted(map(int, shown))


def test_a_message_that_is_met_twice_is_shown_once() -> None:
    """X1: deduplicated by id."""
    entries = [stored("user", 1, "a"), stored("assistant", 1, "b"), stored("user", 1, "a")]

    context = assemble("", 0, entries, token_budget=10)

    assert [message.id for message in context.messages] == ["a", "b"]
    assert context.estimated_tokens == 2


def test_a_budget_below_zero_is_refused(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("a"))
    with pytest.raises(InvalidArgument, match="token_budget is -1"):
        session.context(-1)


def test_building_a_context_changes_nothing(log: Log) -> None:
    session = log.session("s", create=True)
    say_round(session, 1)

    session.context(0)

    assert log.store.head("s").version == 3
    assert [message.text for message in session.tail()] == ROUND_1


# ---- views ------------------------------------------------------------------------------------


def conversation(log: Log) -> Session:
    session = log.session("s", create=True)
    call = Message.call("look", {}, tool_id="t")
    session.extend(
        [
            Message.system("rules"),
            Message.user("first"),
            Message.assistant("calling", tools=(call,)),
            Message.tool("t", "found"),
            Message.assistant("done"),
        ]
    )
    return session


@pytest.mark.parametrize(
    ("options", "roles"),
    [
        ({"recent": 1}, "user assistant"),
        ({"recent": 2}, "user assistant tool assistant"),
        ({"recent": 3}, "user assistant tool assistant"),
        ({"recent": 4}, "user assistant tool assistant"),
        ({"recent": 9}, "system user assistant tool assistant"),
        ({"recent": 0}, "user"),
        ({"recent": 2, "keep_first_user": False}, "assistant tool assistant"),
        ({"recent": 0, "keep_first_user": False}, ""),
    ],
)
def test_a_truncated_view_keeps_pairs_of_call_and_result_whole(
    log: Log, options: dict[str, Any], roles: str
) -> None:
    """X6: the log keeps all."""
    session = conversation(log)

    assert [message.role for message in session.truncated(**options)] == roles.split()
    assert len(session.tail()) == 5


def test_truncating_nothing_gives_nothing() -> None:
    assert truncated((), recent=3) == ()
    with pytest.raises(InvalidArgument, match="recent is -1"):
        truncated((), recent=-1)


def test_a_search_gets_the_newest_messages_after_the_merge(log: Log) -> None:
    """X5."""
    session = log.session("s", create=True)
    say_round(session, 1)
    session.commit()
    work(log)
    for number in (2, 3):
        say_round(session, number)
    session.commit(keep_recent=1)

    found = session.context_for_search("what now?", max_messages=3)

    assert found.query == "what now?"
    assert found.latest_archive_overview == "overview of archive_001"
    assert [message.text for message in found.current_messages] == [
        "answer 2",
        "question 3",
        "answer 3",
    ]
    assert session.context_for_search("q", max_messages=0).current_messages == ()
    with pytest.raises(InvalidArgument, match="max_messages is -1"):
        session.context_for_search("q", max_messages=-1)


def test_an_archive_is_read_once_it_is_completed(log: Log) -> None:
    """X7."""
    session = log.session("s", create=True)
    say_round(session, 1)
    session.commit()
    with pytest.raises(InvalidArgument, match="'pending', so it has no overview yet"):
        session.archive("archive_001")

    work(log)
    archive = session.archive("archive_001")

    assert (archive.overview, archive.abstract) == ("overview of archive_001", "archive_001")
    assert [message.text for message in archive.messages] == ROUND_1
    assert session.archive("archive_1").archive_id == "archive_001"


@on_two_stores
@pytest.mark.parametrize(
    "name", ["archive_002", "archive_000", "archive_", "archive_\u0661", "x", ""]
)
def test_an_archive_that_does_not_exist_is_not_found(log: Log, name: str) -> None:
    session = log.session("s", create=True)
    say_round(session, 1)
    session.commit()

    calls: list[Callable[[str], Any]] = [session.archive, session.retry, session.abandon]
    for call in calls:
        with pytest.raises(ArchiveNotFound, match="archive_001"):
            call(name)


def test_history_has_every_message_whatever_became_of_it(log: Log, clock: FakeClock) -> None:
    """X7: in order, with results that came after archiving."""
    session = log.session("s", create=True, failed_archives="skip")
    call = Message.call("look", {}, tool_id="t")
    session.append(Message.user("1"))
    session.commit()
    work(log)
    session.append(Message.user("2"))
    session.commit()
    session.abandon("archive_002")
    session.append(Message.assistant("3", tools=(call,), id="m3"))
    session.record_tool_result("m3", "t", "nothing", "error")
    session.commit()
    session.record_tool_result("m3", "t", "found after all", "completed")
    session.append(Message.user("4"))

    history = session.history()

    assert [message.text for message in history] == ["1", "2", "3", "4"]
    assert history[2].tools[0].tool_output == "found after all"


@pytest.mark.parametrize("last", [0, 1, 2, 3, 99])
def test_the_last_messages_of_the_tail(log: Log, last: int) -> None:
    session = log.session("s", create=True)
    for number in range(3):
        session.append(Message.user(str(number)))

    assert [message.text for message in session.tail(last)] == ["0", "1", "2"][3 - min(last, 3) :]
    with pytest.raises(InvalidArgument, match="last is -1"):
        session.tail(-1)
