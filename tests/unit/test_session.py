"""Sessions: how they are created, what they record, how they end (M1, M3 to M5, M9, M10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import eventlog
from eventlog import (
    Event,
    InvalidArgument,
    InvalidMessage,
    Log,
    LogClosed,
    Message,
    Metadata,
    Session,
    SessionClosed,
    SessionNotFound,
)
from eventlog.clock import format_time
from eventlog.testing.clock import FakeClock
from tests.shares import on_two_stores


class Noted(Event, type="acme.session_noted"):
    """Something was noted."""


WRITES: dict[str, Callable[[Session], Any]] = {
    "append": lambda session: session.append(Message.user("a")),
    "extend": lambda session: session.extend([Message.user("a")]),
    "used": lambda session: session.used(["memory://1"]),
    "commit": lambda session: session.commit(),
    "assign_project": lambda session: session.assign_project("p"),
    "memory_session": lambda session: session.memory_session("acme"),
    "queue_task": lambda session: session.queue_task("acme.index"),
    "record": lambda session: session.record(Noted()),
}
"""Every command that a closed session refuses, whatever else may be wrong with it."""


def types_of(log: Log, session: str = "s") -> list[str]:
    return [entry.type for entry in log.read(session)]


def texts(session: Session) -> list[str]:
    return [message.text for message in session.tail()]


# ---- coming into being ------------------------------------------------------------------------


def test_a_session_that_nobody_created_is_not_found(log: Log) -> None:
    with pytest.raises(SessionNotFound, match="create it with create=True, or check the id"):
        log.session("s")
    with pytest.raises(InvalidArgument, match="give the id"):
        log.session()


def test_a_session_exists_from_its_first_write_on(log: Log) -> None:
    """M1: creation is lazy, and recorded in the same append as what came first."""
    session = log.session("s", create=True)
    assert not log.exists("s")
    assert list(log.sessions()) == []
    assert (session.version, session.tail(), session.meta.status) == (0, (), "absent")

    session.append(Message.user("a"))

    assert log.exists("s")
    assert list(log.sessions()) == ["s"]
    assert types_of(log) == ["session_created", "message_appended"]
    assert session.meta.status == "open"


def test_a_session_records_whose_it_is_and_what_for(log: Log) -> None:
    about: dict[str, Any] = {
        "owner": "ada",
        "project": "apollo",
        "workspace": "home",
        "provider": "acme",
        "model": "m-1",
    }
    log.session("s", create=True, **about).append(Message.user("a"))

    meta = log.session("s").meta._asdict()

    assert {name: meta[name] for name in about} == about


def test_opening_a_session_again_does_not_create_it_again(log: Log, rival: Log) -> None:
    log.session("s", create=True, owner="ada").append(Message.user("a"))
    late = rival.session("s", create=True)
    late.append(Message.user("b"))

    assert types_of(log) == ["session_created", "message_appended", "message_appended"]
    assert late.meta.owner == "ada"


def test_of_two_that_create_a_session_at_once_the_first_write_counts(log: Log, rival: Log) -> None:
    first = log.session("s", create=True, project="one")
    second = rival.session("s", create=True, project="two")

    second.append(Message.user("b"))
    first.append(Message.user("a"))

    assert texts(first) == ["b", "a"]
    assert first.meta.project == "two"
    assert types_of(log).count("session_created") == 1


def test_a_session_without_an_id_gets_one(log: Log) -> None:
    first, second = log.session(create=True), log.session(create=True)

    assert first.id != second.id
    assert len(first.id) == 36


@pytest.mark.parametrize("call", ["session", "exists"])
def test_an_id_that_cannot_be_one_is_refused(log: Log, call: str) -> None:
    with pytest.raises(InvalidArgument, match="control character"):
        getattr(log, call)("../etc\n")


def test_sessions_are_listed_by_id_and_by_workspace(log: Log) -> None:
    """L14: from the index, closed ones included."""
    homes = {"b": "home", "a": "work", "\U0010ffff": None, "\U0001f600": "home", "\uffff": None}
    for name, workspace in homes.items():
        log.session(name, create=True, workspace=workspace).append(Message.user("x"))
    log.session("a").delete()

    assert list(log.sessions()) == ["a", "b", "\uffff", "\U0001f600", "\U0010ffff"]
    assert list(log.sessions(workspace="home")) == ["b", "\U0001f600"]
    assert list(log.sessions(workspace="nowhere")) == []


def test_workspaces_with_a_common_beginning_are_different(log: Log) -> None:
    log.session("x", create=True, workspace="a").append(Message.user("x"))
    log.session("y", create=True, workspace="a/b").append(Message.user("x"))

    log.session("z", create=True, workspace="a%2Fb").append(Message.user("x"))

    assert list(log.sessions(workspace="a/b")) == ["y"]
    assert list(log.sessions(workspace="a")) == ["x"]
    assert list(log.sessions(workspace="a%2Fb")) == ["z"]


def test_the_latest_session_of_a_workspace_has_the_newest_event(log: Log, clock: FakeClock) -> None:
    assert log.latest_session("home") is None
    for name in ("a", "b", "c"):
        clock.advance(1)
        workspace = "home" if name != "c" else "work"
        log.session(name, create=True, workspace=workspace).append(Message.user("x"))
    assert log.latest_session("home") == "b"

    clock.advance(1)
    log.session("a").append(Message.user("y"))

    assert log.latest_session("home") == "a"


# ---- what is recorded -------------------------------------------------------------------------


def test_messages_come_back_in_order_with_their_ids(log: Log) -> None:
    session = log.session("s", create=True)
    first = session.append(Message.user("a"))
    second = session.append({"role": "assistant", "parts": [{"type": "text", "text": "b"}]})

    assert session.tail() == (first, second)
    assert first.id != second.id


def test_a_batch_is_one_append(log: Log) -> None:
    """M3: all or none, at one time."""
    session = log.session("s", create=True)
    messages = [Message.user("a"), Message.assistant("b")]

    assert session.extend(messages) == tuple(messages)
    assert session.extend([]) == ()
    assert session.extend(iter(())) == ()
    assert texts(session) == ["a", "b"]


def test_two_messages_of_a_batch_with_one_id_are_refused(log: Log) -> None:
    session = log.session("s", create=True)
    with pytest.raises(InvalidMessage, match="same id"):
        session.extend([Message.user("a", id="m"), Message.user("b", id="m")])
    assert not log.exists("s")


def test_the_time_of_a_record_is_never_before_the_one_before_it(log: Log, clock: FakeClock) -> None:
    """L2: whatever the clock does."""
    session = log.session("s", create=True)
    for seconds in (5, -60, 10, 100):
        clock.advance(seconds)
        session.append(Message.user("a"))

    times = [entry.time for entry in log.read("s")]

    assert times == sorted(times)
    assert times[-1] == format_time(clock.now)


def test_who_did_it_as_part_of_what_is_recorded_beside_the_event(log: Log) -> None:
    """L13."""
    session = log.session("s", create=True)
    session.append(Message.user("a"), actor="ada", correlation_id="c-1")
    session.used(["memory://1"], actor="bob")
    session.append(Message.user("b"))

    assert [entry.metadata for entry in log.read("s")] == [
        Metadata(actor="ada", correlation_id="c-1"),
        Metadata(actor="ada", correlation_id="c-1"),
        Metadata(actor="bob"),
        Metadata(),
    ]


def test_other_writers_are_seen_by_every_read(log: Log, rival: Log) -> None:
    """Every method folds news first; only ``meta`` and ``version`` do no I/O."""
    mine = log.session("s", create=True)
    mine.append(Message.user("a"))
    rival.session("s").append(Message.user("b"))

    assert (mine.version, mine.meta.message_count) == (2, 1)
    assert texts(mine) == ["a", "b"]
    assert (mine.version, mine.meta.message_count) == (3, 2)
    rival.session("s").append(Message.user("c"))
    assert mine.refresh().message_count == 3


def test_writers_that_know_nothing_of_each_other_never_conflict(log: Log, rival: Log) -> None:
    mine, theirs = log.session("s", create=True), rival.session("s", create=True)
    for number in range(10):
        mine.append(Message.user(f"mine {number}"))
        theirs.append(Message.user(f"theirs {number}"))
        theirs.used([f"memory://{number}"])

    assert len(texts(mine)) == 20
    assert log.verify("s") == []


# ---- usage, project, memory sessions ----------------------------------------------------------


def test_nothing_used_is_nothing_recorded(log: Log) -> None:
    session = log.session("s", create=True)
    session.used()
    session.used([], None)

    assert not log.exists("s")
    with pytest.raises(InvalidArgument, match="list of URIs"):
        session.used("memory://1")


def test_usage_belongs_to_exactly_one_commit_and_survives_restarts(log: Log, rival: Log) -> None:
    """M5."""
    from eventlog.projections import Usage

    session = log.session("s", create=True)
    session.append(Message.user("a"))
    session.used(["memory://1"], {"uri": "skill://1"})
    restarted = rival.session("s")
    restarted.commit()
    restarted.used(["memory://2"])
    restarted.append(Message.user("b"))
    session.commit()

    usage = log.project("s", Usage())

    assert [commit.contexts for commit in usage.commits] == [("memory://1",), ("memory://2",)]
    assert [commit.skills for commit in usage.commits] == [({"uri": "skill://1"},), ()]
    assert usage.since_last_commit.contexts == ()


def test_a_project_is_assigned_only_where_there_is_none(log: Log) -> None:
    """M9: otherwise no event."""
    session = log.session("s", create=True)

    assert session.assign_project("apollo") is True
    version = session.version
    assert session.assign_project("gemini") is False
    assert session.assign_project("apollo") is False
    assert (session.version, session.meta.project) == (version, "apollo")
    with pytest.raises(InvalidArgument, match="non-empty"):
        session.assign_project("")


@pytest.mark.parametrize("project", [None, ""])
def test_an_empty_project_counts_as_none(log: Log, project: str | None) -> None:
    session = log.session("s", create=True, project=project)

    assert session.assign_project("apollo") is True
    assert session.meta.project == "apollo"


def test_a_session_created_with_a_project_keeps_it(log: Log) -> None:
    session = log.session("s", create=True, project="apollo")

    assert session.assign_project("gemini") is False
    session.append(Message.user("a"))
    assert session.meta.project == "apollo"


def test_a_provider_without_sessions_gets_a_stable_id(
    log: Log, rival: Log, clock: FakeClock
) -> None:
    """M10: recorded before the first call, the same ever after."""
    session = log.session("s", create=True)
    seconds = clock.now // 1_000_000

    memory_session = session.memory_session("acme")
    clock.advance(1_000)

    assert memory_session == f"acme-s-{seconds}"
    assert session.memory_session("acme") == memory_session
    assert rival.session("s").memory_session("acme") == memory_session
    assert session.memory_session("other") == f"other-s-{seconds + 1_000}"
    assert types_of(log).count("memory_session_assigned") == 2
    with pytest.raises(InvalidArgument, match="non-empty"):
        session.memory_session("")


# ---- the end ----------------------------------------------------------------------------------


@on_two_stores
@pytest.mark.parametrize("end", ["close", "delete"])
@pytest.mark.parametrize("write", WRITES, ids=str)
def test_a_session_that_ended_takes_no_writes(log: Log, end: str, write: str) -> None:
    """M1, P7: refused, and nothing changed."""
    session = log.session("s", create=True)
    session.append(Message.user("a"))
    getattr(session, end)(reason="done", actor="ada")
    version = session.version

    with pytest.raises(SessionClosed, match="start a new session under another id"):
        WRITES[write](session)

    assert log.store.head("s").version == version
    assert texts(session) == ["a"]


@pytest.mark.parametrize(("end", "how"), [("close", "closed"), ("delete", "deleted")])
def test_a_session_that_ended_can_be_opened_but_not_created_again(
    log: Log, rival: Log, end: str, how: str
) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("a"))
    getattr(session, end)()

    assert rival.session("s").meta.status == how
    for opener in (log, rival):
        with pytest.raises(SessionClosed) as caught:
            opener.session("s", create=True)
        assert (caught.value.session_id, caught.value.how) == ("s", how)
    assert log.exists("s")


def test_closing_twice_is_closing_once_and_deleting_twice_an_error(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("a"))

    session.close()
    session.close()
    session.delete()

    with pytest.raises(SessionClosed):
        session.delete()
    with pytest.raises(SessionClosed):
        session.close()
    assert types_of(log)[2:] == ["session_closed", "session_deleted"]


def test_a_session_that_was_never_written_to_cannot_be_deleted(log: Log) -> None:
    with pytest.raises(SessionNotFound):
        log.session("s")


def test_deleting_abandons_what_is_open(log: Log) -> None:
    """M1: in the same append."""
    session = log.session("s", create=True)
    session.append(Message.user("a"))
    session.commit()
    session.append(Message.user("b"))
    session.commit()
    session.queue_task("acme.index")

    session.delete(reason="asked for")

    assert [task.state for task in log.tasks("s")] == ["abandoned"] * 3
    assert {task.error for task in log.tasks("s")} == {"asked for"}
    assert list(log.store.scan("due/", "due0")) == []
    assert eventlog.Worker(log).run_once() == 0


def test_closing_lets_open_tasks_go_on(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("a"))
    session.commit()

    session.close()

    assert eventlog.Worker(log).run_once() == 1
    assert [archive.state for archive in session.archives()] == ["completed"]


# ---- the log ----------------------------------------------------------------------------------


def test_a_log_is_closed_once_and_then_serves_nothing(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("a"))
    log.close()
    log.close()

    calls: list[Callable[[], Any]] = [
        lambda: session.append(Message.user("b")),
        lambda: log.session("s"),
        lambda: log.exists("s"),
        lambda: list(log.sessions()),
        lambda: list(log.tasks()),
        lambda: log.task("t"),
        lambda: list(log.read("s")),
        lambda: list(log.read_all()),
        log.position,
        lambda: log.verify("s"),
    ]
    for call in calls:
        with pytest.raises(LogClosed, match="open it again"):
            call()


def test_reading_by_version_and_in_the_order_of_the_log(log: Log) -> None:
    """L5."""
    for name in ("s", "t", "s"):
        log.session(name, create=True).append(Message.user(name))

    assert [entry.version for entry in log.read("s", after=1, until=3)] == [2, 3]
    assert [entry.version for entry in log.read("s", reverse=True, limit=2)] == [3, 2]
    everything = list(log.read_all())
    assert [(entry.stream, entry.version) for entry in everything] == [
        ("s", 1),
        ("s", 2),
        ("t", 1),
        ("t", 2),
        ("s", 3),
    ]
    assert list(log.read_all(after=everything[2].position, limit=1)) == [everything[3]]
    only = log.read_all(types=["session_created"])
    assert [entry.stream for entry in only] == ["s", "t"]
    assert log.position() == everything[-1].position
    assert repr(everything[0]) == "<Recorded 's'@1 session_created>"
    assert len({*everything, *log.read_all()}) == 5


def test_a_view_of_a_session_prints_what_it_is(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("a"))
    assert repr(session) == "<Session 's' at version 2>"
