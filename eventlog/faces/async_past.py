"""The twin of `eventlog.faces.past`, to be awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.faces.async_base import AsyncBase
from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from eventlog.forensics.async_moment import AsyncMoment
    from eventlog.forensics.bisect import Found
    from eventlog.forensics.causes import Cause
    from eventlog.forensics.diff import Change
    from eventlog.forensics.moment import Moment
    from eventlog.forensics.past import Past
    from eventlog.forensics.refold import Refolded
    from eventlog.projection import Projection
    from eventlog.records import Position

__all__ = ["AsyncPastVerbs"]


class AsyncPastVerbs(AsyncBase):
    """Looking back: the session as it was, what changed, and why."""

    @property
    def _past(self) -> Past:
        if self._known_past is None:
            from eventlog.forensics.past import Past

            estimate = self._engine.estimate_tokens
            self._known_past = Past(self._engine.store, self._core, estimate)
        return self._known_past

    async def at(
        self,
        *,
        version: int | None = None,
        time: str | datetime | None = None,
        position: Position | str | None = None,
    ) -> AsyncMoment:
        """Return the session as it was right after the event at a version.

        See `Session.at`.
        """
        from eventlog.forensics.as_of import moment_at
        from eventlog.forensics.async_moment import AsyncMoment

        moment = await self._engine.run(moment_at, self._past, version, time, position)
        return AsyncMoment(self._engine, moment)

    async def diff(self, first: int, second: int) -> tuple[Change, ...]:
        """Return how version ``second`` differs from ``first``, path by path, each with the event
        that changed it last.

        See `Session.diff`.
        """
        from eventlog.forensics.diff import diff

        return await self._engine.run(diff, self._past, first, second)

    async def blame(self, path: str, version: int | None = None) -> Change | None:
        """Return the last change of what is at a path, up to a version or by default to the newest.

        See `Session.blame`.
        """
        from eventlog.forensics.diff import blame

        return await self._engine.run(blame, self._past, path, version)

    async def bisect(self, predicate: str | Callable[[Moment], object]) -> Found | None:
        """Return the first event after which a predicate holds, with the moments on both sides.

        A callable is given a plain `Moment`, in a thread. See `Session.bisect`.
        """
        from eventlog.forensics.bisect import bisect

        return await self._engine.run(bisect, self._past, predicate)

    async def timeline(
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

        See `Session.timeline`.
        """
        from eventlog.forensics.timeline import filters, timeline

        wanted = filters(types, actor, since, until, text)
        return await self._engine.run(lambda: tuple(timeline(self._past, wanted)))

    async def why(self, version: int, *, tree: bool = False) -> tuple[Cause, ...]:
        """Return the event at a version and what led to it, the nearest cause first.

        See `Session.why`.
        """
        from eventlog.forensics.causes import why

        return await self._engine.run(why, self._past, version, tree=tree)

    async def refold(
        self,
        projection: Projection[Any, Any] | None = None,
        against: Projection[Any, Any] | None = None,
    ) -> Refolded:
        """Fold the session again, and compare with what is stored or with other code.

        See `Session.refold`.
        """
        from eventlog.forensics.refold import refold

        return await self._engine.run(refold, self._past, projection, against)
