"""The first event after which something holds: by one fold over the session, so it is exact.

It need not go on holding afterwards: every event is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.forensics.expression import compile_expression
from eventlog.forensics.moment import Moment
from eventlog.forensics.predicates import PREDICATES
from eventlog.forensics.running import each_picture, look_at_each
from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.forensics.past import Past
    from eventlog.records import Record

__all__ = ["Found", "bisect"]


class Found(NamedTuple):
    """The first event after which a predicate holds, and the moments on both sides of it."""

    version: int
    event: Recorded
    before: Moment
    after: Moment
    reason: str = ""
    """What a predicate of the library has to say about it."""


def bisect(
    past: Past, predicate: str | Callable[[Moment], object], until: int | None = None
) -> Found | None:
    """Return the first event after which a predicate holds; None if it never does.

    The predicate is a callable of a `Moment`, an expression, or the name of one of `PREDICATES`.
    """
    until = past.head if until is None else until
    found: tuple[Record, str] | None
    if not isinstance(predicate, str):
        if not callable(predicate):
            raise InvalidArgument(
                f"{shown(predicate)} is not a predicate; give an expression or a callable of a moment"
            )
        found = _by_callable(past, predicate, until)
    elif predicate.strip() in PREDICATES:
        found = _by_name(past, predicate.strip(), until)
    else:
        found = _by_expression(past, predicate, until)
    if found is None:
        return None
    record, reason = found
    version = record.version
    return Found(
        version,
        Recorded(record),
        Moment(past, version - 1),
        Moment(past, version, record=record),
        reason,
    )


def _by_expression(past: Past, text: str, until: int) -> tuple[Record, str] | None:
    expression = compile_expression(text)
    found = look_at_each(past, until, expression.roots, expression.watch())
    return None if found is None else (found, "")


def _by_name(past: Past, name: str, until: int) -> tuple[Record, str] | None:
    watch = PREDICATES[name]()
    for record, picture in each_picture(past, until):
        reason = watch(Recorded(record), picture)
        if reason:
            return record, reason
    return None


def _by_callable(
    past: Past, predicate: Callable[[Moment], object], until: int
) -> tuple[Record, str] | None:
    """Look at moments whose values are at hand; what else is asked of them is read."""
    for record, picture in each_picture(past, until):
        with Moment(past, record.version, record=record).seen_as(picture) as moment:
            if predicate(moment):
                return record, ""
    return None
