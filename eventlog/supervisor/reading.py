"""What a supervisor reads of sessions. One that is damaged holds up no other: it is passed over."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eventlog.codec import decode_metadata
from eventlog.errors import EventLogError, LogClosed, UnavailableError
from eventlog.redaction import redacted
from eventlog.session.index import due_prefix, keys_under
from eventlog.session.runs.machine import INBOUND
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.session.runs.state import Run

__all__ = ["SessionReader"]

HEARTBEATS: Final = frozenset({"turn_renewed", "lease_renewed"})
"""Events that say no more than that a process is alive."""

Found = TypeVar("Found")


class SessionReader:
    """Reads sessions; passes over those that cannot be read, which it logs once (I/O)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._unreadable: set[str] = set()

    def run_of(self, core: Core, run_id: str) -> tuple[Run | None] | None:
        """Return a session's run, if there is one; None if the session cannot be read."""
        return self._read(core, lambda: (core.refresh().runs.get(run_id),))

    def silent_runs(self, seconds: float) -> list[tuple[Core, Run, int]]:
        """Return the runs that did nothing but renew their lease for a time, with the versions of
        their sessions."""
        span = int(seconds * 1_000_000)
        if not self._engine.trusts_time(span):
            return []
        limit = self._engine.clock() - span
        found: list[tuple[Core, Run, int]] = []
        for session in self._sessions():
            core = self._engine.core(session)
            silent = self._read(core, partial(_silent_run, core, limit))
            if silent is not None:
                found.append((core, *silent))
        return found

    def _sessions(self) -> Iterator[str]:
        """Yield the sessions whose next run is being executed."""
        for _, value in list(self._engine.store.scan(*keys_under(due_prefix(INBOUND)))):
            session = _running_session(value)
            if session is not None:
                yield session

    def _read(self, core: Core, function: Callable[[], Found]) -> Found | None:
        try:
            found = function()
        except (LogClosed, UnavailableError):
            raise
        except EventLogError as error:
            if core.session not in self._unreadable:
                self._unreadable.add(core.session)
                fields: dict[str, Any] = {"session_id": core.session, "error": redacted(error)}
                log_fact(logging.WARNING, "session_unreadable", **fields)
            return None
        self._unreadable.discard(core.session)
        return found


def _silent_run(core: Core, limit: int) -> tuple[Run, int] | None:
    """Return a session's run, with its version, if that did nothing after a time but to renew its lease.

    What others do in the session, such as to queue another message, is no sign of it.
    """
    state = core.refresh()
    run = state.next_run()
    if run is None or run.state != "running" or run.started_at > limit:
        return None
    for record in core.store.read(core.session, reverse=True):
        if record.time <= limit:
            break
        if record.type not in HEARTBEATS and decode_metadata(record).turn == run.run_id:
            return None
    return run, state.version


def _running_session(value: bytes) -> str | None:
    """Return the session of a ``due/`` entry whose run is executed; None for any other."""
    import pydantic_core

    try:
        fields = pydantic_core.from_json(value)
        return str(fields["session"]) if fields["state"] == "running" else None
    except (ValueError, KeyError, TypeError):
        return None  # Whoever looks for due runs logs it.
