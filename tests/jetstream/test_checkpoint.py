"""The index of a long log begins with a checkpoint, which only saves reading (L14)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from eventlog.engine.opening import open_store
from eventlog.store import Store
from eventlog.stores.jetstream import JetStreamStore
from eventlog.stores.jetstream.checkpoint import END_KEY, INDEX_KEY
from eventlog.testing.conformance import draft


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventlog.stores.jetstream.index.CHECKPOINT_AT", 10)
    monkeypatch.setattr("eventlog.stores.jetstream.store.NOTE_AT", 10)


@pytest.fixture
def store(nats_url: str) -> Iterator[Store]:
    with closing(open_store(nats_url)) as store:
        yield store


def write(store: Store, first: int, count: int) -> None:
    """Append records that bring an entry, change one, and remove the one before."""
    for number in range(first, first + count):
        entries = (
            (f"kept/{number:04d}", b"%d" % number),
            ("newest", b"%d" % number),
            (f"gone/{number}", b"x"),
            (f"gone/{number - 1}", None),
        )
        store.append([draft("s", 1, expected=number, entries=entries)])


def expected(count: int) -> list[tuple[str, bytes]]:
    kept = [(f"kept/{number:04d}", b"%d" % number) for number in range(count)]
    return sorted([*kept, ("newest", b"%d" % (count - 1)), (f"gone/{count - 1}", b"x")])


def test_an_index_that_began_with_a_checkpoint_is_the_one_of_the_whole_log(
    store: Store, nats_url: str
) -> None:
    assert list(store.scan("", "~")) == []
    write(store, 0, 35)
    assert store.get_blob(INDEX_KEY) is not None

    with closing(open_store(nats_url)) as other:
        assert list(other.scan("", "~")) == expected(35)
        write(other, 35, 7)
        assert list(other.scan("", "~")) == list(store.scan("", "~")) == expected(42)


def test_what_a_checkpoint_holds_is_not_read_again(store: Store, nats_url: str) -> None:
    list(store.scan("", "~"))
    write(store, 0, 30)
    with closing(open_store(nats_url)) as other:
        assert isinstance(other, JetStreamStore)
        read: list[int] = []
        messages = other._reader.messages
        other._reader.messages = lambda after: read.append(after) or messages(after)  # type: ignore[method-assign,func-returns-value]

        assert list(other.scan("", "~")) == expected(30)

        assert read == [30]


def test_a_damaged_checkpoint_is_ignored_and_replaced(store: Store, nats_url: str) -> None:
    list(store.scan("", "~"))
    write(store, 0, 30)
    for damage in (b"", b"nonsense" * 4):
        store.put_blob(INDEX_KEY, damage)
        store.put_blob(END_KEY, damage)
        with closing(open_store(nats_url)) as other:
            assert list(other.scan("", "~")) == expected(30)
    blob = store.get_blob(INDEX_KEY)
    assert blob is not None
    assert blob.data != damage


def test_a_checkpoint_never_goes_back(store: Store, nats_url: str) -> None:
    """A process that lags writes none over that of another one."""
    with closing(open_store(nats_url)) as other:
        list(store.scan("", "~"))
        write(store, 0, 40)
        assert isinstance(store, JetStreamStore)
        assert isinstance(other, JetStreamStore)
        kept = store._checkpoints.index()
        assert kept is not None

        other._checkpoints.keep_index(kept._replace(sequence=kept.sequence - 1, entries={}))

        assert store._checkpoints.index() == kept
