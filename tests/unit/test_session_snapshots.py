"""Opening a session from a snapshot: the same state, at the same cost, never a refusal (L12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import Log, Message, Recorded, Session
from eventlog.engine.snapshots import LEAVING_INTERVAL, SNAPSHOT_INTERVAL, replay_stream
from eventlog.session.projection import SessionFold
from eventlog.session.state import SessionState
from eventlog.store import Blob
from eventlog.stores.memory import MemoryStore
from eventlog.testing.inside import core_of
from tests.shares import examples

KEY = "snapshot/s/session"


def filled(log: Log, count: int = SNAPSHOT_INTERVAL) -> Session:
    """Return a session with enough records that a snapshot was written."""
    session = log.session("s", create=True, owner="ada", failed_archives="skip")
    for number in range(count):
        session.append(Message.user(f"message {number}"))
        if number % 40 == 7:
            session.commit(keep_recent=3)
    return session


def snapshot(log: Log) -> Blob:
    blob = log.store.get_blob(KEY)
    assert blob is not None
    return blob


class CountingStore(MemoryStore):
    """Counts the records that are read of it."""

    def __init__(self) -> None:
        super().__init__()
        self.read_count = 0

    def read(self, stream: str, **options: Any) -> Any:
        for record in super().read(stream, **options):
            self.read_count += 1
            yield record


def state_of(log: Log) -> SessionState:
    state: SessionState = replay_stream(log.store, "s", SessionFold("s")).state
    return state


def replayed(log: Log) -> SessionState:
    fold = SessionFold("s")
    return fold.fold(fold.initial(), log.store.read("s"))


def test_a_session_opens_from_its_snapshot() -> None:
    """B4: what is read does not grow with the history."""
    store = CountingStore()
    filled(Log(store), 4 * SNAPSHOT_INTERVAL)
    store.read_count = 0

    meta = Log(store).session("s").meta

    assert store.read_count <= SNAPSHOT_INTERVAL + 1
    assert meta.total_message_count == 4 * SNAPSHOT_INTERVAL


def test_a_state_from_a_snapshot_is_the_replayed_one(log: Log) -> None:
    """P3."""
    filled(log)
    snapshot(log)

    assert state_of(log) == replayed(log)
    assert log.session("s").tail() == eventlog.Log(log.store).session("s").tail()


def test_the_size_of_a_snapshot_does_not_grow_with_what_is_said(log: Log) -> None:
    """L12: ranges and sums, not messages."""
    log.session("s", create=True).extend(
        [Message.user("x" * 5_000) for _ in range(SNAPSHOT_INTERVAL)]
    )
    assert len(snapshot(log).data) < 10_000


@pytest.mark.parametrize(
    ("damage", "replacement"),
    [
        pytest.param(b'"total_message_count":', b'"total_message_count":1', id="state changed"),
        pytest.param(b'"fingerprint": "', b'"fingerprint": "x', id="of another machine"),
        pytest.param(b'"hash": "', b'"hash": "00', id="of another history"),
        pytest.param(b'"version": ', b'"version": 9', id="of a version to come"),
        pytest.param(b"{", b"\xff", id="no text at all"),
        pytest.param(b"}\n", b"}", id="without a header line"),
    ],
)
def test_a_damaged_or_stale_snapshot_is_ignored(
    log: Log, damage: bytes, replacement: bytes
) -> None:
    """L12: whatever is wrong with it, the session opens as it was."""
    filled(log)
    sound = snapshot(log).data
    damaged = sound.replace(damage, replacement, 1)
    assert damaged != sound
    log.store.put_blob(KEY, damaged)

    assert state_of(log) == replayed(log)
    assert Log(log.store).session("s").meta == log.session("s").refresh()


def test_an_ignored_snapshot_is_replaced(log: Log, rival: Log) -> None:
    filled(log)
    log.store.put_blob(KEY, b"nonsense")

    session = rival.session("s")
    session.append(Message.user("one more"))

    assert snapshot(log).data != b"nonsense"
    assert replay_stream(log.store, "s", SessionFold("s")).since_snapshot < 2


def test_a_snapshot_of_a_history_that_was_rolled_back_is_not_trusted() -> None:
    """A restored backup has fewer records, or other ones, than the snapshot saw."""
    old, new = MemoryStore(), MemoryStore()
    for store, text in ((old, "old"), (new, "new")):
        session = Log(store).session("s", create=True)
        for number in range(SNAPSHOT_INTERVAL + 10):
            session.append(Message.user(f"{text} {number}", id=f"m{number}"))
    blob = new.get_blob(KEY)
    assert blob is not None
    old.put_blob(KEY, blob.data)
    short = MemoryStore()
    Log(short).session("s", create=True).append(Message.user("only"))
    short.put_blob(KEY, blob.data)

    assert Log(old).session("s").tail(1)[0].text == f"old {SNAPSHOT_INTERVAL + 9}"
    assert Log(short).session("s").meta.message_count == 1


def test_snapshots_are_written_now_and_then(log: Log) -> None:
    session = log.session("s", create=True)
    for number in range(3 * SNAPSHOT_INTERVAL):
        session.append(Message.user(str(number)))

    assert 2 <= snapshot(log).revision <= 3


def test_large_records_are_kept_out_of_an_opening_by_earlier_snapshots() -> None:
    """L12: what opening replays is bounded in bytes, not only in records."""
    store = CountingStore()
    session = Log(store).session("s", create=True)
    for _ in range(40):
        session.append(Message.user("x" * 15_000))
    store.read_count = 0
    assert Log(store).session("s").version == session.version
    assert store.read_count <= SNAPSHOT_INTERVAL * 1_024 // 15_000 + 1


def test_a_snapshot_holds_nothing_of_archives_that_are_ended(log: Log) -> None:
    """L12: those that were finalised, and those that were given up and covered later."""

    def size_after(archives: int) -> int:
        session = log.session("s", create=True)
        for number in range(archives):
            session.append(Message.user("words"))
            name = session.commit().archive_id
            if number % 5 == 3:
                session.abandon(name or "")
            else:
                eventlog.Worker(log).run_once()
        core_of(log, "s").write_snapshot()
        return len(snapshot(log).data)

    few = size_after(9)
    assert size_after(50) < few + 20  # Some numbers in it have a digit more.


class ClosingStore(CountingStore):
    """Stays open for another look when its log is closed, and may have no room for snapshots."""

    has_room = True

    def put_blob(self, key: str, data: bytes, expected: Any = "any") -> int:
        if not self.has_room:
            self.refused += 1
            raise eventlog.StoreUnavailable("no room")
        return super().put_blob(key, data, expected)

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    def close(self) -> None:
        pass


def test_a_log_that_is_closed_leaves_sessions_that_open_at_once() -> None:
    """L12: what is read then is the record that the snapshot is held against."""
    store = ClosingStore()
    with Log(store) as log:
        session = filled(log, SNAPSHOT_INTERVAL + LEAVING_INTERVAL + 10)
    store.read_count = 0

    assert Log(store).session("s").meta == session.meta
    assert store.read_count == 1


def test_closing_writes_no_snapshot_for_little() -> None:
    """Neither for a few records, nor of a session that was only read."""
    store = ClosingStore()
    writer = Log(store)
    for number in range(3 * LEAVING_INTERVAL):
        writer.session("read", create=True).append(Message.user(str(number)))
    with Log(store) as log:
        for number in range(LEAVING_INTERVAL - 2):
            log.session("short", create=True).append(Message.user(str(number)))
        log.session("read").tail()

    assert [store.get_blob(f"snapshot/{name}/session") for name in ("short", "read")] == [None] * 2


def test_closing_asks_a_store_without_room_once() -> None:
    """A store that is away would let each of the sessions wait."""
    store = ClosingStore()
    with Log(store) as log:
        for name in ("s", "t", "u"):
            session = log.session(name, create=True)
            session.extend([Message.user(str(number)) for number in range(LEAVING_INTERVAL)])
        store.has_room = False

    assert store.refused == 1
    store.has_room = True
    assert Log(store).session("t").meta.message_count == LEAVING_INTERVAL


def test_a_large_snapshot_is_not_replaced_for_little_by_the_next_process() -> None:
    """What was read of it tells how large it is."""
    store = ClosingStore()
    with Log(store) as log:
        session = log.session("s", create=True)
        session.extend([Message.user(str(number)) for number in range(11_000)])
    for _ in range(3):
        with Log(store) as log:
            log.session("s").extend([Message.user("more") for _ in range(LEAVING_INTERVAL)])

    blob = store.get_blob(KEY)
    assert blob is not None
    assert len(blob.data) > 65_536
    assert blob.revision == 2


def test_a_store_that_cannot_keep_snapshots_serves_sessions_all_the_same() -> None:
    class Forgetful(MemoryStore):
        def put_blob(self, key: str, data: bytes, expected: Any = "any") -> int:
            raise eventlog.StoreUnavailable("no blobs today")

    log = Log(Forgetful())

    session = filled(log)

    assert session.meta.total_message_count == SNAPSHOT_INTERVAL


_steps: dict[str, Callable[[Session, Log], object]] = {
    "say": lambda session, _: session.append(Message.user("words")),
    "call": lambda session, _: session.append(
        Message.assistant(tools=(Message.call("look", {"at": 1}),))
    ),
    "commit": lambda session, _: session.commit(keep_recent=1),
    "use": lambda session, _: session.used(["memory://1"], {"uri": "skill://1"}),
    "queue": lambda session, _: session.queue_task("acme.index", {"n": [1, None]}),
    "work": lambda _, log: eventlog.Worker(log).run_once(),
    "project": lambda session, _: session.assign_project("p"),
    "provider": lambda session, _: session.memory_session("acme"),
}


@examples(15, 1_200)
@given(st.lists(st.sampled_from(sorted(_steps)), max_size=15), st.integers(0, 15))
def test_any_state_is_read_back_from_its_snapshot_and_goes_on_from_there(
    program: list[str], cut: int
) -> None:
    """P3: byte for byte."""
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        for name in program:
            _steps[name](session, log)
        records = [Recorded(record) for record in log.store.read("s")]
    fold = SessionFold("s")
    before = fold.fold(fold.initial(), records[:cut])

    loaded = fold.load(fold.dump(before))

    assert loaded == before
    assert fold.dump(loaded) == fold.dump(before)
    whole = fold.fold(fold.initial(), records)
    assert fold.dump(fold.fold(loaded, records[cut:])) == fold.dump(whole)


def test_a_copy_of_a_state_shares_nothing_that_is_changed_in_place() -> None:
    """Every container of a state is copied, also one that a later field adds."""
    state = SessionState("s")
    containers = [
        each.name for each in fields(SessionState) if hasattr(getattr(state, each.name), "copy")
    ]
    assert {"tasks", "lane", "window"} <= set(containers)

    shared = [name for name in containers if getattr(state.copy(), name) is getattr(state, name)]

    assert shared == []
