"""The option that says how much of a session folder is read."""

from __future__ import annotations

from typing import Final

import click

from eventlog.adoption.limits import FolderLimits

__all__ = ["limits_of", "max_bytes_option"]

max_bytes_option: Final = click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Of a folder: refuse one with more in it. [default: 256 MiB in a file, 1 GiB in all]",
)


def limits_of(max_bytes: int | None) -> FolderLimits:
    """Return the limits that a command line asks for."""
    if max_bytes is None:
        return FolderLimits()
    return FolderLimits(file_bytes=max_bytes, folder_bytes=max_bytes)
