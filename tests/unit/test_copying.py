"""A copy of a log has the same history, in every store, and resumes where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import (
    ChainBroken,
    CorruptLog,
    Finalizer,
    HistoryConflict,
    InvalidArgument,
    Log,
    Message,
    Record,
    StoreUnavailable,
    TaskRequest,
    Worker,
)
from eventlog.audit.index_check import compare_index
from eventlog.copying import copy_log
from eventlog.records import ANY, START, Append, Appended, Expected
from eventlog.store import IndexEntry, Store
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import core_of
from eventlog.testing.model.laws import check_laws


@pytest.fixture
def source() -> Store:
    """A log of three sessions, interleaved, with archives, tasks and one that is closed."""
    store = MemoryStore()
    with Log(store, clock=FakeClock(), ids=NumberedIds()) as log:
        talk(log, 0, 20)
        log.session("a").commit(keep_recent=2)
        Worker(log).run_once()
        log.session("b").commit()
        log.session("c").close()
    return store


def talk(log: Log, first: int, last: int) -> None:
    for number in range(first, last):
        for name in ("a", "b", "c"):
            session = log.session(name, create=True, workspace="shop")
            session.append(Message.user(f"{number}", id=f"{name}{number}"))


@pytest.fixture(params=["memory", "sqlite", "files"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    urls = {
        "memory": "memory:",
        "sqlite": f"sqlite:///{tmp_path / 'copy.db'}",
        "files": f"files:///{tmp_path / 'copy'}",
    }
    with eventlog.open(urls[request.param]) as log:
        yield log.store


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventlog.exchange.copying.PAGE", 7)
    monkeypatch.setattr("eventlog.exchange.copying.RUN", 3)
    monkeypatch.setattr("eventlog.exchange.copying.CHECKPOINT_EVERY", 2)


def history(store: Store) -> list[Record]:
    """Return everything that is not the store's own to choose."""
    return [record._replace(position=START) for record in store.read_all()]


def test_a_copy_has_the_same_versions_ids_times_bytes_and_hashes(
    source: Store, destination: Store
) -> None:
    report = copy_log(source, destination, verify=True)

    assert history(destination) == history(source)
    assert (report.sessions, report.records, report.already_there) == (3, len(history(source)), 0)
    assert (report.verified, report.findings) == (report.records, ())
    assert compare_index(destination) == []
    assert list(destination.scan("", "~")) == list(source.scan("", "~"))
    check_laws(destination)


def test_a_copy_of_a_copy_is_the_original(source: Store, tmp_path: Path) -> None:
    """From store to store and back."""
    stores: list[Store] = [source]
    logs = [
        eventlog.open(url)
        for url in (f"sqlite:///{tmp_path}/1.db", f"files:///{tmp_path}/2", "memory:")
    ]
    for log in logs:
        copy_log(stores[-1], log.store)
        stores.append(log.store)

    assert all(history(store) == history(source) for store in stores)
    for log in logs:
        log.close()


def test_a_session_goes_on_in_the_copy(source: Store, destination: Store) -> None:
    copy_log(source, destination)

    with Log(destination) as log:
        log.session("a").append(Message.user("here"))
        Worker(log).run_once()
        assert {task.state for task in log.tasks(session="b", kind="finalise")} == {"completed"}
        check_laws(destination)


def test_a_copy_that_is_run_again_takes_over_what_is_new(source: Store, destination: Store) -> None:
    copy_log(source, destination)
    again = copy_log(source, destination)
    assert (again.records, again.already_there, again.index_entries) == (0, 0, 0)
    with Log(source) as log:
        log.session("a").append(Message.user("new"))
        log.session("new", create=True).append(Message.user("new"))

    report = copy_log(source, destination, verify=True)

    assert (report.sessions, report.records, report.findings) == (2, 3, ())
    assert history(destination) == history(source)
    assert compare_index(destination) == []


class Stopping(MemoryStore):
    """A store that fails at one of the writes."""

    left = -1

    def append(self, batch: Sequence[Append]) -> list[Appended | eventlog.EventLogError]:
        self._count()
        return super().append(batch)

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        self._count()
        return super().put_blob(key, data, expected)

    def put_index(self, entries: Sequence[IndexEntry]) -> None:
        self._count()
        super().put_index(entries)

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise StoreUnavailable("stopped")


