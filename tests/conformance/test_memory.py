"""The memory store keeps the contract of a store."""

from __future__ import annotations

from pathlib import Path

from eventlog.store import Store
from eventlog.stores.memory import MemoryStore
from eventlog.testing.conformance import ScaleConformance, StoreConformance


class TestMemoryStore(StoreConformance, ScaleConformance):
    def make_store(self, folder: Path) -> MemoryStore:
        return MemoryStore()

    def stored_data(self, store: Store, folder: Path, stream: str) -> list[bytes]:
        assert isinstance(store, MemoryStore)
        return [record.data for record in store._streams[stream]]


def test_a_copy_of_a_memory_store_goes_its_own_way() -> None:
    """Crash tests take copies as what a crash would leave."""
    from copy import deepcopy

    from eventlog.testing.conformance import draft

    store = MemoryStore()
    store.append([draft("s", 2, entries=(("k", b"1"),))])
    copied = deepcopy(store)
    store.append([draft("s", 1, expected=2, entries=(("k", None),))])

    assert (copied.head("s").version, store.head("s").version) == (2, 3)
    assert list(copied.scan("", "~")) == [("k", b"1")]
