"""The operations on messages: appended, read, answered by results, and withdrawn."""

from __future__ import annotations

from starlette.responses import Response

from eventlog import AsyncSession, InvalidMessage, Message
from eventlog.http.bodies import (
    AppendBatch,
    Nothing,
    OutputQuery,
    Replace,
    TailQuery,
    ToolResult,
    Withdraw,
)
from eventlog.http.call import Call, json_response, known_messages
from eventlog.http.documents import output_document
from eventlog.http.routing import Operation
from eventlog.http.sent_messages import MessageBody, SoundMessage, checked_message
from eventlog.http.session_operations import done
from eventlog.http.wire_errors import RequestRefused

__all__ = ["MESSAGE_OPERATIONS"]


async def append_message(call: Call) -> Response:
    body: MessageBody | SoundMessage = call.body
    session = await call.session(create=True)
    message = await session.append(body.message, **call.by_expected)
    document = {
        "session_id": session.id,
        "version": session.version,
        "message": message.as_data(),
    }
    return json_response(document, 201, session=session)


async def append_batch(call: Call) -> Response:
    body: AppendBatch = call.body
    messages = [checked_message(fields, index) for index, fields in enumerate(body.messages)]
    session = await call.session(create=True)
    appended = await session.extend(messages, **call.by_expected)
    document = {
        "session_id": session.id,
        "version": session.version,
        "messages": [message.as_data() for message in appended],
    }
    return json_response(document, 201, session=session)


async def list_messages(call: Call) -> Response:
    query: TailQuery = call.query
    session = await call.session()
    tail = await session.tail(query.last)
    document = {
        "session_id": session.id,
        "version": session.version,
        "messages": [message.as_data() for message in tail],
    }
    return json_response(document, session=session)


async def record_result(call: Call) -> Response:
    body: ToolResult = call.body
    session = await call.session()
    with known_messages():
        await session.record_tool_result(
            call.path["message_id"], **body.model_dump(), **call.by_expected
        )
    return done(session)


async def get_output(call: Call) -> Response:
    query: OutputQuery = call.query
    session = await call.session()
    output = await session.tool_output(
        call.path["message_id"],
        call.path["tool_id"],
        offset=query.offset,
        limit=query.limit,
        occurrence=query.occurrence,
    )
    return json_response(output_document(output))


async def get_message(call: Call) -> Response:
    session = await call.session()
    message_id = call.path["message_id"]
    try:
        stored = await session.message(message_id)
    except InvalidMessage as error:
        details = {"reason": error.reason, "field": None, "line": None, "index": None}
        raise RequestRefused("message_not_found", str(error), details=details) from None
    document = {
        "session_id": session.id,
        "version": stored.version,
        "message": stored.message.as_data(),
    }
    return json_response(document)


# ---- withdrawing ------------------------------------------------------------------------------


async def withdraw(call: Call) -> Response:
    body: Withdraw = call.body
    session = await call.session()
    with known_messages():
        messages = await session.withdraw(**body.model_dump(), **call.by_expected)
    return _withdrawn(session, messages)


async def replace(call: Call) -> Response:
    body: Replace = call.body
    messages = [checked_message(fields, index) for index, fields in enumerate(body.messages)]
    session = await call.session()
    with known_messages():
        withdrawn = await session.replace(
            messages=messages, message_ids=body.message_ids, after=body.after, **call.by_expected
        )
    return _withdrawn(session, withdrawn)


async def clear(call: Call) -> Response:
    session = await call.session()
    return _withdrawn(session, await session.clear(**call.by_expected))


def _withdrawn(session: AsyncSession, messages: tuple[Message, ...]) -> Response:
    document = {
        "session_id": session.id,
        "version": session.version,
        "withdrawn": [message.as_data() for message in messages],
    }
    return json_response(document, session=session)


_SESSION = "/sessions/{session_id}"
_MESSAGE = f"{_SESSION}/messages/{{message_id}}"

MESSAGE_OPERATIONS = (
    Operation(
        "POST", f"{_SESSION}/messages", "append_message",
        "Append a message; the session is created if need be.", "write", append_message,
        body=MessageBody, body_required=True, keyed=True, conditional=True, fenced="may",
        answers={201: "Appended"}, refusals=(409, 410, 412),
    ),
    Operation(
        "POST", f"{_SESSION}/messages/batch", "append_batch",
        "Append up to 100 messages, all or none; the session is created if need be.", "write",
        append_batch, body=AppendBatch, body_required=True, keyed=True, conditional=True,
        fenced="may", answers={201: "AppendedBatch"}, refusals=(409, 410, 412),
    ),
    Operation(
        "GET", f"{_SESSION}/messages", "list_messages", "Return the live messages.", "read",
        list_messages, query=TailQuery, answers={200: "Messages"}, refusals=(404,),
    ),
    Operation(
        "POST", f"{_MESSAGE}/results", "record_result",
        "Record the result of a call that a message made.", "write", record_result,
        body=ToolResult, body_required=True, keyed=True, conditional=True, fenced="may", answers={200: "Done"},
        refusals=(404, 409, 410, 412),
    ),
    Operation(
        "GET", f"{_MESSAGE}/outputs/{{tool_id}}", "get_output",
        "Return a piece of a tool's output.", "read", get_output, query=OutputQuery,
        answers={200: "Output"}, refusals=(404,),
    ),
    Operation(
        "GET", _MESSAGE, "get_message", "Return a message with its results, live or archived.",
        "read", get_message, answers={200: "Stored"}, refusals=(404, 409),
    ),
    Operation(
        "POST", f"{_SESSION}/messages/withdraw", "withdraw",
        "Take live messages out of the session for good.", "write", withdraw, body=Withdraw,
        body_required=True, keyed=True, conditional=True, fenced="may", answers={200: "Withdrawn"},
        refusals=(404, 409, 410, 412),
    ),
    Operation(
        "POST", f"{_SESSION}/messages/replace", "replace",
        "Put messages in the place of live ones.", "write", replace, body=Replace,
        body_required=True, keyed=True, conditional=True, fenced="may", answers={200: "Withdrawn"},
        refusals=(404, 409, 410, 412),
    ),
    Operation(
        "POST", f"{_SESSION}/messages/clear", "clear", "Withdraw all live messages.", "write",
        clear, body=Nothing, keyed=True, conditional=True, fenced="may", answers={200: "Withdrawn"},
        refusals=(404, 409, 410, 412),
    ),
)  # fmt: skip
