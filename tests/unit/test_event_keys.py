"""Events that are found by keys made of their fields (M14)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import eventlog
from eventlog import AutoCommitPolicy, Event, Log, Message
from eventlog.audit.index_check import compare_index, rebuild_index, rebuilt_entries
from eventlog.errors import CorruptLog, InvalidArgument, UnknownEventType
from eventlog.events import event_class
from eventlog.exchange.copying import copy_log
from eventlog.session.folding import apply_records
from eventlog.session.index import EVENTS, changes_index, keys_under, without_index_changes
from eventlog.session.state import SessionState
from eventlog.stores.memory import MemoryStore
from eventlog.testing.wrapping import StoreCall, WrappedStore


class StepDone(Event, type="keys.step_done", keys=("run/{run_id}", "step/{run_id}/{step}")):
    run_id: str
    step: int | None = None


class Paid(Event, type="keys.paid", keys="paid/{customer}"):
    customer: str
    cents: int = 0


def steps(log: Log, session: str, *pairs: tuple[str, int | None]) -> None:
    log.session(session, create=True).record(
        *(StepDone(run_id=run, step=step) for run, step in pairs)
    )


def found(entries: Any) -> list[tuple[str, str, int | None]]:
    return [(each.stream, each.event.run_id, each.event.step) for each in entries]


def test_events_are_found_by_a_key_in_a_session_and_in_the_log(log: Log) -> None:
    steps(log, "a", ("42", 1), ("421", 1), ("42", 2))
    log.session("a").append(Message.user("between"))
    steps(log, "a", ("42", 10))
    steps(log, "b", ("42", 1), ("4", None))

    assert found(log.session("a").find("run/42")) == [
        ("a", "42", 1),
        ("a", "42", 2),
        ("a", "42", 10),
    ]
    assert found(log.session("b").find("run/42")) == [("b", "42", 1)]
    assert [each.stream for each in log.find("run/42")] == ["a", "a", "a", "b"]
    assert found(log.find("step/42/1")) == [("a", "42", 1), ("b", "42", 1)]
    assert (
        found(log.find("step/42"))
        == found(log.find("step/42/"))
        == [
            ("a", "42", 1),
            ("b", "42", 1),
            ("a", "42", 10),
            ("a", "42", 2),
        ]
    )
    assert len(list(log.find("run"))) == 6
    assert list(log.find("run/43")) == list(log.find("ru")) == []
    assert list(log.session("a").find("run")) == []


def test_an_event_without_a_value_for_a_field_does_not_have_the_key(log: Log) -> None:
    steps(log, "a", ("1", None))

    assert list(log.find("step")) == []
    assert [each.metadata.keys for each in log.find("run")] == [("run/1",)]


def test_a_key_is_found_with_the_command_that_recorded_it(log: Log, rival: Log) -> None:
    session = log.session("a", create=True)
    for step in range(3):
        session.record(StepDone(run_id="r", step=step))
        assert [each.event for each in rival.find("run/r")][-1] == StepDone(run_id="r", step=step)


def test_what_a_field_contains_makes_no_other_key(log: Log) -> None:
    values = ["a", "a/b", "a%2Fb", "", "/", "\\", "..", "a\nb", "\0", "é/\U0001f600", "{x}"]
    session = log.session("s/1", create=True)
    for value in values:
        session.record(Paid(customer=value))

    for value in values:
        assert [each.event for each in session.find("paid/{customer}", customer=value)] == [
            Paid(customer=value)
        ]
        assert len(list(log.find("paid/{customer}", customer=value))) == 1
    assert len(list(log.find("paid"))) == len(values)
    assert log.verify("s/1") == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "a/b", "b"]), st.text("ab/\\%\n", max_size=4)), max_size=8
    )
)
@example([("a", "b"), ("a/b", "b"), ("a", "b/b")])
@example([("a", ""), ("a", "\\e")])
def test_each_event_is_found_by_its_key_and_by_no_other(pairs: list[tuple[str, str]]) -> None:
    with eventlog.open("memory:") as log:
        for session, value in pairs:
            log.session(session, create=True).record(Paid(customer=value))
        for session, value in set(pairs):
            events = list(log.session(session).find("paid/{customer}", customer=value))
            assert len(events) == pairs.count((session, value))
            assert {each.event.customer for each in events} == {value}  # type: ignore[attr-defined]
        assert compare_index(log.store) == []


def test_a_longer_key_does_not_pass_for_a_session_of_a_shorter_one(log: Log) -> None:
    steps(log, "7", ("42", None))
    log.session("7", create=True).record(StepDone(run_id="x", step=7))
    log.session("x", create=True).record(Nested(run_id="42", rest="7"))

    assert found(log.session("7").find("run/42")) == [("7", "42", None)]
    assert {each.stream for each in log.find("run/42")} == {"7", "x"}
    assert [each.stream for each in log.find("run/42/7")] == ["x"]


@pytest.mark.parametrize("idle", [None, 60])
def test_what_is_passed_over_as_changing_no_entry_changes_none(idle: float | None) -> None:
    """Verifying goes through a session in such stretches; with an idle limit each message counts."""
    log = Log(MemoryStore())
    policy = None if idle is None else AutoCommitPolicy(idle_seconds=idle)
    session = log.session("s", create=True, auto_commit=policy)
    for number in range(6):
        session.extend([Message.user("one"), Message.assistant("two")])
        session.record(StepDone(run_id=str(number)))
    session.commit()
    session.append(Message.user("three"))
    records = list(log.store.read("s"))
    state, longest = SessionState("s"), 0
    for place, record in enumerate(records):
        quiet = without_index_changes(state, records, place)
        longest = max(longest, len(quiet))
        ahead = state.copy()
        for passed in quiet:
            assert not changes_index(ahead, passed)
            apply_records(ahead, [passed])
        apply_records(state, [record])
    assert longest == (2 if idle is None else 0)


class Nested(Event, type="keys.nested", keys="run/{run_id}/{rest}/000"):
    run_id: str
    rest: str


def test_the_index_is_rebuilt_and_verified_without_the_class(log: Log) -> None:
    steps(log, "a", ("1", 1), ("2", None))
    stored = dict(log.store.scan(*keys_under(EVENTS)))
    log.store.put_index([(next(iter(stored)), None), (f"{EVENTS}run/9/a/000000000001", b"{}")])
    known = _forget(StepDone)
    try:
        assert len(log.verify("a")) == 2
        assert set(rebuilt_entries(log.store, "a")) >= set(stored)
        assert len(rebuild_index(log.store)) == 2
        assert log.verify("a") == []
    finally:
        known()
    assert dict(log.store.scan(*keys_under(EVENTS))) == stored


def _forget(cls: type[Event]) -> Any:
    from eventlog import events

    registry = events._registry  # pyright: ignore[reportPrivateUsage]
    del registry[cls.event_type]
    return lambda: registry.update({cls.event_type: cls})


def test_an_entry_that_no_event_has_is_damage_that_is_named(log: Log) -> None:
    steps(log, "a", ("1", 1))
    log.store.put_index([(f"{EVENTS}run/1/a/000000000009", b"{}")])

    with pytest.raises(CorruptLog, match="rebuild-index"):
        list(log.session("a").find("run/1"))
    log.store.put_index([(f"{EVENTS}run/1/a/000000000009", None), (f"{EVENTS}run/1/a/x", b"{}")])
    with pytest.raises(CorruptLog, match="rebuild-index"):
        list(log.find("run/1"))


def test_a_look_up_reads_the_events_that_have_the_key_and_no_others() -> None:
    read: list[str] = []

    class Counting(WrappedStore):
        def around(self, call: StoreCall, go_on: Any) -> Any:
            read.append(call.verb)
            return go_on()

    with eventlog.open("memory:") as plain, Log(Counting(plain.store)) as log:
        session = log.session("a", create=True)
        for number in range(600):
            session.append(Message.user("x"))
            if number % 200 == 0:
                session.record(Paid(customer="ada", cents=number))
        read.clear()
        assert len(list(session.find("paid/ada"))) == 3
        looked_up = read.copy()
    assert looked_up.count("scan") == 1
    assert looked_up.count("read") == 3
    assert set(looked_up) == {"scan", "read"}


def test_copies_bundles_and_forks_keep_the_keys(tmp_path: Path) -> None:
    with eventlog.open("memory:") as log, eventlog.open(f"sqlite:///{tmp_path / 'b.db'}") as copy:
        steps(log, "a/1", ("42", 1), ("43", 2))
        copy_log(log.store, copy.store)
        assert found(copy.find("run/42")) == [("a/1", "42", 1)]
        assert copy.verify("a/1") == []

        log.bundle(["a/1"], tmp_path / "case.zip")
        with eventlog.open_bundle(tmp_path / "case.zip") as case:
            assert found(case.session("a/1").find("run/43")) == [("a/1", "43", 2)]

        log.session("a/1").fork("f", edit={2: StepDone(run_id="44", step=1)})
        assert found(log.session("f").find("run/44")) == [("f", "44", 1)]
        assert list(log.session("f").find("run/42")) == []
        assert found(log.session("f").find("run/43")) == [("f", "43", 2)]
        assert log.verify("f") == []


def test_a_repeated_command_changes_nothing(log: Log) -> None:
    session = log.session("a", create=True)
    for _ in range(2):
        session.record(StepDone(run_id="1"), idempotency_key="k")
    assert len(list(session.find("run/1"))) == 1


def test_an_asynchronous_log_finds_the_same(log_url: str) -> None:
    async def run() -> None:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("a", create=True)
            await session.record(Paid(customer="ada"), Paid(customer="bob"))
            assert [
                each.version async for each in session.find("paid/{customer}", customer="ada")
            ] == [2]
            assert [each.version async for each in log.find("paid")] == [2, 3]

    asyncio.run(run())


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "/",
        "run/",
        "/run",
        "run//x",
        "{missing}",
        "{run_id!r}",
        "{run_id:>9}",
        "{run_id.x}",
        "{}",
        "{0}",
        "a\\b",
        "a\nb",
        "run/{run_id",
        ["x"] * 17,
        [7],
    ],
)
def test_a_class_whose_key_cannot_be_one_is_refused(keys: Any) -> None:
    with pytest.raises(InvalidArgument, match="index key"):

        class Wrong(Event, type="keys.wrong", keys=keys):  # pyright: ignore[reportUnusedClass]
            run_id: str

    with pytest.raises(UnknownEventType):
        event_class("keys.wrong", 1)


class Odd(Event, type="keys.odd", keys="odd/{value}"):
    value: Any


@pytest.mark.parametrize("value", [1.5, [1], {"a": 1}, "x" * 1025])
def test_a_field_that_cannot_be_in_a_key_is_refused_and_nothing_is_recorded(
    log: Log, value: Any
) -> None:
    session = log.session("a", create=True)
    with pytest.raises(InvalidArgument, match="key"):
        session.record(Odd(value=value))
    assert not log.exists("a")


@pytest.mark.parametrize(
    ("value", "key"),
    [(7, "odd/7"), (True, "odd/true"), ("x y", "odd/x y"), (-1, "odd/-1"), ("", "odd/\\e")],
)
def test_whole_numbers_texts_and_truth_values_are_written_plainly(value: Any, key: str) -> None:
    assert Odd(value=value).index_keys() == (key,)


@pytest.mark.parametrize("key", ["", "/", "a//b", "a\n", 7, None, "x" * 2000])
def test_a_key_that_no_event_can_have_is_refused(log: Log, key: Any) -> None:
    with pytest.raises(InvalidArgument, match="key"):
        log.find(key)


def test_fields_that_are_not_those_of_the_key_are_refused(log: Log) -> None:
    with pytest.raises(InvalidArgument, match="has the fields"):
        log.find("run/{run_id}", run="1")
    with pytest.raises(InvalidArgument, match="None"):
        log.find("run/{run_id}", run_id=None)  # type: ignore[arg-type]


def test_keys_in_metadata_that_nobody_could_have_written_make_no_entries() -> None:
    from eventlog.codec import keys_of
    from eventlog.testing.conformance.base import draft

    (record,) = draft("a", 1).records
    for wrong in (b'{"keys":7}', b'{"keys":["a//b","",7,"\\u0000"]}', b'["keys"]', b'{"keys"'):
        assert keys_of(record._replace(metadata=wrong)) == ()


def test_verifying_one_session_reads_a_bounded_number_of_the_keys_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A1: and finds a key of this session's that is missing or wrong all the same."""
    monkeypatch.setattr("eventlog.audit.index_check.SCANNED_EVENTS", 10)
    store = MemoryStore()
    with eventlog.Log(store) as log:
        steps(log, "a", ("1", 1), ("2", 2))
        for number in range(100):
            steps(log, f"b{number}", (str(number), 1))
        read: list[str] = []
        scan = store.scan

        def counting(start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
            for key, value in scan(start, end, limit):
                read.append(key)
                yield key, value

        monkeypatch.setattr(store, "scan", counting)
        assert log.verify("a") == []
        assert 0 < sum(key.startswith("event/") for key in read) < 60
        (lost, _), *_ = scan("event/run/1/a", "event/run/1/b")
        store.put_index([(lost, None)])
        assert [finding.kind for finding in log.verify("a")] == ["index"]
