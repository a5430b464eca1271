"""How a command ends: the exit code that scripts test, and one line for people."""

from __future__ import annotations

import errno
from enum import IntEnum

import click

from eventlog.cli.output import printable
from eventlog.errors import (
    ConflictError,
    CorruptError,
    InvalidError,
    SessionNotFound,
    UnavailableError,
)
from eventlog.redaction import redact

__all__ = ["ExitCode", "error_line", "exit_code"]


class ExitCode(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    CORRUPT = 5
    UNAVAILABLE = 6
    INTERRUPTED = 130
    """128 and the number of SIGINT, as shells report it."""
    BROKEN_PIPE = 141
    """128 and the number of SIGPIPE."""


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of an error that is printed as one line."""
    match error:
        case FileNotFoundError() | LookupError():
            return ExitCode.NOT_FOUND
        case InvalidError() | click.ClickException():
            return ExitCode.USAGE
        case ConflictError():
            return ExitCode.CONFLICT
        case CorruptError():
            return ExitCode.CORRUPT
        case UnavailableError() | OSError():
            return ExitCode.UNAVAILABLE
        case KeyboardInterrupt() | click.Abort():
            return ExitCode.INTERRUPTED
        case _:
            raise error


def error_line(error: BaseException) -> str:
    """Return one line that says what happened and what to do."""
    match error:
        case SessionNotFound(session_id=session):
            text = (
                f"no session {session!r}; `eventlog ls` lists the sessions, "
                "`eventlog append --create` begins one"
            )
        case click.UsageError(ctx=context) if context is not None:
            # Click's messages end with a full stop; here a hint follows on the same line.
            said = error.format_message().removesuffix(".")
            text = f"{said}{'' if said.endswith('?') else ';'} see `{context.command_path} --help`"
        case click.ClickException():
            text = error.format_message()
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            text = f"{error}; close other programs, or raise `ulimit -n`"
        case OSError(errno=errno.EROFS):
            text = f"{error}; the file system is read-only: copy the log, or mount it for writing"
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            text = f"{error}; free some room and try again"
        case OSError(strerror=str(reason), filename=filename) if filename is not None:
            text = f"{filename}: {reason}; check the path and its permissions"
        case _:
            text = str(error)
    return printable(redact(f"eventlog: {' '.join(text.split())}"))
