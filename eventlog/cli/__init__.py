"""The command line: ``eventlog``, or ``python -m eventlog``.

Each command has a module, which is imported when the command is called: ``eventlog --help`` starts
at once. Data goes to stdout; messages and progress go to stderr.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper

__all__ = ["main"]


def main() -> None:
    """Run the command that the process's arguments name, and exit with its code."""
    try:
        from eventlog.cli.application import application
    except ImportError:
        _say_if_overwritten()
        raise

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # On a terminal that cannot show a character, print its escape and no traceback.
            stream.reconfigure(errors="backslashreplace")
    application.main(prog_name="eventlog")


def _say_if_overwritten() -> None:
    """Exit with a line that says so if files of this package are not those that were installed."""
    from eventlog.cli.installed import examine_installation

    if found := examine_installation().sentence():
        sys.exit(f"eventlog: {found}")
