"""Projections defined by users, with snapshots (L12, L16)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import eventlog
from eventlog import Event, Log, Message, Projection, Recorded, SessionNotFound
from eventlog.engine.snapshots import SNAPSHOT_INTERVAL
from eventlog.projections import Archives, LiveTail, Meta, Tasks, Usage
from eventlog.records import Record
from eventlog.store import Blob
from eventlog.testing.conformance import make_record


class Ordered(Event, type="acme.ordered"):
    """An event of a user's own."""

    article: str
    count: int = 1


class Orders(Projection[dict[str, int], dict[str, int]]):
    """A user's own projection: how many of each article, with snapshots."""

    name = "acme.orders"
    types = frozenset({"acme.ordered"})

    def initial(self) -> dict[str, int]:
        return {}

    def apply(self, state: dict[str, int], recorded: Recorded) -> dict[str, int]:
        event = recorded.event
        assert isinstance(event, Ordered)
        state[event.article] = state.get(event.article, 0) + event.count
        return state

    def view(self, state: dict[str, int]) -> dict[str, int]:
        return dict(state)

    def dump(self, state: dict[str, int]) -> bytes | None:
        return json.dumps(state).encode()

    def load(self, data: bytes) -> dict[str, int]:
        state: dict[str, int] = json.loads(data)
        return state


class Counting(Orders):
    """Counts how many records it is shown."""

    def __init__(self) -> None:
        self.applied = 0

    def apply(self, state: dict[str, int], recorded: Recorded) -> dict[str, int]:
        self.applied += 1
        return super().apply(state, recorded)


def order(log: Log, count: int, article: str = "tea") -> None:
    session = log.session("s", create=True)
    session.record(*(Ordered(article=article) for _ in range(count)))


def snapshot_of(log: Log, name: str = "acme.orders") -> Blob | None:
    return log.store.get_blob(f"snapshot/s/{name}")


# ---- any projection ---------------------------------------------------------------------------


def test_a_projection_of_ones_own_is_replayed_and_projected_alike(log: Log) -> None:
    order(log, 2)
    order(log, 1, "cake")

    assert log.project("s", Orders()) == {"tea": 2, "cake": 1}
    assert eventlog.replay(log.read("s"), Orders()) == {"tea": 2, "cake": 1}
    assert eventlog.replay(log.store.read("s"), Orders()) == {"tea": 2, "cake": 1}


def test_types_that_a_projection_does_not_name_are_not_decoded() -> None:
    unreadable = make_record("s", 1, data=b"no JSON", type="acme.unheard_of")
    readable = make_record("s", 2, data=b'{"article":"tea"}', type="acme.ordered")

    assert eventlog.replay([unreadable, readable], Orders()) == {"tea": 1}


def test_a_session_that_does_not_exist_has_no_projection(log: Log) -> None:
    with pytest.raises(SessionNotFound):
        log.project("s", Orders())


def test_projecting_goes_on_from_a_snapshot(log: Log) -> None:
    order(log, SNAPSHOT_INTERVAL)
    first, second = Counting(), Counting()

    log.project("s", first)
    order(log, 3)
    view = log.project("s", second)

    assert view == {"tea": SNAPSHOT_INTERVAL + 3}
    assert (first.applied, second.applied) == (SNAPSHOT_INTERVAL, 3)


def test_a_short_history_is_worth_no_snapshot(log: Log) -> None:
    order(log, SNAPSHOT_INTERVAL - 2)

    log.project("s", Orders())

    assert snapshot_of(log) is None


def test_a_projection_without_dump_writes_no_snapshot(log: Log) -> None:
    class Plain(Orders):
        name = "acme.plain"

        def dump(self, state: dict[str, int]) -> bytes | None:
            return None

    order(log, 2 * SNAPSHOT_INTERVAL)

    assert log.project("s", Plain()) == {"tea": 2 * SNAPSHOT_INTERVAL}
    assert snapshot_of(log, "acme.plain") is None


def test_a_large_state_is_not_rewritten_more_often_than_the_log_grows(log: Log) -> None:
    class Large(Orders):
        def dump(self, state: dict[str, int]) -> bytes | None:
            return json.dumps(state).encode().ljust(1_000_000)

    order(log, SNAPSHOT_INTERVAL)
    log.project("s", Large())
    order(log, SNAPSHOT_INTERVAL)
    log.project("s", Large())

    blob = snapshot_of(log)
    assert blob is not None
    assert blob.revision == 1


