"""A task that a worker may claim, as the index has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventlog.worker.owner import is_gone

if TYPE_CHECKING:
    from eventlog.session.tasks.events import OwnerData

__all__ = ["DueTask"]


class DueTask(NamedTuple):
    """A task that may be free to claim; the claim decides."""

    due_at: int
    task_id: str
    kind: str
    session: str
    state: str
    owner: OwnerData | None
    """Who has claimed it; if it is due all the same, its owner is lost."""
    fence: int
    attempts: int

    @property
    def orphaned(self) -> bool:
        """Whether its owner is proven to be gone, whatever is left of the lease."""
        return self.owner is not None and is_gone(self.owner)
