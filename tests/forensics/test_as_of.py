"""A session as it was: by version, by time, by position."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import eventlog
from eventlog import Event, Message, Projection
from eventlog.audit.index_check import rebuild_index
from eventlog.errors import InvalidArgument, UnsupportedStore
from eventlog.forensics import past as past_module
from eventlog.projections import LiveTail, Meta, Tasks, Usage
from eventlog.records import START, Append
from tests.unit.test_golden import read_records

if TYPE_CHECKING:
    from eventlog import Log, Session, ToolPart
    from eventlog.recorded import Recorded
    from eventlog.testing.clock import FakeClock


def status(message: Message) -> str:
    (part,) = message.parts
    return cast("ToolPart", part).tool_status


def texts(messages: tuple[Message, ...]) -> list[str]:
    return [message.id for message in messages]


def test_a_moment_shows_what_the_session_showed_then(session: Session) -> None:
    assert texts(session.at(version=6).tail()) == ["m-1", "m-2", "m-3", "m-4"]
    assert texts(session.at(version=8).tail()) == ["m-4"]
    assert session.at(version=6).archives() == ()
    assert [each.state for each in session.at(version=8).archives()] == ["pending"]
    assert [each.state for each in session.at(version=11).archives()] == ["completed"]
    assert session.at(version=8).context().latest_archive_overview == ""
    assert session.at(version=11).context().latest_archive_overview
    assert [each.status for each in session.at(version=9).tasks() if each.kind == "finalise"] == [
        "running"
    ]


def test_a_result_that_came_later_is_not_in_the_message_yet(session: Session) -> None:
    before, after = session.at(version=3).tail()[1], session.at(version=4).tail()[1]
    assert [status(before), status(after)] == ["running", "completed"]
    assert session.at(version=4).tool_output("m-2", "call-1").text == "in the attic"
    with pytest.raises(LookupError):
        session.at(version=3).tool_output("m-2", "call-1")


def test_a_version_inside_an_append_was_never_live(session: Session) -> None:
    """A3: a creation and its first message, two messages, a commit and its publication."""
    inside = [each for each in range(session.version + 1) if not session.at(version=each).was_live]
    assert inside == [1, 5, 7, 10]


def test_a_time_means_the_last_version_with_it_or_an_earlier_one(
    session: Session, clock: FakeClock
) -> None:
    """Records of one append, and appends in one microsecond, share a time."""
    times = [recorded.time for recorded in session.timeline()]
    for version, time in enumerate(times, 1):
        last = max(place for place, other in enumerate(times, 1) if other <= time)
        assert session.at(time=time).version == last >= version
    aware = datetime.fromisoformat(times[5]).astimezone(UTC)
    assert session.at(time=aware).version == 6
    assert session.at(time="9999-01-01T00:00:00+01:00").version == session.version


def test_a_position_shows_several_sessions_at_one_moment(log: Log, session: Session) -> None:
    other = log.session("other", create=True)
    other.append(Message.user("first"))
    position = log.position()
    other.append(Message.user("second"))
    session.append(Message.user("third"))
    assert len(other.at(position=position).tail()) == 1
    assert session.at(position=position).version == session.version - 1
    assert session.at(position=log.checkpoint()).version == session.version


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"version": 1, "time": "2026-01-01T00:00:00Z"},
        {"version": 99},
        {"version": -1},
        {"version": True},
        {"time": "yesterday"},
        {"time": "2026-01-01T00:00:00"},
        {"time": datetime(2026, 1, 1)},  # noqa: DTZ001 - it is refused for that
        {"time": "1970-01-01T00:00:00Z"},
        {"position": 10_000},
        {"position": "0" * 32 + "/3/" + "0" * 32},
    ],
)
def test_a_place_where_the_session_never_was_is_refused(
    session: Session, place: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument):
        session.at(**place)


def test_before_the_first_event_there_is_nothing(session: Session) -> None:
    nothing = session.at(version=0)
    assert nothing.tail() == nothing.history() == ()
    assert (nothing.archives(), nothing.tasks()) == ((), ())
    assert (nothing.event, nothing.time, nothing.meta.status) == (None, "", "absent")


class Counted(Event, type="acme.counted"):
    by: int


class Sum(Projection[int, int]):
    name = "acme.sum"
    types = frozenset({"acme.counted"})

    def initial(self) -> int:
        return 0

    def apply(self, state: int, recorded: Recorded) -> int:
        return state + cast("Counted", recorded.event).by

    def view(self, state: int) -> int:
        return state


def test_any_projection_can_be_looked_at_users_own_included(session: Session) -> None:
    session.record(Counted(by=2), Counted(by=5))
    assert [session.at(version=each).project(Sum()) for each in (12, 13, 14)] == [0, 2, 7]
    assert texts(session.at(version=8).project(LiveTail())) == ["m-4"]
    assert session.at(version=8).project(Usage()).commits


def test_states_are_kept_along_the_way(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking again folds from near by, and finds the same."""
    monkeypatch.setattr(past_module, "CHECKPOINT_EVERY", 2)
    states = [session.at(version=each).meta for each in range(session.version + 1)]
    kept = [state.version for state in session._past._kept]
    assert len(kept) > 3
    assert kept == sorted(set(kept))
    again = [session.at(version=each).meta for each in reversed(range(session.version + 1))]
    assert again[::-1] == states
    for version, meta in enumerate(states):
        assert session.at(version=version).values()["meta"] == meta._asdict()