@pytest.mark.parametrize(
    ("damage", "replacement"),
    [
        pytest.param(b'"tea": 256', b'"tea": 999', id="state changed"),
        pytest.param(b'"tea": 256', b"", id="state cut"),
        pytest.param(b'"version": 257', b'"version": 100', id="another version"),
        pytest.param(b'"version": 257', b'"version": 9999', id="version from the future"),
        pytest.param(b'"fingerprint": "1"', b'"fingerprint": "0"', id="another schema"),
        pytest.param(b'"hash": "', b'"hash": "00', id="another history"),
        pytest.param(b"{", b"", id="header not JSON"),
        pytest.param(b'"digest"', b'"digset"', id="header incomplete"),
    ],
)
def test_a_snapshot_with_anything_wrong_is_ignored_and_replaced(
    log: Log, damage: bytes, replacement: bytes
) -> None:
    """L12: never trusted, and never refuses a session."""
    order(log, SNAPSHOT_INTERVAL)
    log.project("s", Orders())
    sound = snapshot_of(log)
    assert sound is not None
    damaged = sound.data.replace(damage, replacement, 1)
    assert damaged != sound.data
    log.store.put_blob("snapshot/s/acme.orders", damaged)

    assert log.project("s", Orders()) == {"tea": SNAPSHOT_INTERVAL}
    replaced = snapshot_of(log)
    assert replaced is not None
    assert replaced.data == sound.data


def test_a_snapshot_that_cannot_be_written_is_no_error(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    class Unwritable(Orders):
        def dump(self, state: dict[str, int]) -> bytes | None:
            raise RuntimeError("no dump today")

    order(log, SNAPSHOT_INTERVAL)

    assert log.project("s", Unwritable()) == {"tea": SNAPSHOT_INTERVAL}
    assert "snapshot_failed" in caplog.text


def test_projecting_is_awaited_in_the_asynchronous_log() -> None:
    async def main() -> Any:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            await session.record(Ordered(article="tea"))
            return await log.project("s", Orders())

    assert asyncio.run(main()) == {"tea": 1}


# ---- the built-in ones ------------------------------------------------------------------------


def _busy(log: Log, rounds: int) -> None:
    session = log.session("s", create=True)
    for number in range(rounds):
        session.append(Message.user(f"question {number}", id=f"q{number}"))
        session.used([f"memory://{number}"], {"uri": f"skill://{number}"})
        session.commit()


@pytest.mark.parametrize("projection", [Meta(), Tasks(), Usage()], ids=lambda it: it.name)
def test_bounded_projections_continue_from_snapshots(
    log: Log, projection: Projection[Any, Any]
) -> None:
    _busy(log, 70)
    first = log.project("s", projection)
    assert snapshot_of(log, projection.name) is not None
    assert log.project("s", projection) == first

    log.session("s").append(Message.user("more"))
    log.session("s").used(["memory://more"])
    log.session("s").commit()

    assert log.project("s", projection) == eventlog.replay(log.read("s"), projection) != first


@pytest.mark.parametrize("projection", [LiveTail(), Archives()], ids=lambda it: it.name)
def test_projections_that_hold_messages_write_no_snapshots(
    log: Log, projection: Projection[Any, Any]
) -> None:
    """L12: snapshots hold ranges and sums, not messages."""
    _busy(log, 70)

    log.project("s", projection)

    assert snapshot_of(log, projection.name) is None


def test_usage_names_contexts_and_skills_by_commit(log: Log) -> None:
    """M5: each use belongs to exactly one commit."""
    _busy(log, 2)
    log.session("s").used(["memory://later"])

    usage = log.project("s", Usage())

    assert usage.commits == (
        ("archive_001", ("memory://0",), ({"uri": "skill://0"},)),
        ("archive_002", ("memory://1",), ({"uri": "skill://1"},)),
    )
    assert usage.since_last_commit == (None, ("memory://later",), ())


@pytest.mark.parametrize(
    "projection",
    [LiveTail(), Meta(), Archives(), Tasks(), Usage()],
    ids=lambda it: it.name,
)
def test_an_illegal_step_in_a_history_changes_no_view(
    log: Log, projection: Projection[Any, Any]
) -> None:
    """P7: what a machine has no step for is passed over, not applied and not a crash."""
    _busy(log, 1)
    session = log.session("s")
    session.append(Message.user("last"))
    session.close()
    records = list(log.store.read("s"))
    late = [
        record for record in records if record.type not in ("session_created", "session_closed")
    ]

    before = eventlog.replay(records, projection)
    after = eventlog.replay([*records, *_renumbered(late, len(records))], projection)

    if isinstance(projection, Meta):
        after = after._replace(updated_at=before.updated_at)
    assert after == before


def _renumbered(records: list[Record], after: int) -> list[Record]:
    return [record._replace(version=after + n) for n, record in enumerate(records, 1)]
