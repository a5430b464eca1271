"""Compare the snapshot of a session with the whole replay of its events.

A snapshot that opening would ignore (made by other code, damaged, of another history) does no harm
and is not checked. One that opening would trust must equal the replayed state.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from eventlog.engine.snapshots import read_snapshot
from eventlog.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.records import Record
    from eventlog.session.projection import SessionFold
    from eventlog.session.state import SessionState
    from eventlog.store import Store

__all__ = ["SnapshotCheck"]


class SnapshotCheck:
    """The stored snapshot of a session, and its comparison with the replay."""

    def __init__(self, store: Store, stream: str, fold: SessionFold) -> None:
        self._stream = stream
        stored = read_snapshot(store, stream, fold)
        self._found = stored.replayed
        self.not_checked = int(stored.is_there and stored.replayed is None)
        """Snapshots that opening would ignore: 0 or 1."""
        self.version = 0 if self._found is None else self._found.version
        """The version at which `compare` must be called; 0 if there is nothing to compare."""
        self._is_compared = False
        self.findings: list[Finding] = []

    def compare(self, record: Record, state: SessionState) -> None:
        """Compare the snapshot with the state after the record of its version."""
        self._is_compared = True
        found = self._found
        if found is None:
            return
        if found.hash != record.hash:
            self.not_checked = 1
        elif found.state != state:
            names = ", ".join(_differences(found.state, state))
            detail = (
                f"the snapshot of version {self.version} differs from the replayed events ({names}); "
                "remove it, and look at the commits since"
            )
            self.findings.append(Finding(self._stream, self.version, "snapshot", detail))

    def after_all(self, version: int) -> None:
        """Add a finding if the snapshot is of a version that the stream does not have."""
        if self.version > version and not self._is_compared:
            detail = (
                f"there is a snapshot of version {self.version}, but the session ends at version "
                f"{version}: its end was cut off, or an older copy was put back"
            )
            self.findings.append(Finding(self._stream, version, "snapshot", detail))


def _differences(found: SessionState, state: SessionState) -> Iterator[str]:
    """Yield the names of the fields in which two states differ."""
    for name in (each.name for each in fields(state)):
        if getattr(found, name) != getattr(state, name):
            yield name
