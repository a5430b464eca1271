"""Looking back: the session as it was, what changed, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog import late_verbs
from eventlog.faces.base import Base
from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from eventlog.forensics.bisect import Found
    from eventlog.forensics.causes import Cause
    from eventlog.forensics.diff import Change
    from eventlog.forensics.moment import Moment
    from eventlog.forensics.past import Past
    from eventlog.forensics.refold import Refolded
    from eventlog.projection import Projection
    from eventlog.records import Position

__all__ = ["PastVerbs"]


class PastVerbs(Base):
    """Looking back: the session as it was, what changed, and why."""

    @property
    def _past(self) -> Past:
        if self._known_past is None:
            self._known_past = self._engine.shelter.read(late_verbs.past, self._engine, self._core)
        return self._known_past

    def at(
        self,
        *,
        version: int | None = None,
        time: str | datetime | None = None,
        position: Position | str | None = None,
    ) -> Moment:
        """Return the session as it was right after the event at a version.

        A ``time``, ISO 8601 text with an offset or an aware datetime, or a ``position`` of the log
        means the last version with an earlier or the same one. With one position several sessions
        are seen at the same moment. Nothing is folded before something of the moment is asked for.

        Raises `InvalidArgument` for a version that the session has not reached, for a time or
        position at which it was not there yet, and for a position of another log.
        """
        return self._engine.shelter.read(late_verbs.at, self._past, version, time, position)

    def diff(self, first: int, second: int) -> tuple[Change, ...]:
        """Return how version ``second`` differs from ``first``, path by path, each with the event
        that changed it last.

        Paths lead to what `Moment.values` has: ``meta.pending_tokens``, ``tail[m-1].role``,
        ``archives[archive_001].state``. Raises `InvalidArgument` for a version that the session has
        not reached.
        """
        return self._engine.shelter.read(late_verbs.diff, self._past, first, second)

    def blame(self, path: str, version: int | None = None) -> Change | None:
        """Return the last change of what is at a path, up to a version or by default to the newest.

        None if there never was anything. Raises `InvalidArgument` for a path that can lead to
        nothing.
        """
        return self._engine.shelter.read(late_verbs.blame, self._past, path, version)

    def bisect(self, predicate: str | Callable[[Moment], object]) -> Found | None:
        """Return the first event after which a predicate holds, with the moments on both sides.

        The predicate is an expression, such as ``meta.pending_tokens > 8000`` (the page
        ``eventlog docs forensics`` has the language), a callable of a `Moment`, or the name of one
        that ships, such as ``token_jump``, ``doubled_ids``, ``orphans``, ``first_error`` and
        ``first_retry``; the page has them all. The session is folded once and every event looked
        at, so the answer is exact. None if it never holds. Raises `InvalidArgument` for what is not
        an expression.
        """
        return self._engine.shelter.read(late_verbs.bisect, self._past, predicate)

    def timeline(
        self,
        *,
        types: Sequence[str] | None = None,
        actor: str | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        text: str | None = None,
    ) -> tuple[Recorded, ...]:
        """Return the events, in order, of these ``types``, by this ``actor``, from ``since`` to
        ``until``, that contain ``text`` in upper or lower case. A filter that is left out admits all.

        Filters choose what is returned and change no state. Raises `InvalidArgument` for a time
        without a zone.
        """
        return self._engine.shelter.read(
            late_verbs.timeline, self._past, types, actor, since, until, text
        )

    def why(self, version: int, *, tree: bool = False) -> tuple[Cause, ...]:
        """Return the event at a version and what led to it, the nearest cause first.

        With ``tree``, the event and all that it led to, each with its depth and followed by what it
        led to itself. A cause is the event that the metadata name, or else follows from what the
        event is about: a result from the message that made the call, a message from the step or
        turn that it was said in, a turn from its run, a run from the queued message, and an event
        of a task from the one before it. Raises `InvalidArgument` for a version that the session
        has not reached.
        """
        return self._engine.shelter.read(late_verbs.why, self._past, version, tree)

    def refold(
        self,
        projection: Projection[Any, Any] | None = None,
        against: Projection[Any, Any] | None = None,
    ) -> Refolded:
        """Fold the session again, and compare with what is stored or with other code.

        The state is held against the stored snapshot. With a projection and another version of it,
        ``against``, both fold the session side by side: the first event after which their views
        differ is the divergence.
        """
        return self._engine.shelter.read(late_verbs.refold, self._past, projection, against)
