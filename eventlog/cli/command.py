"""What all commands share: their summaries, ``--json``, and how they open the log and answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

if TYPE_CHECKING:
    from eventlog.cli.exits import ExitCode
    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log

__all__ = ["SUMMARIES", "Invocation", "command"]

Implementation: TypeAlias = "Callable[..., ExitCode | None]"

SUMMARIES: Final = {
    "demo": "Watch a session survive a kill -9, in seconds.",
    "import": "Import conversations of any known format, or a session folder.",
    "export": "Write a session as chat messages of a provider, or as lines.",
    "append": "Append one message to a session.",
    "commit": "Move a session's live messages into a new archive.",
    "work": "Finalise archives: once, or until stopped.",
    "tasks": "List tasks with their states.",
    "retry": "Give a failed archive new attempts.",
    "abandon": "Give an unfinished archive up.",
    "ls": "List sessions.",
    "show": "Show a session: its messages, archives or events.",
    "timeline": "List a session's events, filtered.",
    "at": "Show a session as it was.",
    "diff": "Show what changed between two versions, and by which event.",
    "blame": "Find the last event that changed a value.",
    "bisect": "Find the first event after which something holds.",
    "why": "Show what led to an event, or what it led to.",
    "fork": "Make another session of what would have been.",
    "refold": "Fold a session again and compare.",
    "bundle": "Write sessions into one file that reads without the log.",
    "materialize": "Write a session's folder.",
    "heal": "Make a session's folder what the log says, or check it.",
    "verify": "Check hash chains and state machines.",
    "copy": "Copy a log into another store.",
    "doctor": "Look a store, a session folder or a file of conversations over.",
    "docs": "Show the documentation, page by page.",
}
"""Every command in the order of ``eventlog --help``, which reads it here and imports none."""


@dataclass(slots=True)
class Invocation:
    """What the command line asks for, whatever the command."""

    store: str | None = None
    json: bool = False

    def open(self, *, create: bool = False) -> Log:
        """Open the log; only with ``create`` may that bring a new one into being."""
        from eventlog.cli.opening import open_log

        if not self.store:
            raise click.UsageError(
                "no log was named; write `eventlog --store sqlite:///agent.db …` or set "
                "EVENTLOG_STORE"
            )
        return open_log(self.store, create=create)

    def answer(self, document: Any, human: Callable[[Terminal], object]) -> None:
        """Print the answer of a command: the document as JSON, or what ``human`` makes of it."""
        if self.json:
            from eventlog.cli.output import print_document

            print_document(document)
        else:
            from eventlog.cli.terminal import Terminal

            human(Terminal())


def command(name: str) -> Callable[[Implementation], click.Command]:
    """Make a function the command ``name``; it is called with an `Invocation` first.

    Its docstring becomes the help below the summary; what it returns is the exit code.
    """

    def decorate(implementation: Implementation) -> click.Command:
        details = inspect.getdoc(implementation) or ""
        function: Callable[..., Any] = click.pass_obj(implementation)
        for option in (_json_option, _store_option):
            function = option(function)
        return click.command(name, help=f"{SUMMARIES[name]}\n\n{details}")(function)

    return decorate


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value:
        setattr(context.obj, str(parameter.name), value)


_json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Print one JSON document.",
)
_store_option = click.option(
    # Also behind the command's name, where many look for it first.
    "--store",
    hidden=True,
    expose_value=False,
    callback=_remember,
)
