"""The events of turns. A session without turns has none, so this module is imported when needed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from eventlog.events import Event
from eventlog.session.tasks.events import OwnerData

__all__ = [
    "OnError",
    "TurnAbandoned",
    "TurnBegun",
    "TurnCancelled",
    "TurnCompleted",
    "TurnEvent",
    "TurnFailed",
    "TurnRenewed",
    "TurnStepCompleted",
]

OnError = Literal["keep", "withdraw"]
"""What becomes of the messages of a turn that ends otherwise than completed."""


class TurnEvent(Event):
    """An event about one attempt at a turn; attempts count from 1."""

    turn: str
    attempt: int


class TurnBegun(TurnEvent, type="turn_begun"):
    """A turn was begun, or begun again; what the attempt before added was withdrawn right before.

    The lease lasts until ``lease_until``, in microseconds, unless it is renewed; a turn whose lease
    lapsed more than ``stale_seconds`` ago may be abandoned by anyone. ``steps`` are those of
    earlier attempts that are read back instead of run again: the versions of their records by name.
    """

    lease_until: int
    stale_seconds: float
    owner: OwnerData
    resumes: bool = False
    on_error: OnError = "keep"
    steps: dict[str, int] = Field(default_factory=dict)


class TurnRenewed(TurnEvent, type="turn_renewed"):
    """The lease of a turn was extended."""

    lease_until: int


class TurnStepCompleted(TurnEvent, type="turn_step_completed"):
    """A step of a turn was done; the ``messages`` records that follow it are the step's: its messages,
    or the end of a message that was streamed, and that message.

    ``digest`` is that of the arguments; an output that is too large for an event is the value with
    the digest ``blob``.
    """

    step: str
    digest: str
    output: Any = None
    blob: str | None = None
    messages: int = 0


class TurnCompleted(TurnEvent, type="turn_completed"):
    """A turn has its result and is never run again."""

    result: Any = None


class TurnFailed(TurnEvent, type="turn_failed"):
    """A turn ended with an error."""

    error: str


class TurnCancelled(TurnEvent, type="turn_cancelled"):
    """A turn was cancelled or interrupted."""

    error: str


class TurnAbandoned(TurnEvent, type="turn_abandoned"):
    """A turn was ended by others: its owner was lost, or the session ended."""

    reason: str
