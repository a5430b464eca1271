"""``eventlog stop``: cancel the run of a session."""

from __future__ import annotations

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.exits import ExitCode
from eventlog.identifiers import format_id, parse_id

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
) -> ExitCode:
    """Cancels the run that is executed, or waits for its restart.

    Its supervisor keeps what has arrived, and ends it; messages behind it in the queue stay there. A
    run that is over is left as it is; one that the session does not have is exit code 3.
    """
    with invocation.open(session_id) as log:
        session = log.session(session_id, follow_folder=False)
        stopped = session.stop_run(run_id, actor=actor, reason=reason)
        meant = None if run_id is None else format_id(parse_id(run_id))
        found = [run for run in log.runs(session_id) if run.run_id in (stopped, meant)]
    state = found[0].state if found else None
    document = {"session_id": session_id, "run_id": stopped, "state": state}
    if found:
        said = f"run {found[0].run_id} is {'asked to stop' if state == 'running' else state}"
    elif meant is None:
        said = "no run to stop"
    else:
        said = f"no run {meant}; `eventlog runs --session` lists those of a session"
    invocation.answer(document, lambda terminal: terminal.line(f"{session_id}: {said}"))
    return ExitCode.OK if found or meant is None else ExitCode.NOT_FOUND
