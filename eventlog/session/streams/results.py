"""Results of calls whose message is still being written: kept, and written into it at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.errors import InvalidMessage
from eventlog.session.stored_calls import named_calls
from eventlog.session.streams.folding import result_digest

if TYPE_CHECKING:
    from eventlog.session.streams.state import Stream

__all__ = ["streamed_occurrence"]


def streamed_occurrence(
    stream: Stream, tool_id: str, occurrence: int | None, status: str, output: str
) -> int:
    """Return the occurrence of the call that a result answers.

    Without a named one it is the call that has this very answer, else the first without any, else
    the first. Raises `InvalidMessage` if no such call has arrived.
    """
    count = stream.calls.count(tool_id)
    if not count:
        raise InvalidMessage(
            f"message {stream.message_id!r} is still being written and has no call {tool_id!r} so "
            f"far; it has {named_calls(stream.calls)}",
            field="tool_id",
        )
    if occurrence is not None:
        if occurrence >= count:
            raise InvalidMessage(
                f"message {stream.message_id!r} has {count} calls {tool_id!r} so far, so their "
                f"occurrences are 0 to {count - 1}, not {occurrence}",
                field="occurrence",
            )
        return occurrence
    digest = result_digest(status, output)
    own = [kept for kept in stream.results if kept.tool_id == tool_id]
    repeated = (kept.occurrence for kept in own if kept.digest == digest)
    answered = {kept.occurrence for kept in own}
    first_open = (number for number in range(count) if number not in answered)
    return next(repeated, next(first_open, 0))
