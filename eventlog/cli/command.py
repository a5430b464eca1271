"""Shared by all commands: one-line summaries, ``--json`` and ``--store``, opening the log."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import click

if TYPE_CHECKING:
    from eventlog.cli.exits import ExitCode
    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log

__all__ = ["SUMMARIES", "Invocation", "command", "filter_options", "full_option"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

Implementation: TypeAlias = "Callable[..., ExitCode | None]"

SUMMARIES: Final = {
    "demo": "Watch a session survive a kill -9, in seconds.",
    "import": "Import conversations in any known format, or a session folder.",
    "export": "Write a session as a provider's chat messages or as JSON Lines.",
    "append": "Append one message to a session.",
    "commit": "Move a session's live messages into a new archive.",
    "work": "Run a worker that finalises archives: once, or until stopped.",
    "tasks": "List tasks and their states.",
    "turns": "List the turns of agents and their states.",
    "enqueue": "Queue a message for a run of an agent.",
    "runs": "List the runs of agents and their states.",
    "stop": "Cancel a session's run.",
    "retry": "Give a failed archive new attempts.",
    "abandon": "Give up an unfinished archive.",
    "policy": "Let commits wait for failed archives, or go on.",
    "ls": "List sessions.",
    "show": "Show a session: its messages, archives, events or context.",
    "events": "List the events of all sessions or one, filtered, or follow them.",
    "timeline": "List a session's events, filtered.",
    "find": "Find events by an index key, in all sessions or one.",
    "at": "Show a session as it was.",
    "diff": "Show what changed between two versions, and by which event.",
    "blame": "Find the last event that changed a value.",
    "bisect": "Find the first event after which something holds.",
    "why": "Show what led to an event, or what it led to.",
    "fork": "Make another session of what would have been.",
    "refold": "Fold a session again and compare.",
    "bundle": "Write sessions into one file that reads without the log.",
    "report": "Write sessions into one page that shows every version.",
    "materialize": "Write a session to a folder.",
    "heal": "Repair a session's folder from the log, or check it.",
    "verify": "Verify hash chains, state machines and what is derived.",
    "serve": "Serve the log over HTTP, until stopped.",
    "copy": "Copy a log into another store.",
    "backup": "Write the whole log into one file, while it is in use.",
    "health": "Show what waits and what is stuck, quickly.",
    "doctor": "Check a store, a session folder or a conversation file.",
    "docs": "Show the documentation.",
}
"""Every command in the order of ``eventlog --help``, which therefore imports no command."""


OF_THE_WHOLE_LOG: Final = frozenset(
    {"demo", "work", "serve", "copy", "backup", "health", "doctor", "docs"}
)
"""The commands that name no session, and so have no ``--owner``."""


@dataclass(slots=True)
class Invocation:
    """The options that every command has, and how it opens the log and prints its answer."""

    store: str | None = field(default=None, repr=False)  # It may have a password.
    json: bool = False
    owner: str | None = None

    def open(self, *sessions: str | None, create: bool = False) -> Log:
        """Open the log; a new one is created only with ``create``.

        With ``--owner``, the sessions that the command names must be that owner's, if they exist.
        """
        from eventlog.cli.opening import open_log

        if not self.store:
            raise click.UsageError(
                "no log is named; write `eventlog --store sqlite:///agent.db …` or set "
                "EVENTLOG_STORE"
            )
        log = open_log(self.store, create=create)
        if self.owner is not None:
            self._check_owner(log, sessions)
        return log

    def _check_owner(self, log: Log, sessions: Iterable[str | None]) -> None:
        try:
            for session in sessions:
                if session is not None and log.exists(session):
                    log.session(session, owner=self.owner, follow_folder=False)
        except BaseException:
            log.close()
            raise

    def answer(self, document: Any, human: Callable[[Terminal], object]) -> None:
        """Print a command's answer: the document with ``--json``, else what ``human`` prints."""
        if self.json:
            from eventlog.cli.output import print_document

            print_document(document)
        else:
            from eventlog.cli.terminal import Terminal

            human(Terminal())


def command(name: str) -> Callable[[Implementation], click.Command]:
    """Turn a function into the command ``name``; its first argument is the `Invocation`.

    Its docstring becomes the help text below the summary, and its result the exit code.
    """

    def decorate(implementation: Implementation) -> click.Command:
        details = inspect.getdoc(implementation) or ""
        function: Callable[..., Any] = click.pass_obj(implementation)
        for option in (_json_option, _store_option):
            function = option(function)
        if name not in OF_THE_WHOLE_LOG:
            function = _owner_option(function)
        return click.command(name, help=f"{SUMMARIES[name]}\n\n{details}")(function)

    return decorate


def filter_options(function: _Function) -> _Function:
    """Add the options that choose events: ``types``, ``actor``, ``since``, ``until`` and ``text``."""
    for option in reversed(_FILTERS):
        function = option(function)
    return function


_FILTERS: Final = (
    click.option(
        "--type", "types", multiple=True, metavar="TYPE", help="Only events of this type."
    ),
    click.option("--actor", metavar="NAME", help="Only events that this actor caused."),
    click.option("--since", metavar="TIME", help="Only events at or after a time (ISO 8601)."),
    click.option("--until", metavar="TIME", help="Only events at or before a time."),
    click.option("--grep", "text", metavar="TEXT", help="Only events that say this, in any case."),
)


full_option = click.option("--full", is_flag=True, help="Show long texts in full.")


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep an option for the `Invocation`, or, while a shell completes a word, for that."""
    if value and context.obj is not None:
        setattr(context.obj, str(parameter.name), value)
    elif value:
        context.meta[f"eventlog.{parameter.name}"] = value


_json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Print one JSON document.",
)
_owner_option = click.option(
    "--owner",
    expose_value=False,
    callback=_remember,
    metavar="OWNER",
    help="Only sessions of this owner: any other is refused.",
)
_store_option = click.option(
    # Also accepted after the command's name, where many write it.
    "--store",
    hidden=True,
    expose_value=False,
    callback=_remember,
)
