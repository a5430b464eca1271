"""The click group: finds a command by its name, runs it and exits with its code."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import click

from eventlog import __version__
from eventlog.cli.command import SUMMARIES, Invocation
from eventlog.cli.exits import ExitCode, error_line, exit_code
from eventlog.errors import EventLogError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["application"]


class Application(click.Group):
    """A click group that imports a command's module only when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUMMARIES:
            return None
        module = "import_" if cmd_name == "import" else cmd_name
        name = "export_" if cmd_name == "export" else module
        return cast("click.Command", getattr(import_module(f"eventlog.cli.{module}"), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _discard_output()
            return ExitCode.BROKEN_PIPE
        return result

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT002 - the signature is click's
        windows_expand_args: bool = True,  # noqa: FBT002 - as above
        **extra: Any,
    ) -> Any:
        """Run a command and exit; expected errors are printed as one line on stderr."""
        try:
            code = super().main(
                args,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            code = ExitCode.USAGE
        except (click.ClickException, click.Abort, EventLogError, OSError) as error:
            code = exit_code(error)
            if code is not ExitCode.INTERRUPTED:
                click.echo(error_line(error), err=True)
        sys.exit(code or 0)


def _discard_output() -> None:
    """Discard buffered output after the reader (such as ``head``) has closed the pipe."""
    # Where stdout is no file, nothing is flushed at exit either.
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=Application)
@click.option(
    "--store",
    metavar="URL",
    envvar="EVENTLOG_STORE",
    show_envvar=True,
    help="The log to use, such as sqlite:///agent.db.",
)
@click.version_option(__version__, prog_name="eventlog")
@click.pass_context
def application(context: click.Context, store: str | None) -> None:
    """An event-sourced log of AI agent sessions.

    Try `eventlog demo` first. Exit codes: 0 ok, 1 findings, 2 usage, 3 not found, 4 conflict, 5
    corrupt, 6 unavailable.
    """
    context.obj = Invocation(store)