def test_looking_back_begins_at_a_snapshot_and_trusts_no_other(tmp_path: Path) -> None:
    """L12: a snapshot behind the version, a damaged one and one of another history change nothing."""
    with eventlog.open(f"sqlite:///{tmp_path}/log.db") as log:
        session = log.session("s", create=True)
        for number in range(40):
            session.append(Message.user(str(number)))
    with eventlog.open(f"sqlite:///{tmp_path}/log.db") as log:
        assert log.store.get_blob("snapshot/s/session") is not None
        session = log.session("s")
        assert [session.at(version=each).meta.message_count for each in (3, 41)] == [2, 40]
        blob = log.store.get_blob("snapshot/s/session")
        assert blob is not None
        log.store.put_blob("snapshot/s/session", blob.data[:-1] + b"?")
        assert [log.session("s").at(version=each).meta.message_count for each in (3, 41)] == [2, 40]


def test_what_a_model_was_given_can_be_asked_for_later(session: Session) -> None:
    """A3: to the letter, although what its code would build today is another thing."""
    given = session.context(token_budget=5_200, record=True, actor="agent")
    updated = session.meta.updated_at
    session.append(Message.assistant("y"))
    (found,) = session.at(version=session.version).given
    assert found.is_exact
    assert found.messages == given.messages
    assert found.latest_archive_overview == given.latest_archive_overview
    assert (found.actor, found.token_budget, found.as_of) == ("agent", 5_200, 12)
    assert session.at(version=12).given == ()
    assert session.at(version=13).meta.updated_at == updated  # It is nothing that was said.


def test_a_given_context_does_not_have_what_came_after_it(session: Session) -> None:
    call = {"type": "tool", "tool_id": "call-9", "tool_name": "f", "tool_status": "running"}
    session.append(Message.model_validate({"id": "m-9", "role": "assistant", "parts": [call]}))
    session.context(record=True)
    session.record_tool_result("m-9", "call-9", "late")
    (found,) = session.at(version=session.version).given
    assert found.is_exact
    assert status(found.messages[-1]) == "running"


GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("records-*.jsonl"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_logs_of_older_schemas_are_looked_back_at(path: Path) -> None:
    """What was folded at each version then is what is seen of it now."""
    records = read_records(path)
    stream = records[0].stream
    with eventlog.open("memory:") as log:
        plain = [record._replace(position=START) for record in records]
        log.store.append([Append(stream, 0, tuple(plain))])
        rebuild_index(log.store)
        session = log.session(stream, follow_folder=False)
        for version in range(1, len(records) + 1):
            moment = session.at(version=version)
            assert moment.meta == eventlog.replay(plain[:version], Meta())
            ended = [m for m in moment.tail() if "streaming" not in (m.model_extra or {})]
            assert tuple(ended) == eventlog.replay(plain[:version], LiveTail())
            assert moment.tasks() == eventlog.replay(plain[:version], Tasks())


def test_the_past_cannot_be_written_to(session: Session) -> None:
    store = session._past.core_at(3).store
    for write in (
        lambda: store.append([]),
        lambda: store.put_blob("k", b""),
        lambda: store.put_index([]),
    ):
        with pytest.raises(UnsupportedStore, match="fork"):
            write()
    assert [record.version for record in store.read_all(limit=2)] == [1, 2]
    assert store.tip() == 3
    assert store.check() == []
    assert not store.wait(store.tip(), 0)


def test_the_twin_says_the_same(session: Session, log: Log) -> None:
    async def look() -> None:
        async with eventlog.AsyncLog(log) as twin:
            awaited = await twin.session("chat-42")
            moment = await awaited.at(version=11)
            plain = session.at(version=11)
            assert await moment.tail() == plain.tail()
            assert await moment.meta() == plain.meta
            assert await moment.tasks() == plain.tasks()
            assert await moment.values() == plain.values()
            assert await moment.context() == plain.context()
            assert await moment.was_live()
            assert (await moment.event()) == plain.event
            assert await awaited.diff(3, 11) == session.diff(3, 11)
            assert await awaited.blame("meta.commit_count") == session.blame("meta.commit_count")
            found = await awaited.bisect("meta.commit_count == 1")
            assert found is not None
            assert found.version == 7
            assert await awaited.timeline(types=["session_created"]) == session.timeline(
                types=["session_created"]
            )
            assert await awaited.why(11) == session.why(11)
            await awaited.context(record=True, actor="agent")
            assert len(await (await awaited.at(version=13)).given()) == 1

    asyncio.run(look())
