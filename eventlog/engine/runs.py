"""The verbs of runs for both faces: queue a message, ask a run to stop, list runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from eventlog.engine import arguments
from eventlog.engine.turns import owner_gone
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.identifiers import check_session_id, format_id, parse_id
from eventlog.session.index import RUNS, keys_under, read_run, run_prefix
from eventlog.session.runs.commands import EnqueueMessage, StopRun
from eventlog.session.runs.machine import RunState
from eventlog.session.runs.view import RunView, run_view
from eventlog.storable import check_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.session.messages import Message
    from eventlog.store import Store

__all__ = ["enqueue_command", "list_runs", "stop_command"]

REASON_CHARACTERS = 500
"""The longest reason that is recorded."""


def enqueue_command(
    core: Core, engine: Engine, message: Message | dict[str, Any], key: str | None
) -> EnqueueMessage:
    """Check a message that is to be queued; give it an id from the key, if there is one."""
    return EnqueueMessage(arguments.append(core, engine.estimate_tokens, [message], key))


def stop_command(engine: Engine, core: Core, run_id: str | None, reason: str | None) -> StopRun:
    """Return the command that asks for a run's cancellation, with what is known of its owner (I/O)."""
    lease = core.refresh().turn
    length = 0 if lease is None else max(0, lease.lease_until - lease.begun_at)
    return StopRun(
        None if run_id is None else format_id(parse_id(check_text("run_id", run_id))),
        "stopped" if reason is None else check_text("reason", reason, longest=REASON_CHARACTERS),
        owner_gone=owner_gone(engine, core),
        lease_now=engine.lease_time(),
        expires_leases=engine.trusts_time(length),
        estimate=engine.estimate_tokens,
    )


def list_runs(store: Store, session: str | None, state: RunState | None) -> Iterator[RunView]:
    """Yield runs by session, then in the order in which their messages were queued (I/O)."""
    if state is not None and state not in get_args(RunState):
        raise InvalidArgument(
            f"state is {shown(state)}; it must be one of {', '.join(get_args(RunState))}"
        )
    prefix = RUNS if session is None else run_prefix(check_session_id(session))
    return _listed(store, prefix, state)


def _listed(store: Store, prefix: str, state: RunState | None) -> Iterator[RunView]:
    for _, value in store.scan(*keys_under(prefix)):
        run = read_run(value)
        if state in (None, run.state):
            yield run_view(run)
