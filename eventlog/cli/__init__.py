"""The command line: ``eventlog``, or ``python -m eventlog``.

One module per command; each is imported when it is called, so that ``eventlog --help`` starts at
once. Stdout carries data, stderr carries talk.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper

__all__ = ["main"]


def main() -> None:
    """Run the command that the process's arguments name, and exit with its code."""
    from eventlog.cli.application import application

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that cannot write a character shows its number rather than a traceback.
            stream.reconfigure(errors="backslashreplace")
    application.main(prog_name="eventlog")
