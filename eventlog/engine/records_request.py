"""The request that adds records which are finished already: those of a fork.

They keep their times, ids and hashes. What follows from them in the index is stored with them, as by
any command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.engine.committer import Request
from eventlog.engine.request import request_after_round
from eventlog.errors import VersionConflict
from eventlog.recorded import Recorded
from eventlog.records import Append, Appended
from eventlog.session.folding import apply
from eventlog.session.index import index_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.engine.core import Core
    from eventlog.records import Record
    from eventlog.session.state import SessionState

__all__ = ["RecordsRequest"]


class RecordsRequest(Request):
    """Add chained records at the end of a session that ends right before them."""

    __slots__ = ("_after", "_core", "_previous", "_recorded", "_records")

    def __init__(self, core: Core, records: Sequence[Record], previous: bytes) -> None:
        super().__init__(core)
        self._core = core
        self._records = tuple(records)
        self._recorded = [Recorded(record) for record in records]
        self._previous = previous
        self._after: SessionState | None = None

    def prepare(self, round: int) -> Append | None:
        core = self._core
        state = core.deciding_state(round)
        if not self._follows(state):
            state = core.up_to_date(state)
        if not self._follows(state):
            raise VersionConflict(core.session, self._records[0].version - 1, state.version)
        after = self._after = state.copy()
        for recorded in self._recorded:
            apply(after, recorded)
        core.pending.add(self, after)
        changes = index_changes(state, self._recorded, after)
        return Append(core.session, state.version, self._records, changes, state.hash)

    def _follows(self, state: SessionState) -> bool:
        return (state.version, state.hash) == (self._records[0].version - 1, self._previous)

    def confirm(self, appended: Appended) -> bool:
        self.result = appended.versions
        if appended.replayed:
            self._core.invalidate()
            return False
        self._core.confirm(self, self._records, self._after)
        self._core.follow_policies()
        return True

    def fold(self, state: SessionState) -> None:
        for recorded in self._recorded:
            if recorded.version == state.version + 1:
                apply(state, recorded)

    def recorded(self) -> Sequence[Recorded]:
        return self._recorded

    def recall(self) -> bool:
        ids = [record.event_id for record in self._records]
        found = self._core.reader.versions(ids)
        if len(found) < len(ids):
            return False
        self._core.refresh()
        self.result = tuple(found[event_id] for event_id in ids)
        return True

    def keep_values(self) -> None:
        """Nothing: the values that records name were stored before the request was made."""

    def after_round(self) -> Request | None:
        return request_after_round(self._core)
