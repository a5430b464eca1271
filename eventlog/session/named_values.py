"""Which large values a record names: a copy takes them along, and verifying looks for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.codec import decode_event, value_digests_of
from eventlog.errors import CorruptError
from eventlog.events import is_builtin_type
from eventlog.session.events import MessageAppended, ToolResultRecorded
from eventlog.session.tool_output import kept_digest, kept_output_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.records import Record

__all__ = ["named_values", "naming_values"]

_OUTPUT_REF: Final = b'"tool_output_ref"'
"""The text that the data of every event with a stored tool output has, and few others."""

_OUTPUT_TYPES: Final = frozenset({"message_appended", "tool_result_recorded", "message_enqueued"})
_NAMING_TYPES: Final = frozenset({"step_completed", "folder_adopted"})

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def naming_values(records: Iterable[Record]) -> list[Record]:
    """Return the records that may name values; most are ruled out without decoding them."""
    return [
        record
        for record in records
        if (
            _OUTPUT_REF in record.data
            if record.type in _OUTPUT_TYPES
            else record.type in _NAMING_TYPES or b'"values"' in record.metadata
        )
    ]


def named_values(record: Record) -> list[str]:
    """Return the digests of the session's values that a record names. Never raises.

    A record that cannot be decoded names none.
    """
    if not naming_values([record]):
        return []
    digests: Iterable[object]
    if is_builtin_type(record.type):
        try:
            event = decode_event(record)
        except CorruptError:
            return []
        digests = _digests(record.stream, event)
    else:
        digests = value_digests_of(record)
    return [digest for digest in digests if isinstance(digest, str) and _DIGEST.fullmatch(digest)]


def _digests(stream: str, event: Any) -> Iterator[object]:
    if isinstance(event, MessageAppended) or event.event_type == "message_enqueued":
        for part in event.message["parts"]:
            if kept_output_id(stream, part) is not None:
                yield part["tool_output_sha256"]
    elif isinstance(event, ToolResultRecorded):
        yield kept_digest(stream, event.large or {}, event.tool_id)
    elif event.event_type == "step_completed":
        yield event.blob
    else:
        for kept in cast("list[dict[str, Any]]", event.files):
            yield kept["sha256"]
