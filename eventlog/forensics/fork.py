"""What if: a new session from another one's events up to a version, changed on the way.

The original stays as it is. The fork's events keep their times and bytes but for what names the
session, its tasks and its versions; a last event says where it came from. Made again, it is the same
one: all its ids follow from the names of the two sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from eventlog.engine.blobs import get_value, put_value
from eventlog.engine.records_request import RecordsRequest
from eventlog.error_text import shown
from eventlog.errors import HistoryConflict, InvalidArgument
from eventlog.events import Event
from eventlog.forensics.as_of import checked_version
from eventlog.forensics.rewriting import Piece, Rewriting
from eventlog.identifiers import check_session_id
from eventlog.recorded import Recorded
from eventlog.session.events import MessageAppended
from eventlog.session.forensic_events import SessionForked
from eventlog.session.messages import Message, message_data
from eventlog.session.named_values import named_values
from eventlog.session.parts import weigh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.event_values import Value
    from eventlog.forensics.past import Past
    from eventlog.records import Metadata, Record
    from eventlog.session.tokens import TokenEstimator

__all__ = ["Edit", "Replacement", "fork"]

PAGE: Final = 500
"""Records of a fork per append: fewer than any store takes at once."""

NOT_TAKEN: Final = frozenset({"folder_attached", "folder_detached", "folder_healed"})
"""Events that stay with the original: a folder follows one session only."""

Replacement: TypeAlias = Event | Message | Recorded | None
"""What stands in a fork where an event was: another one, a message, the event itself, or nothing."""

Edit: TypeAlias = (
    Callable[[Recorded], Replacement | Sequence[Replacement]]
    | Mapping[int, Replacement | Sequence[Replacement]]
)
"""What becomes of events: a callable, or what stands in the place of those at some versions."""


def fork(
    engine: Engine,
    past: Past,
    into: str,
    version: int | None = None,
    edit: Edit | None = None,
    by: Metadata | None = None,
) -> Core:
    """Make a fork and return its core; see `Session.fork`."""
    into = check_session_id(into)
    if into == past.session:
        raise InvalidArgument(f"the fork of {into!r} needs another id than the session itself")
    until = past.head if version is None else checked_version(past, version)
    if not until:
        raise InvalidArgument("version 0 has no event, so there is nothing to fork")
    rewriting = Rewriting(past.session, into)
    for record in past.records(0, until):
        pieces = _pieces(Recorded(record), edit, past.estimate)
        rewriting.take(record, pieces)
    records = rewriting.finish(
        SessionForked(
            origin=past.session,
            origin_version=until,
            origin_hash=past.record(until).hash.hex(),
            edited=rewriting.edited,
            dropped=rewriting.dropped,
            inserted=rewriting.inserted,
        ),
        by,
    )
    core = engine.creating_core(into)
    _store(engine, past, core, records, rewriting.values)
    return core


def _pieces(recorded: Recorded, edit: Edit | None, estimate: TokenEstimator) -> list[Piece]:
    """Return what stands in the fork where an event was."""
    if recorded.type in NOT_TAKEN:
        return []
    if edit is None:
        return [recorded.record]
    if not isinstance(edit, Mapping) and not callable(edit):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(
            f"edit is {shown(edit)}; it must be a callable of an event, or a mapping from versions"
        )
    if isinstance(edit, Mapping):
        by_version = cast("Mapping[int, Any]", edit)
        chosen = by_version.get(recorded.version, recorded)
    else:
        chosen = edit(recorded)
    several: Sequence[Any] = cast("Any", chosen) if isinstance(chosen, Sequence) else [chosen]
    return [_piece(each, recorded, estimate) for each in several if each is not None]


def _piece(value: Any, recorded: Recorded, estimate: TokenEstimator) -> Piece:
    if isinstance(value, Recorded):
        if value.record != recorded.record:
            raise InvalidArgument(
                f"in the place of version {recorded.version} is the record of another version; "
                "give its event"
            )
        return recorded.record
    if isinstance(value, Message):
        data = message_data(value)
        return MessageAppended(message=data, tokens=weigh(estimate, data))
    if isinstance(value, Event):
        return recorded.record if value == _event_of(recorded) else value
    raise InvalidArgument(
        f"in the place of version {recorded.version} is {value!r:.80}; give an event, a message, "
        "the event as it was, or None"
    )


def _event_of(recorded: Recorded) -> Event | None:
    try:
        return recorded.event
    except Exception:  # noqa: BLE001 - of a class that is not here: nothing is equal to it
        return None


def _store(
    engine: Engine,
    past: Past,
    core: Core,
    records: Sequence[Record],
    given: Mapping[str, Value],
) -> None:
    """Add the records that are not there yet, the values that they name before them."""
    there = past.store.head(core.session)
    if there.version > len(records) or (
        there.version and records[there.version - 1].hash != there.hash
    ):
        raise HistoryConflict(
            core.session, 1, "another session of this id is there; fork into another id"
        )
    previous = there.hash
    for page in _pages(records[there.version :]):
        for record in page:
            for digest in named_values(record):
                data = given[digest].data if digest in given else None
                if data is None:
                    data = get_value(past.store, past.session, digest)
                put_value(past.store, core.session, data)
        engine.answer(RecordsRequest(core, page, previous))
        previous = page[-1].hash
    core.refresh()


def _pages(records: Sequence[Record]) -> Iterator[list[Record]]:
    left = iter(records)
    while page := list(islice(left, PAGE)):
        yield page
