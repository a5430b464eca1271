"""A task that a worker may claim, as the index lists it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventlog.engine.owner import is_gone

if TYPE_CHECKING:
    from eventlog.session.tasks.events import OwnerData
    from eventlog.store import Store

__all__ = ["DueTask"]


class DueTask(NamedTuple):
    """A task that may be free to claim; the claim decides."""

    due_at: int
    task_id: str
    kind: str
    session: str
    state: str
    owner: OwnerData | None
    """The process that has claimed it; if the task is nevertheless due, that process is lost."""
    fence: int
    attempts: int

    def is_orphaned(self, store: Store) -> bool:
        """Return whether its owner is known to be gone, even if the lease has not ended."""
        return self.owner is not None and is_gone(self.owner, store)
