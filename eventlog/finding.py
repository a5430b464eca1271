"""Findings: what is wrong in a log or in a session's folder."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Finding"]


class Finding(NamedTuple):
    """Something that is wrong: where it is, of what kind, and a description.

    In a log, ``stream`` and ``version`` say where; in a session's folder, ``path`` and ``line`` do.
    A field that does not apply, or is unknown, is None or empty.
    """

    stream: str | None
    """The session."""
    version: int | None
    """The version of the first record concerned."""
    kind: str
    """The kind as a word that programs can test for, such as ``removed`` or ``lost_clear``."""
    detail: str
    path: str = ""
    """The file, relative to the folder; empty for a finding in a log."""
    line: int | None = None
    """The first line concerned, from 1."""
    action: str = ""
    """What adopting the folder does about it."""
    message_ids: tuple[str, ...] = ()
    """The ids of the messages concerned, at most the first hundred."""
    dropped: int = 0
    """How many lines healing drops; for a file that is not made of lines, how many contents."""
    found: str | None = None
    """The SHA-256 in hex of the file as it was found."""
    expected: str | None = None
    """The SHA-256 in hex of the file as the records have it."""
    quarantine: str | None = None
    """The file that keeps what was dropped, relative to the folder."""
