"""The data of ``message_appended`` records, read in the shortest way: nearly all records are these.

Whatever is not as expected is read as any other event is, so that errors are the same.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Final, cast

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic cannot read typing's before 3.12

from eventlog.codec import decode_event
from eventlog.session.appended_json import (
    ReadForFold,
    quicker_fold_reader,
    quicker_reader,
    quicker_writer,
)
from eventlog.session.events import MessageAppended
from eventlog.session.message_data import MessageData
from eventlog.session.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Record

__all__ = [
    "APPENDED",
    "AppendedData",
    "appended_fold_reader",
    "appended_reader",
    "appended_writer",
    "read_appended",
    "read_message",
]

APPENDED: Final = MessageAppended.event_type
_SCHEMA: Final = MessageAppended.event_schema
"""All schemas up to this one have the same fields."""


class AppendedData(TypedDict):
    """The fields of `MessageAppended`: reading them takes two thirds of reading the model."""

    message: MessageData
    tokens: int


class _AppendedMessage(TypedDict):
    """The same with the message built at once, which takes two thirds of doing both in turn."""

    message: Message
    tokens: int


@cache
def appended_reader() -> Callable[[bytes], AppendedData]:
    """Return what reads data of the current schema; it raises `ValidationError`."""
    return quicker_reader(_plain_reader())


@cache
def appended_fold_reader() -> Callable[[bytes], ReadForFold]:
    """Return what reads as `appended_reader` does for folds, which see no more than the role of a
    message of one text."""
    return quicker_fold_reader(_plain_reader())


def _plain_reader() -> Callable[[bytes], AppendedData]:
    return TypeAdapter(AppendedData).validator.validate_json


@cache
def appended_writer() -> Callable[[MessageData, int], bytes]:
    """Return what writes data of the current schema; it raises as `pydantic_core.to_json` does."""
    return quicker_writer()


@cache
def _message_reader() -> Callable[[bytes], _AppendedMessage]:
    return TypeAdapter(_AppendedMessage).validator.validate_json


def read_appended(record: Record) -> AppendedData:
    """Return the data of a ``message_appended`` of any schema.

    Raises as `decode_event` does.
    """
    if 0 < record.schema <= _SCHEMA:
        with suppress(ValidationError):
            return appended_reader()(record.data)
    # It says what is wrong with the data, or reads what earlier versions stored.
    event = cast("MessageAppended", decode_event(record))
    return {"message": event.message, "tokens": event.tokens}


def read_message(record: Record) -> Message | None:
    """Return the message of a ``message_appended`` if no later record can have changed it.

    None where one can have, or where the data is damaged.
    """
    if not 0 < record.schema <= _SCHEMA:
        return None
    try:
        message = _message_reader()(record.data)["message"]
    except ValidationError:
        return None
    return message if message.is_finished else None
