"""What PostgreSQL cannot hold is refused alone; what it can hold comes back to the byte (P10)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import eventlog
from eventlog import InvalidArgument, Message, StoreUnavailable
from eventlog.engine.opening import open_store
from eventlog.errors import Indeterminate, TooLarge
from eventlog.records import Append, Appended
from eventlog.store import Store
from eventlog.stores.postgres import PostgresStore, store
from eventlog.testing.conformance import draft

Query = Callable[..., list[tuple[object, ...]]]


@pytest.mark.parametrize(
    ("bad", "advice"),
    [
        (draft("nul\0name"), "has a NUL character"),
        (draft("s", type="acme.\0"), "has a NUL character"),
        (draft("s", entries=(("key\0", b"v"),)), "has a NUL character"),
        (draft("s", entries=(("key\ud800", None),)), "has a lone surrogate"),
    ],
)
def test_what_text_cannot_hold_is_refused_alone(store: Store, bad: Append, advice: str) -> None:
    first, refused, last = store.append([draft("a"), bad, draft("b")])

    assert isinstance(first, Appended)
    assert isinstance(refused, InvalidArgument)
    assert advice in str(refused)
    assert isinstance(last, Appended)
    assert [record.stream for record in store.read_all()] == ["a", "b"]


def test_a_workspace_that_no_key_can_hold_is_refused_by_the_session(postgres_url: str) -> None:
    with eventlog.open(postgres_url) as log:
        session = log.session("s", create=True, workspace="a\0b")

        with pytest.raises(InvalidArgument, match="leave it out"):
            session.append(Message.user("hello"))
        assert not log.exists("s")


@pytest.mark.parametrize(
    "data", [b'{"b":1,"a":"\\u0000"}', b'{"a":1,"a":2}', b"\xff\xfe\x00", b"", b'{"x": 1.0e2 }']
)
def test_bytes_come_back_as_they_were(store: Store, data: bytes) -> None:
    """As jsonb some would be refused, and the others come back changed."""
    store.append([draft("s", 1, data=data, entries=(("k", data),))])

    assert next(store.read("s")).data == data
    assert list(store.scan("", "~")) == [("k", data)]


def test_an_append_that_is_too_large_fails_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventlog.stores.postgres.store.APPEND_LIMIT", 100)

    small, large = store.append([draft("a"), draft("b", 1, data=b"x" * 101)])

    assert isinstance(small, Appended)
    assert isinstance(large, TooLarge)
    assert "the number of bytes of one append is 124, the limit is 100" in str(large)
    monkeypatch.setattr("eventlog.stores.postgres.store.RECORDS_LIMIT", 2)
    (many,) = store.append([draft("c", 3)])
    assert isinstance(many, TooLarge)


def test_a_batch_that_is_too_much_for_one_call_is_stored_by_several(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventlog.stores.postgres.store.CALL_BYTES", 100)

    answers = store.append([draft("s", 1, expected=number) for number in range(10)])

    assert [answer.versions for answer in answers if isinstance(answer, Appended)] == [
        (version,) for version in range(1, 11)
    ]
    assert store.check() == []


def test_what_fails_behind_a_part_that_was_stored_is_indeterminate(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`StoreUnavailable` would say that nothing of the batch was stored."""
    assert isinstance(store, PostgresStore)
    monkeypatch.setattr("eventlog.stores.postgres.store.CALL_BYTES", 100)
    store.append([draft("warm")])
    take = store._store
    calls: list[object] = []

    def fail_later(batch: object) -> int | None:
        calls.append(batch)
        if len(calls) == 2:
            raise StoreUnavailable("the server went away")
        return take(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "_store", fail_later)
    batch = [draft("s", 2, expected=2 * number) for number in range(5)]

    with pytest.raises(Indeterminate, match="the server went away"):
        store.append(batch)

    assert 0 < store.head("s").version < 10
    answers = store.append(batch)
    assert [answer.replayed for answer in answers if isinstance(answer, Appended)] == [
        True,
        *[False] * 4,
    ]


def test_a_reader_that_pauses_holds_no_connection(postgres_url: str) -> None:
    store = open_store(f"{postgres_url}&pool_size=1")
    store.append([draft("s", 600)])
    reading, everything = store.read("s"), store.read_all()

    assert (next(reading).version, next(everything).version) == (1, 1)
    assert store.head("s").version == 600
    assert len(list(reading)) == len(list(everything)) == 599
    store.close()


def test_who_waits_too_long_for_a_connection_is_told_of_the_pool(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventlog.stores.postgres.connections.POOL_SECONDS", 0.01)
    store = open_store(f"{postgres_url}&pool_size=1")
    assert isinstance(store, PostgresStore)

    with store._borrowed(), pytest.raises(StoreUnavailable, match=r"raise \?pool_size in the URL"):
        store.head("s")

    assert store.head("s").version == 0
    store.close()


# ---- damage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("DELETE FROM {schema}.records WHERE version = 2", "versions are missing"),
        ("DELETE FROM {schema}.records WHERE version = 3", "the head is not that"),
        ("UPDATE {schema}.streams SET version = 2", "the head is not that"),
        ("DELETE FROM {schema}.streams", "the head is not that"),
        (
            "UPDATE {schema}.records SET position = 1 WHERE version = 2",
            "positions do not ascend with versions",
        ),
    ],
)
def test_heads_and_records_that_do_not_agree_are_found(
    store: Store, ask: Query, damage: str, problem: str
) -> None:
    store.append([draft("s", 3)])
    assert store.check() == []

    ask(damage)

    (finding,) = store.check()
    assert finding.kind == "index"
    assert problem in finding.detail


def test_a_changed_byte_is_named_by_session_and_version(postgres_url: str, ask: Query) -> None:
    with eventlog.open(postgres_url) as log:
        session = log.session("s", create=True)
        session.extend([Message.user(text) for text in ("one", "two", "three")])
        ask(
            "UPDATE {schema}.records SET data = set_byte(data, 40, get_byte(data, 40) # 1) "
            "WHERE version = 3"
        )

        (finding, *_) = log.verify("s")

        assert (finding.stream, finding.version) == ("s", 3)


# ---- plans ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (store._READ[False], ("s", "s", 0, 1 << 62, 512)),
        (store._READ[True], ("s", "s", 0, 1 << 62, 512)),
        (store._READ_ALL, (0, 512)),
        (store._READ_TYPES, (0, ["acme.noted"], 512)),
        (store._HEAD, ("s",)),
        (store._TIP, ()),
        (store._FIND, ("s", [b"x"])),
        (store._LOOK, (["s"], ["s"], [b"x"])),
        (store._SCAN, ("a", "b", 512)),
    ],
)
def test_what_is_asked_follows_an_index_however_small_the_log_was_when_it_was_planned(
    store: Store, statement: str, arguments: tuple[object, ...]
) -> None:
    """A plan is kept: one that sorts or scans the whole would make each page cost the whole log."""
    assert isinstance(store, PostgresStore)
    with store._borrowed() as connection:
        query = b"EXPLAIN " + store._statements[statement]
        plan = "\n".join(line for (line,) in connection.execute(query, arguments))

    assert "Index" in plan
    for costly in ("Sort", "Seq Scan on records", "Seq Scan on streams", "Bitmap", "Hash", "Merge"):
        assert costly not in plan, plan
