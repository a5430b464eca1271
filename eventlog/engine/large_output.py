"""Reading back the tool outputs that are too large for their message (M6)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from eventlog.errors import CorruptLog, ToolOutputNotFound
from eventlog.session.parts import calls_with_id, output_of, with_original
from eventlog.session.tool_output import (
    OutputMatch,
    ToolOutput,
    is_digest,
    kept_output_id,
    search,
    without_large_output,
)
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.engine.reader import Reader
    from eventlog.session.message_data import MessageData
    from eventlog.session.reading import StoredMessage

__all__ = [
    "CallName",
    "find_in_output",
    "hydrated",
    "read_output",
]


def hydrated(
    reader: Reader, messages: Iterable[StoredMessage], *, previews_will_do: bool = False
) -> list[StoredMessage]:
    """Return copies of messages with their stored outputs in them, as they were appended (F6).

    Raises `CorruptLog` for an output that is missing or damaged; with ``previews_will_do`` that is
    logged instead, and the preview stays.
    """
    known: dict[str, str] = {}
    return [
        entry._replace(data=_hydrated(reader, entry.data, known, previews_will_do))
        for entry in messages
    ]


def _hydrated(
    reader: Reader, data: MessageData, known: dict[str, str], previews_will_do: bool
) -> MessageData:
    parts = list(data["parts"])
    for number, part in enumerate(parts):
        digest = _digest_of(reader, part)
        if digest is None:
            continue
        try:
            if digest not in known:
                known[digest] = reader.value(digest).decode()
        except CorruptLog as error:
            if not previews_will_do:
                raise
            log_fact(logging.WARNING, "tool_output_unreadable", error=str(error))
        else:
            parts[number] = without_large_output(with_original(part, known[digest]))
    return cast("MessageData", {**data, "parts": parts})


def _digest_of(reader: Reader, part: dict[str, Any]) -> str | None:
    """Return the digest of a part's output, if the session has stored it.

    An output that another program stored in a file is among them if its folder was adopted.
    """
    if kept_output_id(reader.stream, part) is not None:
        return str(part["tool_output_sha256"])
    if not part.get("tool_output_truncated"):
        return None
    adopted = part.get("tool_output_sha256")
    return adopted if is_digest(adopted) and reader.has_value(adopted) else None


class CallName(NamedTuple):
    """A call of a message; ``occurrence`` counts the calls with the same id, from 0."""

    message_id: str
    tool_id: str
    occurrence: int = 0


def read_output(reader: Reader, call: CallName, offset: int, limit: int | None) -> ToolOutput:
    """Return a piece of a tool's output, wherever it is stored."""
    output = _whole_output(reader, call)
    end = None if limit is None else offset + limit
    return ToolOutput(output[offset:end], min(offset, len(output)), len(output))


def find_in_output(
    reader: Reader, call: CallName, text: str, *, limit: int, context: int
) -> tuple[OutputMatch, ...]:
    """Return the places where a text occurs in a tool's output, literally."""
    output = _whole_output(reader, call)
    return tuple(search(output, text, limit=limit, context=context))


def _whole_output(reader: Reader, call: CallName) -> str:
    part = _part_with_output(reader, call)
    digest = _digest_of(reader, part)
    if digest is not None:
        part = without_large_output(with_original(part, reader.value(digest).decode()))
    elif part.get("tool_output_truncated"):
        ref = part.get("tool_output_ref")
        reason = (
            f"it is stored elsewhere, as {ref}"
            if ref
            else f"only a preview was kept ({part.get('tool_output_externalization_error')})"
        )
        raise ToolOutputNotFound(reader.stream, call.message_id, call.tool_id, reason)
    output = output_of(part)
    return "" if output is None else output.text


def _part_with_output(reader: Reader, call: CallName) -> dict[str, Any]:
    message_id, tool_id, occurrence = call
    recorded = reader.message(message_id)
    if recorded is None:
        raise ToolOutputNotFound(reader.stream, message_id, tool_id, "there is no such message")
    message = next(iter(reader.messages([(recorded.version, recorded.version)])), None)
    if message is None:
        raise CorruptLog(
            f"session {reader.stream!r}: version {recorded.version} is not the message "
            f"{message_id!r} that it was; run `eventlog verify`"
        )
    outputs = [(output_of(part), part) for part in message.data["parts"]]
    found = [part for output, part in outputs if output is not None and output.id == tool_id]
    calls = calls_with_id(message.data, tool_id)
    if len(calls) > 1 and occurrence < len(calls):
        # Counted among all calls with the id, some of which may have no output yet.
        part = message.data["parts"][calls[occurrence]]
        found = [part] if output_of(part) is not None else []
    elif occurrence:
        found = []
    if not found:
        ids = [output.id for output, _ in outputs if output is not None]
        reason = f"the message has outputs of {ids}"
        raise ToolOutputNotFound(reader.stream, message_id, tool_id, reason)
    return found[-1]
