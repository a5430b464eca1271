"""``eventlog policy``: change what commits do about archives that failed for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids

if TYPE_CHECKING:
    from eventlog.session.events import FailedArchives

__all__ = ["policy"]


@command("policy")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.option(
    "--failed-archives",
    type=click.Choice(["block", "skip"]),
    required=True,
    help="Whether commits wait for an archive that failed for good, or go on.",
)
@click.option("--actor", help="Who does this; recorded with the event.")
def policy(
    invocation: Invocation, session_id: str, failed_archives: str, actor: str | None
) -> None:
    """With skip, the messages of a failed archive stay in contexts until a later summary covers them."""
    with invocation.open(session_id) as log:
        session = log.session(session_id)
        changed = session.set_failed_archives(cast("FailedArchives", failed_archives), actor=actor)
    document = {"session_id": session_id, "failed_archives": failed_archives, "changed": changed}
    invocation.answer(
        document,
        lambda terminal: terminal.line(
            f"commits of {session_id} {'wait for' if failed_archives == 'block' else 'go on without'} "
            f"archives that failed for good{'' if changed else '; so they did before'}"
        ),
    )
