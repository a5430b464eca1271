"""How each record changes the state of its session: the handlers of all parts of the domain.

Each part defines one handler per type of its events, next to the events. A step that a machine does
not allow becomes a finding and changes nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import ValidationError

from eventlog.codec import decode_event
from eventlog.errors import CorruptLog, EventLogError
from eventlog.events import is_builtin_type
from eventlog.recorded import Recorded
from eventlog.records import Record
from eventlog.session import folder_folding, message_folding
from eventlog.session.appended import appended_fold_reader
from eventlog.session.events import MessageAppended
from eventlog.session.message_folding import fold_message
from eventlog.session.runs import folding as run_folding
from eventlog.session.streams import folding as stream_folding
from eventlog.session.tasks import folding as task_folding
from eventlog.session.turns import folding as turn_folding
from eventlog.session.withdrawals import folding as withdrawal_folding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventlog.session.message_data import MessageData
    from eventlog.session.state import SessionState

__all__ = ["apply", "apply_message", "apply_records", "apply_text"]

_MESSAGE: Final = MessageAppended.event_type
_MESSAGE_SCHEMA: Final = MessageAppended.event_schema

_HANDLERS: Final[dict[str, Callable[[SessionState, Any, Any], None]]] = {
    **message_folding.HANDLERS,
    **folder_folding.HANDLERS,
    **task_folding.HANDLERS,
    **run_folding.HANDLERS,
    **stream_folding.HANDLERS,
    **withdrawal_folding.HANDLERS,
    **turn_folding.HANDLERS,
}

_QUIET: Final = (
    folder_folding.QUIET
    | task_folding.QUIET
    | stream_folding.QUIET
    | turn_folding.QUIET
    | frozenset({"context_given", "session_forked"})
)
"""Events that leave ``updated_at`` alone (M8)."""


def apply(state: SessionState, recorded: Recorded) -> SessionState:
    """Fold one record into ``state``, in place.

    A step that a machine does not allow becomes a finding and changes nothing else. Raises
    `CorruptLog` for data that no version of the library has written, and `UnknownEventType`.
    """
    record = recorded.record
    type_ = record.type
    handler = _HANDLERS.get(type_)
    try:
        if handler is not None:
            handler(state, record, recorded.event)
        elif is_builtin_type(type_):
            decode_event(record)  # Raises the error that a newer version wrote it.
    except EventLogError:
        raise
    except Exception as error:  # data that fits the schema although the library never writes it
        raise _unfoldable(record, error) from error
    if type_ not in _QUIET:
        state.updated_at = record.time
    _advance(state, record)
    return state


def apply_message(state: SessionState, record: Record, message: MessageData, tokens: int) -> None:
    """Fold a ``message_appended`` of an open session from the fields of its event."""
    fold_message(state, record, message, tokens)
    # As `_advance` does; a call less for each of nearly all records.
    state.version = record.version
    state.hash = record.hash
    state.time = state.updated_at = record.time


def apply_text(state: SessionState, record: Record, tokens: int, is_user: bool) -> None:
    """Do what `apply_message` does with a message of one text; three calls less for nearly all."""
    state.window.append(record.version, tokens, is_user)
    state.total_message_count += 1
    if state.turn is not None:
        state.turn.note_message(record)
    state.version = record.version
    state.hash = record.hash
    state.time = state.updated_at = state.last_message_at = record.time


def apply_records(
    state: SessionState,
    records: Iterable[Record | Recorded],
    others: Callable[[Record], object] | None = None,
) -> None:
    """Fold records as `apply` does, but read the data of messages the fastest way.

    ``others`` is called with each record, once it is folded, that is not a message of one text which
    can be given back. Raises as `apply` does.
    """
    read_data = appended_fold_reader()  # All schemas so far have the same fields.
    for entry in records:
        record = entry if type(entry) is Record else cast("Recorded", entry).record
        _, _, _, _, type_, schema, _, data, _, _ = record
        if type_ != _MESSAGE or not 0 < schema <= _MESSAGE_SCHEMA or state.status != "open":
            apply(state, Recorded(record))
        else:
            try:
                tokens, is_user, message = read_data(data)
                if message is None:
                    apply_text(state, record, tokens, is_user)
                    continue
                apply_message(state, record, message, tokens)
            except ValidationError:
                # Raises the error that says what is wrong, or reads what earlier versions stored.
                apply(state, Recorded(record, decode_event(record)))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise _unfoldable(record, error) from error
        if others is not None:
            others(record)


def _unfoldable(record: Record, error: Exception) -> CorruptLog:
    return CorruptLog(
        f"session {record.stream!r}, version {record.version}: the {record.type} cannot be folded "
        f"({type(error).__name__}: {error}); run `eventlog verify`",
        stream=record.stream,
        version=record.version,
    )


def _advance(state: SessionState, record: Record) -> None:
    state.version = record.version
    state.hash = record.hash
    state.time = record.time
