"""Check that every large value named by a session's events exists and is what was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.engine.blobs import get_value
from eventlog.errors import CorruptError
from eventlog.finding import Finding
from eventlog.session.named_values import named_values, naming_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.records import Record
    from eventlog.store import Store

__all__ = ["ValueCheck"]


class ValueCheck:
    """The values named by a stream, each with the first version that names it."""

    def __init__(self, store: Store, stream: str) -> None:
        self._store = store
        self._stream = stream
        self._named: dict[str, int] = {}

    def take(self, page: Iterable[Record]) -> None:
        """Add the values that records name. Never raises."""
        for record in naming_values(page):
            for digest in named_values(record):
                self._named.setdefault(digest, record.version)

    def findings(self) -> Iterator[Finding]:
        """Yield the values that are missing or damaged; reads each of them."""
        for digest, version in self._named.items():
            try:
                get_value(self._store, self._stream, digest)
            except CorruptError as error:
                yield Finding(self._stream, version, "value", str(error))
