"""Compare the snapshots of a session with the whole replay of its events.

A snapshot that opening would ignore (made by other code, damaged, of another history) does no harm
and is not checked. One that opening or looking back would trust must equal the replayed state.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from eventlog.engine.snapshots import KEPT_EVERY, read_snapshot
from eventlog.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.engine.snapshots import Replayed
    from eventlog.records import Record
    from eventlog.session.projection import SessionFold
    from eventlog.session.state import SessionState
    from eventlog.store import Store

__all__ = ["SnapshotCheck"]


class SnapshotCheck:
    """The stored snapshots of a session, and their comparison with the replay."""

    def __init__(self, store: Store, stream: str, fold: SessionFold) -> None:
        self._store = store
        self._stream = stream
        self._fold = fold
        self.not_checked = 0
        """Snapshots that opening and looking back would ignore."""
        self.findings: list[Finding] = []
        self._found: dict[int, list[Replayed]] = {}
        """Snapshots that were not compared yet, by version."""
        self._place = 1
        """The next place of which a snapshot may be kept."""
        self._take(None)
        self._newest = max(self._found, default=0)
        self.version = self._next_version()
        """The version at which `reached` must be called next."""

    def _take(self, kept: int | None) -> None:
        stored = read_snapshot(self._store, self._stream, self._fold, kept)
        if stored.replayed is not None:
            self._found.setdefault(stored.replayed.version, []).append(stored.replayed)
        elif stored.is_there:
            self.not_checked += 1

    def _next_version(self) -> int:
        return min((*self._found, self._place * KEPT_EVERY))

    def reached(self, record: Record, state: SessionState) -> None:
        """Compare the snapshots of a record's version with the state after it."""
        version = record.version
        if version == self._place * KEPT_EVERY:
            self._take(self._place)
            self._place += 1
        for found in self._found.pop(version, ()):
            if found.hash != record.hash:
                self.not_checked += 1
            elif found.state != state:
                names = ", ".join(_differences(found.state, state))
                detail = (
                    f"the snapshot of version {version} differs from the replayed events ({names}); "
                    "remove it, and look at the commits since"
                )
                self.findings.append(Finding(self._stream, version, "snapshot", detail))
        self.version = self._next_version()

    def after_all(self, version: int) -> None:
        """Add a finding if the newest snapshot is of a version that the stream does not have.

        The others were read later than the stream's end, and may be of records behind that.
        """
        newest = self._newest
        if newest > version and newest in self._found:
            detail = (
                f"there is a snapshot of version {newest}, but the session ends at version "
                f"{version}: its end was cut off, or an older copy was put back"
            )
            self.findings.append(Finding(self._stream, version, "snapshot", detail))


def _differences(found: SessionState, state: SessionState) -> Iterator[str]:
    """Yield the names of the fields in which two states differ."""
    for name in (each.name for each in fields(state)):
        if getattr(found, name) != getattr(state, name):
            yield name