def test_a_copy_that_was_stopped_at_any_write_goes_on(source: Store) -> None:
    stopped = 0
    while True:
        destination = Stopping()
        destination.left = stopped + 1
        try:
            copy_log(source, destination)
        except StoreUnavailable:
            stopped += 1
        else:
            break
        copy_log(source, destination)
        assert history(destination) == history(source)
        assert compare_index(destination) == []
    assert stopped > 15


def test_what_was_copied_is_not_read_again(source: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = MemoryStore()
    copy_log(source, destination)
    begun: list[int] = []
    read_all = source.read_all

    def noted(**options: Any) -> Iterator[Record]:
        begun.append(options.get("after", START))
        return read_all(**options)

    monkeypatch.setattr(source, "read_all", noted)
    copy_log(source, destination)

    assert begun == [START, source.tip()], "once for the first record, once for what is new"


def test_of_the_copy_only_the_sessions_with_something_new_are_read_again(
    source: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L14: their index entries follow from their own records; a mirror is not rebuilt each time."""
    destination = MemoryStore()
    copy_log(source, destination)
    with Log(source) as log:
        log.session("a").append(Message.user("new"))
        log.session("a").commit()
    whole: set[str] = set()
    read_stream = destination.read

    def noted(stream: str, **options: Any) -> Iterator[Record]:
        if options.get("until") is None:
            whole.add(stream)
        return read_stream(stream, **options)

    monkeypatch.setattr(destination, "read", noted)
    report = copy_log(source, destination)
    monkeypatch.undo()

    assert (whole, report.records > 1, report.index_entries > 1) == ({"a"}, True, True)
    assert compare_index(destination) == []


def test_what_earlier_runs_have_copied_counts_as_done(source: Store) -> None:
    """So a progress bar goes on where it was, and ends with the whole."""
    destination = Stopping()
    destination.left = 9
    reported: list[int] = []
    with pytest.raises(StoreUnavailable):
        copy_log(source, destination, advance=lambda done, session: reported.append(done))
    stopped = reported[-1]

    reported.clear()
    copy_log(source, destination, advance=lambda done, session: reported.append(done))

    assert stopped - 14 <= reported[0] <= stopped, "two pages are the most that is not noted"
    assert reported[0] > 0
    assert reported == sorted(reported)
    assert reported[-1] == len(history(source))


def test_a_note_of_another_history_is_not_believed(source: Store) -> None:
    destination = MemoryStore()
    copy_log(source, destination)
    (key,) = [key for key in destination._blobs if key.startswith("copy/")]
    blob = destination.get_blob(key)
    assert blob is not None
    fields = json.loads(blob.data)
    other = MemoryStore()
    other.put_blob(key, json.dumps(fields).encode())

    copy_log(source, other)

    assert history(other) == history(source)


SOUND: dict[str, Any] = {
    "position": 9,
    "session": "a",
    "version": 3,
    "hash": "00",
    "records": 3,
    "indexed": True,
}

WRONG: list[Any] = [None, -1, 1 << 63, 1 << 70, 1.5, "x", [], True]
DAMAGED = [json.dumps({**SOUND, name: value}).encode() for name in SOUND for value in WRONG]

# ---- other histories --------------------------------------------------------------------------


def test_another_history_is_named_by_session_and_version(source: Store, destination: Store) -> None:
    """The first version that differs, however long both go on."""
    log = Log(destination, clock=FakeClock())
    for number in range(30):
        log.session("b", create=True).append(Message.user(f"{number}"))
    before = history(destination)

    with pytest.raises(HistoryConflict) as caught:
        copy_log(source, destination)

    assert (caught.value.stream, caught.value.version) == ("b", 1)
    assert [record for record in history(destination) if record.stream == "b"] == before


def test_the_first_version_that_differs_is_found(source: Store) -> None:
    """A copy that went its own way for some records, as the source did."""
    destination = MemoryStore()
    copy_log(source, destination)
    last = destination.head("a").version
    for store, count in ((source, 5), (destination, 9)):
        with Log(store) as log:
            for number in range(count):
                log.session("a").append(Message.user(f"{number}"))

    with pytest.raises(HistoryConflict, match="has a different record than the source") as caught:
        copy_log(source, destination)

    assert (caught.value.stream, caught.value.version) == ("a", last + 1)


def test_a_destination_that_goes_on_beyond_the_source_is_refused(source: Store) -> None:
    destination = MemoryStore()
    copy_log(source, destination)
    last = source.head("a").version
    with Log(destination) as log:
        log.session("a").append(Message.user("there"))
    blobs = destination._blobs
    blobs.clear()

    with pytest.raises(HistoryConflict, match="the source ends before it") as caught:
        copy_log(source, destination)

    assert (caught.value.stream, caught.value.version) == ("a", last + 1)


def test_sessions_of_two_logs_come_together(source: Store, destination: Store) -> None:
    other = MemoryStore()
    with Log(other) as log:
        log.session("z", create=True).append(Message.user("hello"))
    copy_log(source, destination)

    copy_log(other, destination, verify=True)

    assert history(destination) == history(source) + history(other)
    assert compare_index(destination) == []


def test_damage_is_never_copied(source: Store, destination: Store) -> None:
    memory = source
    assert isinstance(memory, MemoryStore)
    place = next(at for at, record in enumerate(memory._log) if record.version == 7)
    bad = memory._log[place]._replace(data=b'{"another":"text"}')
    memory._log[place] = bad

    with pytest.raises(ChainBroken) as caught:
        copy_log(source, destination)

    assert (caught.value.stream, caught.value.version) == (bad.stream, 7)
    assert destination.head(bad.stream).version < 7


def test_a_log_is_not_copied_onto_itself(source: Store) -> None:
    with pytest.raises(InvalidArgument, match="the same log"):
        copy_log(source, source)


# ---- large values -----------------------------------------------------------------------------


def say_much(store: Store) -> str:
    """Record a tool result that is kept beside the log; return it."""
    output = "0123456789" * 5_000
    with Log(store) as log:
        session = log.session("a")
        call = Message.call("read", {}, tool_id="t")
        session.append(Message.assistant("let me see", tools=(call,), id="large"))
        session.record_tool_result("large", "t", output)
    return output


def test_large_values_are_copied_and_snapshots_are_not(source: Store, destination: Store) -> None:
    """L11: what an event names is there."""
    output = say_much(source)
    with Log(source) as log:
        core_of(log, "a").write_snapshot()
    assert source.get_blob("snapshot/a/session") is not None

    report = copy_log(source, destination)

    assert report.values == 1
    assert destination.get_blob("snapshot/a/session") is None
    with Log(destination) as log:
        assert log.session("a").tool_output("large", "t", limit=60_000).text == output


def test_the_large_output_of_a_step_is_copied(source: Store, destination: Store) -> None:
    """L11: whatever the event is that names it."""
    text = "0123456789" * 20_000

    async def work(request: TaskRequest) -> str:
        await request.step("large", lambda: text)
        return "done"

    with Log(source) as log:
        log.session("a").queue_task("acme.work")
        Worker(log, Finalizer(kinds={"acme.work": work})).run_once()

    assert copy_log(source, destination).values == 1
    with Log(destination) as log:
        assert log.verify("a") == []


@pytest.mark.parametrize(
    "note",
    [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"version": 1e400}', *DAMAGED],
)
def test_a_note_that_is_damaged_is_not_believed(source: Store, note: bytes) -> None:
    """G9."""
    destination = MemoryStore()
    copy_log(source, destination)
    (key,) = [key for key in destination._blobs if key.startswith("copy/")]
    other = MemoryStore()
    other.put_blob(key, note)

    copy_log(source, other)

    assert history(other) == history(source)


def test_a_large_value_that_is_missing_ends_the_copy_before_its_event(
    source: Store, destination: Store
) -> None:
    say_much(source)
    assert isinstance(source, MemoryStore)
    for key in [key for key in source._blobs if key.startswith("value/")]:
        del source._blobs[key]
    last = source.head("a").version

    with pytest.raises(CorruptLog, match="is missing"):
        copy_log(source, destination)

    assert destination.head("a").version < last
