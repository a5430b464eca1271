"""Live projections: folded as the session's records come, and read without I/O (M15)."""

from __future__ import annotations

import threading
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from eventlog.engine.snapshots import replay_stream
from eventlog.errors import InvalidArgument, LogClosed, UnavailableError
from eventlog.projection import Projection
from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.engine.core import Core
    from eventlog.engine.shelter import Shelter

__all__ = ["Watch", "watch"]

View = TypeVar("View")

FOLD_AT: Final = 256
"""Records that wait to be folded before a thread does it without being asked."""


class Watch(Generic[View]):
    """A projection of one session that is kept up to date in this process; see `Session.watch`.

    It is as fresh as `Session.meta`: what this process records is in it at once, and what others
    record after a refresh, or with the next command. It ends when nothing refers to it any more.

    A fold that raises affects nothing else: from then on reading this watch raises its error.
    """

    def __init__(self, fold: LiveFold[View], shelter: Shelter) -> None:
        self._fold = fold
        self._shelter = shelter

    @property
    def view(self) -> View:
        """What the projection shows now, without I/O: a copy, which later records do not change."""
        return self._shelter.read(self._fold.read)

    @property
    def version(self) -> int:
        """The version of the session that `view` shows."""
        return self._shelter.read(self._fold.read_version)

    def __repr__(self) -> str:
        return f"<Watch of {self._fold.projection.name!r} on session {self._fold.session!r}>"


class LiveFold(Generic[View]):
    """The fold behind a watch: takes records as they come, and folds them when it is read."""

    def __init__(self, core: Core, projection: Projection[Any, View]) -> None:
        self._core = core
        self.session = core.session
        self.projection = projection
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        """Held while an application's fold runs; nothing that others wait for needs it."""
        self._state: Any = None
        self._version = 0
        self._error: Exception | None = None
        self._has_begun = False
        self._is_folding = False
        self._noting = threading.Lock()
        self._waiting: dict[int, Recorded] = {}
        """Records that have come and are not folded, by version."""
        self._noted = 0
        """Up to this version all records are folded, or wait."""

    # ---- called by the core -------------------------------------------------------------------

    def note(self, records: Iterable[Recorded]) -> None:
        """Take over records of the session, to be folded by whoever reads next; never raises.

        Called on the thread that writes for everybody, which must not wait for an application's
        fold. So without readers a separate thread folds now and then.
        """
        if self._error is not None:
            return
        self._take(records)
        if len(self._waiting) >= FOLD_AT and self._has_begun and not self._is_folding:
            self._is_folding = True
            with suppress(RuntimeError):  # No more threads, or Python is shutting down.
                threading.Thread(
                    target=self._fold_aside, name="eventlog-watch", daemon=True
                ).start()

    def catch_up(self, until: int) -> None:
        """Read the records up to a version that have not come yet (I/O)."""
        if self._error is not None or not self._has_begun or self._noted >= until:
            return
        for record in self._core.store.read(self.session, after=self._noted, until=until):
            self._take((Recorded(record),))
            if len(self._waiting) >= FOLD_AT and self._lock.acquire(blocking=False):
                try:
                    self._fold()
                finally:
                    self._lock.release()

    def begin(self) -> None:
        """Fold what is stored (I/O)."""
        with self._lock:
            self._replay()
            with self._noting:
                self._noted = self._version
                self._advance()
            self._has_begun = True

    def begin_anew_after_fork(self) -> None:
        """Drop whatever a forked child may have copied in the middle of a change."""
        self._begin()
        self._state, self._has_begun = self.projection.initial(), True

    def _take(self, records: Iterable[Recorded]) -> None:
        with self._noting:
            for recorded in records:
                if recorded.version > self._noted:
                    self._waiting[recorded.version] = recorded
            self._advance()

    def _advance(self) -> None:
        while self._noted + 1 in self._waiting:
            self._noted += 1

    # ---- under the lock -----------------------------------------------------------------------

    def _replay(self) -> None:
        try:
            replayed = replay_stream(self._core.store, self.session, self.projection)
        except (UnavailableError, LogClosed):
            raise
        except Exception as error:  # noqa: BLE001 - an application's fold may raise anything
            self._fail(error)
        else:
            self._state, self._version = replayed.state, replayed.version

    def _fold(self) -> None:
        """Fold the records that have come, in order, as far as they follow each other."""
        if not self._has_begun:
            return
        waiting = self._waiting
        if self._error is not None:
            waiting.clear()
            return
        while (recorded := waiting.pop(self._version + 1, None)) is not None:
            try:
                self._state = self.projection.fold(self._state, (recorded,))
            except Exception as error:  # noqa: BLE001 - an application's fold may raise anything
                self._fail(error)
                return
            self._version += 1

    def _fail(self, error: Exception) -> None:
        place = f"session {self.session!r}, after version {self._version}"
        error.add_note(f"raised by the watched projection {self.projection.name!r}: {place}")
        self._error = error
        self._state = None

    # ---- in the thread of a reader ------------------------------------------------------------

    def _fold_aside(self) -> None:
        with self._lock:
            self._fold()
        self._is_folding = False

    def _current(self) -> Any:
        self._fold()
        if self._error is not None:
            raise self._error.with_traceback(None)
        return self._state

    def read(self) -> View:
        """Fold what waits, and return a copy of what the projection shows."""
        with self._lock:
            return deepcopy(self.projection.view(self._current()))

    def read_version(self) -> int:
        """Fold what waits, and return the version that was reached."""
        with self._lock:
            self._current()
            return self._version


def watch(core: Core, shelter: Shelter, projection: Projection[Any, View]) -> Watch[View]:
    """Return a projection that follows a session; see `eventlog.Session.watch`."""
    if not isinstance(projection, Projection):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(
            f"{projection!r:.80} is not a projection; give an eventlog.Projection"
        )
    core.refresh()
    fold = LiveFold(core, projection)
    core.add_watch(fold)  # First, so that no record comes between the reading and this.
    fold.begin()
    fold.catch_up(core.state.version)
    return Watch(fold, shelter)
