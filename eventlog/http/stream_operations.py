"""The operations on messages that are written while they arrive."""

from __future__ import annotations

from starlette.responses import Response

from eventlog import AsyncTurn, InvalidArgument, Message
from eventlog.http.bodies import AppendChunk, BeginMessage, EndMessage
from eventlog.http.call import Call, in_order, json_response
from eventlog.http.routing import Operation
from eventlog.http.sent_messages import checked_message, checked_parts
from eventlog.http.session_operations import done

__all__ = ["STREAM_OPERATIONS"]


async def begin_message(call: Call) -> Response:
    body: BeginMessage = call.body
    session = await call.session(create=True)
    begun = await session.begin_message(**body.model_dump(), holder=call.holder, **call.by)
    document = {"session_id": session.id, "version": session.version, **begun._asdict()}
    return json_response(document, 201, session=session)


async def append_chunk(call: Call) -> Response:
    body: AppendChunk = call.body
    session = await call.session()
    content = body.content if isinstance(body.content, str) else checked_parts(body.content)
    with in_order():
        await session.append_chunk(call.path["message_id"], body.fence, body.sequence, content)
    return done(session)


async def end_message(call: Call) -> Response:
    body: EndMessage = call.body
    session = await call.session()
    message_id = call.path["message_id"]
    by = call.by_origin
    if body.step is not None and not isinstance(session, AsyncTurn):
        raise InvalidArgument("a message is a step in a turn alone; give its Eventlog-Fence")
    given = None if body.message is None else checked_message(body.message)
    if isinstance(session, AsyncTurn) and not body.interrupted:
        by |= {"step": body.step, "digest": body.digest}
    message: Message | None
    with in_order():
        if body.interrupted:
            message = await session.interrupt_message(message_id, body.fence, **by)
        else:
            message = await session.end_message(message_id, body.fence, given, **by)
    document = {
        "session_id": session.id,
        "version": session.version,
        "message": None if message is None else message.as_data(),
    }
    return json_response(document, session=session)


_STREAMS = "/sessions/{session_id}/streams"

STREAM_OPERATIONS = (
    Operation(
        "POST", _STREAMS, "begin_message",
        "Begin to write a message in chunks; the session is created if need be.", "write",
        begin_message, body=BeginMessage, keyed=True, fenced="may", answers={201: "Begun"}, refusals=(409, 410),
    ),
    Operation(
        "POST", f"{_STREAMS}/{{message_id}}/chunks", "append_chunk",
        "Append a chunk; the same one again changes nothing.", "write", append_chunk,
        body=AppendChunk, body_required=True, fenced="may", answers={200: "Done"}, refusals=(404, 409, 410),
    ),
    Operation(
        "POST", f"{_STREAMS}/{{message_id}}/end", "end_message",
        "End the message, or interrupt it; the same again changes nothing.", "write", end_message,
        body=EndMessage, body_required=True, fenced="may", answers={200: "Ended"}, refusals=(404, 409, 410),
    ),
)  # fmt: skip
