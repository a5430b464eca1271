"""The events of messages that are still being written.

A stream is named by the id that its message has from the beginning on, and by its fence: the version
of its ``message_begun``. Only who has the fence may continue it. The whole message is recorded as any
other, by a ``message_appended`` in the append of the stream's end; so its version is that of the end,
and from there on the chunks are superseded.
"""

from __future__ import annotations

from typing import Any, Literal

from eventlog.events import Event
from eventlog.session.message_data import MessageData
from eventlog.session.tasks.events import OwnerData

__all__ = ["ChunkAppended", "MessageBegun", "MessageEnded", "MessageInterrupted", "ResultKept"]


class MessageBegun(Event, type="message_begun"):
    """A message begins to be written; ``message`` has what is known of it, and no parts.

    The stream is alive until ``lease_until``, which each chunk moves ``lease`` further; both are in
    microseconds. Without ``lease_until`` it is alive as long as the attempt at a turn that the record's
    metadata names.
    """

    message: MessageData
    owner: OwnerData
    lease: int
    lease_until: int | None


class ChunkAppended(Event, type="chunk_appended"):
    """The next parts of a message arrived.

    ``sequence`` counts the chunks of the message from 1, without gaps. A part with a type and a text
    alone continues a part before it of the same type, also across chunks; any other is whole. A chunk
    without parts says that the producer is alive.
    """

    message_id: str
    fence: int
    sequence: int
    parts: list[dict[str, Any]]
    lease_until: int | None


class ResultKept(Event, type="result_kept"):
    """A tool call of a message that is still being written was answered.

    The result is written into the call when the message ends. The fields are those of
    ``tool_result_recorded``.
    """

    message_id: str
    tool_id: str
    output: str
    status: Literal["running", "completed", "error"]
    duration_ms: float | None = None
    tokens: int
    large: dict[str, Any] | None = None
    occurrence: int = 0
    abandoned: bool = False
    interrupted: bool = False


class MessageEnded(Event, type="message_ended"):
    """The producer ended the message after ``chunks`` chunks; the whole of it is the next event."""

    message_id: str
    fence: int
    chunks: int


class MessageInterrupted(Event, type="message_interrupted"):
    """The message gets no further chunks; what arrived of it, if anything did, is the next event."""

    message_id: str
    fence: int
    chunks: int
    reason: str
