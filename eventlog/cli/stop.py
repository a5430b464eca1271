"""``eventlog stop``: cancel the run of a session."""

from __future__ import annotations

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids

__all__ = ["stop"]


@command("stop")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.option("--run", "run_id", metavar="RUN", help="Another run of the session, by its id.")
@click.option("--actor", help="Who does this; recorded with the event.")
@click.option("--reason", help="The reason; recorded with the event.")
def stop(
    invocation: Invocation,
    session_id: str,
    run_id: str | None,
    actor: str | None,
    reason: str | None,
) -> None:
    """Cancels the run that is executed, or waits for its restart.

    Its supervisor keeps what has arrived, and ends it; messages behind it in the queue stay there.
    """
    with invocation.open(session_id) as log:
        session = log.session(session_id, follow_folder=False)
        stopped = session.stop_run(run_id, actor=actor, reason=reason)
        runs = [] if stopped is None else [run for run in log.runs(session_id) if run[0] == stopped]
    state = runs[0].state if runs else None
    document = {"session_id": session_id, "run_id": stopped, "state": state}
    said = (
        f"{session_id}: no run to stop"
        if stopped is None
        else f"{session_id}: run {stopped} is {'asked to stop' if state == 'running' else state}"
    )
    invocation.answer(document, lambda terminal: terminal.line(said))
