"""Checking the arguments of the methods that write a message in chunks, once for both faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from eventlog.argument_checks import check_count, check_seconds
from eventlog.engine.arguments import checked_object
from eventlog.engine.owner import holder_of_fence, this_process
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument, InvalidMessage
from eventlog.identifiers import derived_id, format_id, new_id
from eventlog.session.messages import Message, as_message, message_data
from eventlog.session.messages import check_text as check_message_text
from eventlog.session.output_claims import check_claims
from eventlog.session.parts import message_text
from eventlog.session.streams.coalescing import WriterOptions
from eventlog.session.streams.commands import AppendChunk, BeginMessage, EndMessage, Holder
from eventlog.session.streams.content import is_text_piece, text_part
from eventlog.session.streams.interrupting import InterruptMessage, message_so_far
from eventlog.session.streams.reasons import STOPPED
from eventlog.session.tool_output import has_large
from eventlog.storable import check_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventlog.engine.core import Core
    from eventlog.engine.streams.host import StreamHost
    from eventlog.session.message_data import MessageData
    from eventlog.session.messages import ToolPart
    from eventlog.session.streams.events import MessageBegun
    from eventlog.session.turns.steps import StepOfTurn

__all__ = [
    "begin",
    "call_part",
    "check_piece",
    "chunk",
    "chunk_of",
    "end",
    "interrupt",
    "parts_data",
    "writer_options",
]


def begin(
    engine: StreamHost,
    core: Core,
    role: str,
    message_id: str | None,
    fields: Mapping[str, Any] | None,
    lease_seconds: float,
    idempotency_key: str | None,
    in_turn: bool,
    holder: str | None = None,
) -> BeginMessage:
    """Check what is known of a message before it is written; reads the store's clock (I/O).

    With ``in_turn`` the lease of the turn stands for the message's own. ``holder`` names a producer
    that is not this process.
    """
    check_seconds("lease_seconds", lease_seconds)
    if message_id is None and idempotency_key is not None:
        key = check_text("idempotency_key", idempotency_key)
        message_id = format_id(derived_id(core.session, f"{key}\0message"))
    data = {} if fields is None else checked_object("fields", fields)
    reserved = data.keys() & {"id", "role", "parts"}
    if reserved:
        raise InvalidArgument(
            f"fields has {sorted(reserved)}; the id and role are arguments, and parts come as chunks"
        )
    given = {**data, "id": new_id() if message_id is None else message_id, "role": role}
    whole = dict(message_data(as_message({**given, "parts": []})))
    if "created_at" not in data:
        del whole["created_at"]
    owner = (
        this_process(engine.recovery.store)
        if holder is None
        else holder_of_fence(check_text("holder", holder))
    )
    lease = int(lease_seconds * 1_000_000)
    held = Holder(owner, engine.recovery.lease_time())
    return BeginMessage(cast("MessageData", whole), lease, held, in_turn=in_turn)


def parts_data(content: str | Sequence[Mapping[str, Any] | ToolPart]) -> list[dict[str, Any]]:
    """Return the parts that a chunk brings, as they are stored."""
    if isinstance(content, str):
        check_message_text(content, "content")
        return [text_part(check_text("content", content))] if content else []
    if not isinstance(content, (list, tuple)):
        raise InvalidArgument(f"content must be a text or a list of parts, not {shown(content)}")
    message = as_message({"role": "assistant", "parts": list(content)})
    return message_data(message)["parts"]


def chunk(
    engine: StreamHost,
    core: Core,
    message_id: str,
    fence: int,
    sequence: int,
    content: str | Sequence[Mapping[str, Any] | ToolPart],
) -> AppendChunk:
    """Check a chunk before it is stored."""
    message_id = _named(message_id, fence)
    check_count("sequence", sequence, "chunks", lowest=1)
    return chunk_of(engine, core, message_id, fence, sequence, parts_data(content))


def chunk_of(
    engine: StreamHost,
    core: Core,
    message_id: str,
    fence: int,
    sequence: int,
    parts: list[dict[str, Any]],
) -> AppendChunk:
    """Build the command of a chunk whose parts were checked before."""
    whole = cast("MessageData", {"id": message_id, "role": "assistant", "parts": parts})
    is_text = all(map(is_text_piece, parts))
    return AppendChunk(
        message_id,
        fence,
        sequence,
        parts,
        keeps_large=not is_text and has_large(whole, core.tool_output),
        claims=not is_text and check_claims(core.session, whole),
        lease_now=engine.recovery.lease_time(),
    )


def _named(message_id: str, fence: int) -> str:
    check_count("fence", fence, "records", lowest=1)
    return check_text("message_id", message_id)


def end(
    engine: StreamHost,
    core: Core,
    message_id: str,
    fence: int,
    message: Message | dict[str, Any] | None,
    step: StepOfTurn | None = None,
) -> EndMessage:
    """Check the whole message before it is recorded; without one it is what its chunks said (I/O)."""
    message_id = _named(message_id, fence)
    data = _so_far(core, message_id, fence) if message is None else _whole(message, message_id)
    text = message_text(data)
    check_message_text(text, "parts")
    return EndMessage(
        message_id,
        fence,
        data,
        engine.estimate_tokens,
        keeps_large=has_large(data, core.tool_output),
        claims=check_claims(core.session, data),
        step=step,
    )


def _whole(message: Message | dict[str, Any], message_id: str) -> MessageData:
    whole = as_message(message)
    if "id" not in whole.model_fields_set:
        whole = whole.model_copy(update={"id": message_id})
    elif whole.id != message_id:
        raise InvalidMessage(
            f"the message that ends {message_id!r} has the id {whole.id!r}; leave the id out, "
            "or give the one that it began with",
            field="id",
        )
    return message_data(whole)


def _so_far(core: Core, message_id: str, fence: int) -> MessageData:
    """Return what the chunks say; once the message has ended, too, so that its end can be repeated."""
    begun = core.reader.record(fence)
    event = None if begun is None or begun.type != "message_begun" else begun.event
    if event is None or cast("MessageBegun", event).message["id"] != message_id:
        raise InvalidArgument(
            f"session {core.session!r} has no beginning of message {message_id!r} at version "
            f"{fence}; give the fence that begin_message returned"
        )
    head = core.store.head(core.session).version
    chunks = core.reader.chunks(message_id, fence, head)
    return message_so_far(cast("MessageBegun", event), chunks)


def interrupt(
    engine: StreamHost, message_id: str, fence: int, reason: str = STOPPED
) -> InterruptMessage:
    """Check which message gets no further chunks."""
    return InterruptMessage(_named(message_id, fence), fence, engine.estimate_tokens, reason)


def call_part(tool_name: str, tool_input: dict[str, Any], tool_id: str | None) -> ToolPart:
    """Return the part of a tool call; raise `InvalidMessage` for what is none."""
    call = {
        "type": "tool",
        "tool_id": f"call_{new_id()}" if tool_id is None else tool_id,
        "tool_name": tool_name,
        "tool_input": tool_input,
        "tool_status": "pending",
    }
    (part,) = as_message({"role": "assistant", "parts": [call]}).tools
    return part


def check_piece(text: str, type: str) -> None:
    """Raise `InvalidArgument` or `InvalidMessage` unless a text can continue a message."""
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"text must be a text, not {shown(text)}")
    if not text.isascii():
        check_message_text(text, "text")
    if type != "text":
        check_text("type", type)


def writer_options(
    lease_seconds: float,
    window_seconds: float,
    chunk_bytes: int,
    buffer_bytes: int,
    background: bool,
) -> WriterOptions:
    """Check how a message is cut into chunks."""
    check_seconds("lease_seconds", lease_seconds)
    check_seconds("window_seconds", window_seconds)
    check_count("chunk_bytes", chunk_bytes, "bytes", lowest=1)
    check_count("buffer_bytes", buffer_bytes, "bytes", lowest=1)
    window = max(1, int(window_seconds * 1_000_000))
    lease = int(lease_seconds * 1_000_000)
    return WriterOptions(window, lease, chunk_bytes, buffer_bytes, background)
