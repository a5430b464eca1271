"""The address of a moment on the command line: ``SESSION@VERSION``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import click

if TYPE_CHECKING:
    from eventlog.forensics.moment import Moment
    from eventlog.session_face import Session

__all__ = ["Place", "moment_of", "place_of", "version_option"]

_PLACE: Final = re.compile(r"(?s)(.+)@([0-9]{1,18})")

version_option = click.option(
    "--version",
    "version",
    type=click.IntRange(min=0),
    metavar="N",
    help="The version, where the id of the session ends like a version itself.",
)


class Place(NamedTuple):
    """A session, and a version of it if one was named."""

    session_id: str
    version: int | None


def place_of(text: str, version: int | None = None) -> Place:
    """Read a place: what follows the last ``@`` is the version, if it is all digits.

    With ``version`` the whole text is the id of the session.
    """
    found = None if version is not None else _PLACE.fullmatch(text)
    return Place(text, version) if found is None else Place(found[1], int(found[2]))


def moment_of(
    session: Session, version: int | None, time: str | None = None, position: int | None = None
) -> Moment:
    """Return the moment that is asked for, by default the newest."""
    if version is None and time is None and position is None:
        version = session.version
    from eventlog.positions import Position

    return session.at(
        version=version, time=time, position=None if position is None else Position(position)
    )
