"""``eventlog health``: what waits in a log and what is stuck, quickly."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.output import counted, say
from eventlog.engine.listings import blocked_sessions
from eventlog.errors import CorruptError
from eventlog.log import engine_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog import Health
    from eventlog.cli.terminal import Terminal
    from eventlog.engine.listings import BlockedSession
    from eventlog.log import Log

__all__ = ["health"]

_LINES: Final = {
    "durability": "an acknowledged write survives",
    "queue_depth": "tasks queued",
    "running": "tasks running",
    "due": "tasks that wait for a worker",
    "oldest_due_seconds": "the oldest of them waits",
    "expired_leases": "leases expired",
    "blocked_sessions": "sessions blocked",
    "lag_events": "events behind the checkpoint",
    "lag_seconds": "the oldest of those waits",
    "wal_bytes": "write-ahead log",
    "wal_readers": "read by",
}
"""The fields of `eventlog.Health`, as they are shown."""


@command("health")
@click.option("--after", metavar="CHECKPOINT", help="How far a follower is that stopped there.")
def health(invocation: Invocation, after: str | None) -> None:
    """Reads the index and folds nothing: a few milliseconds, however large the log is, so it is fit for
    a probe. It fails only if the log cannot be read (exit code 5 or 6); what is stuck is for people to
    look at. `eventlog doctor` checks the storage itself, and takes longer.
    """
    with invocation.open() as log:
        found = log.health(after=after)
        blocked = None if invocation.json else _first_blocked(log)
    invocation.answer(found._asdict(), lambda terminal: _print(terminal, found._asdict()))
    if not invocation.json:
        for hint in _hints(found, blocked):
            say(hint)


def _first_blocked(log: Log) -> BlockedSession | None:
    """Return a blocked session; None where the index is damaged, of which `doctor` speaks."""
    with suppress(CorruptError):
        return next(blocked_sessions(engine_of(log).store), None)
    return None


def _hints(found: Health, blocked: BlockedSession | None) -> Iterator[str]:
    """Yield what to type about what waits or is stuck."""
    if found.due:
        yield f"{counted(found.due, 'task')} without a worker: `eventlog work` runs them"
    if found.expired_leases:
        yield "`eventlog tasks --state running` shows whose leases expired, `eventlog work` takes over"
    if blocked is not None:
        name = shlex.quote(blocked.session_id)
        others = f", the first of {found.blocked_sessions:,}" * (found.blocked_sessions > 1)
        yield f"{blocked.session_id} is blocked{others}; to see why:"
        yield f"  eventlog show {name}"
        yield f"to give {blocked.archive_id} new attempts:"
        yield f"  eventlog retry {name} {blocked.archive_id}"


def _print(terminal: Terminal, document: dict[str, Any]) -> None:
    terminal.pairs(
        {
            text: _shown(name, document[name])
            for name, text in _LINES.items()
            if document[name] not in (None, ())
        }
    )


def _shown(name: str, value: Any) -> str:
    if name.endswith("_seconds"):
        return f"{value:,.1f} s"
    if name == "wal_bytes":
        return f"{value / 1e6:,.1f} MB"
    if name == "wal_readers":
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
