"""The option ``--max-bytes``: how much of a session folder is read at most."""

from __future__ import annotations

from typing import Final

import click

from eventlog.adoption.limits import FolderLimits

__all__ = ["limits_of", "max_bytes_option"]

max_bytes_option: Final = click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help=(
        "Refuse a session folder that holds more, and a file with more in one line or JSON document. "
        "[default: 256 MiB per file, 1 GiB in all]"
    ),
)


def limits_of(max_bytes: int | None) -> FolderLimits:
    """Return the limits for the value of ``--max-bytes``."""
    if max_bytes is None:
        return FolderLimits()
    return FolderLimits(file_bytes=max_bytes, folder_bytes=max_bytes)
