"""``eventlog events``: the events of all sessions, or of one, filtered; and new ones as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from eventlog.cli.command import Invocation, command, filter_options, full_option
from eventlog.cli.completion import session_ids
from eventlog.cli.documents import event_document
from eventlog.cli.event_types import check_event_types
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import counted, print_documents, print_line_of_json, say
from eventlog.errors import SessionNotFound
from eventlog.forensics.event_lines import EVENT_COLUMNS, event_cells
from eventlog.forensics.timeline import Filters, filters

if TYPE_CHECKING:
    from eventlog.log import Log
    from eventlog.recorded import Recorded

__all__ = ["events"]

SECTION: Final = 1_000
"""Events whose columns are as wide as each other: so many are in memory at once."""

_COLUMNS: Final = ("session", *EVENT_COLUMNS)

_T = TypeVar("_T")


class _Wanted(NamedTuple):
    """Which events are listed."""

    session_id: str | None
    filters: Filters
    belongs: Callable[[str], bool]
    """Returns whether a session is the owner's."""

    def admit(self, recorded: Recorded) -> bool:
        """Return whether an event is listed."""
        return (
            self.session_id in (None, recorded.stream)
            and self.filters.admit(recorded.record)
            and self.belongs(recorded.stream)
        )


@command("events")
@click.argument("session_id", metavar="[SESSION]", required=False, shell_complete=session_ids)
@filter_options
@full_option
@click.option(
    "--follow",
    is_flag=True,
    help="Show new events as they come, until Ctrl-C; with --since, first those since then.",
)
def events(
    invocation: Invocation,
    session_id: str | None,
    full: bool,
    follow: bool,
    **given: Any,
) -> ExitCode:
    """Lists the events of all sessions in the order of the log, or those of SESSION.

    With --follow, --json prints a document on each line. Exits with 3 where nothing is left.
    """
    types = given.pop("types") or None
    with invocation.open(session_id) as log:
        if session_id is not None and not log.exists(session_id):
            raise SessionNotFound(session_id)
        check_event_types(log, types or (), of_the_future=follow)
        wanted = _Wanted(session_id, filters(types, **given), _belonging(log, invocation.owner))
        if follow:
            _follow(invocation, log, wanted, full=full)
            return ExitCode.OK
        count = _list(invocation, filter(wanted.admit, _known(log, wanted)), full=full)
    if not invocation.json:
        say(counted(count, "event"))
    return ExitCode.OK if count else ExitCode.NOT_FOUND


def _follow(invocation: Invocation, log: Log, wanted: _Wanted, *, full: bool) -> None:
    """Print events as they come until interrupted, and those since a time if one is given."""
    start = log.position() if wanted.filters.since is None else None
    with suppress(KeyboardInterrupt):
        for recorded in log.follow(start, sorted(wanted.filters.types or ())):
            if wanted.admit(recorded):
                _tell(invocation, recorded, full=full)


def _known(log: Log, wanted: _Wanted) -> Iterator[Recorded]:
    """Yield the events up to now: of one session by its versions, of all in the order of the log."""
    types = sorted(wanted.filters.types or ())
    if wanted.session_id is None:
        return log.read_all(types=types)
    return log.read(wanted.session_id, types=types)


def _belonging(log: Log, owner: str | None) -> Callable[[str], bool]:
    """Return whether a session is the owner's; without an owner, all are."""
    if owner is None:
        return lambda _: True

    @cache
    def belongs(session: str) -> bool:
        return log.session(session, follow_folder=False).meta.owner == owner

    return belongs


def _list(invocation: Invocation, found: Iterator[Recorded], *, full: bool) -> int:
    """Print events; return how many there were."""
    count = 0

    def counting() -> Iterator[Recorded]:
        nonlocal count
        for recorded in found:
            count += 1
            yield recorded

    if invocation.json:
        print_documents(map(_document, counting()))
    else:
        from eventlog.cli.terminal import Terminal

        terminal = Terminal()
        for number, section in enumerate(_sections(counting())):
            rows = (_cells(recorded, full=full) for recorded in section)
            terminal.table(_COLUMNS, rows, ["what"], heading=not number)
    return count


def _tell(invocation: Invocation, recorded: Recorded, *, full: bool) -> None:
    """Print one event as it comes."""
    if invocation.json:
        print_line_of_json(_document(recorded))
        return
    from eventlog.cli.terminal import Terminal

    Terminal().row(_COLUMNS, _cells(recorded, full=full), ["what"])


def _sections(found: Iterator[_T]) -> Iterator[Iterable[_T]]:
    for first in found:
        yield chain([first], islice(found, SECTION - 1))


def _cells(recorded: Recorded, *, full: bool) -> tuple[object, ...]:
    return recorded.stream, *event_cells(recorded, full=full)


def _document(recorded: Recorded) -> dict[str, Any]:
    return {"session_id": recorded.stream, **event_document(recorded)}
