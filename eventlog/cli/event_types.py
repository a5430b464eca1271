"""The types of events that a command is given: one that no event can have is refused."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from eventlog.errors import InvalidArgument
from eventlog.events import is_builtin_type, library_types

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.log import Log

__all__ = ["check_event_types"]

_OFFERED: Final = 3
"""Similar names that are offered at most."""


def check_event_types(log: Log, types: Iterable[str], *, of_the_future: bool = False) -> None:
    """Raise `InvalidArgument` for a type that neither the library nor an event of the log has.

    An application's types are not known here, so the log is asked for an event of each. With
    ``of_the_future``, events of such a type may still come: it is accepted.
    """
    known = library_types()
    for type_ in dict.fromkeys(types):
        may_come = of_the_future and not is_builtin_type(type_)
        if type_ in known or may_come:
            continue
        if next(iter(log.read_all(types=[type_])), None) is None:
            raise InvalidArgument(_refusal(type_, known))


def _refusal(type_: str, known: list[str]) -> str:
    near = get_close_matches(type_.casefold(), known, _OFFERED)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    return (
        f"no event of this log has the type {type_!r:.100}, and the library has no such type; "
        f"{guess}Its types are {', '.join(known)}"
    )
