"""The store's requests to JetStream, in JetStream's protocol.

nats-py has neither atomic batches nor direct reads of several messages, so they are implemented
here, and the other requests in the same way. Reads from the leader are up to date. A replica may lack
the newest messages, but never has different ones; so replicas are asked only for messages that the
leader is known to have, and the leader completes their answers.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import APIError

from eventlog.stores.jetstream.errors import NOT_FOUND
from eventlog.stores.jetstream.messages import Message, from_direct, from_leader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nats.aio.client import Client
    from nats.aio.msg import Msg

__all__ = [
    "BATCH_LIMIT",
    "ask",
    "last_message",
    "next_message",
    "publish",
    "some_messages",
]

BATCH_LIMIT: Final = 1_000
"""Maximum messages of an atomic batch, by the server's default."""

ANSWER_SECONDS: Final = 2.0
"""Seconds that one request may take; after that its outcome is unknown and is looked up. A killed
leader never answers, so this is also how long it takes until its successor is asked."""

BYTES_PER_SECOND: Final = 8 << 20
"""How much longer a request may take per byte that is sent or read."""

PAGE_BYTES: Final = 16 << 20
"""Bytes after which a page of messages ends."""


def _seconds(size: int) -> float:
    return ANSWER_SECONDS + size / BYTES_PER_SECOND


async def ask(
    client: Client, verb: str, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS
) -> dict[str, Any]:
    """Make a request to JetStream's API; raise `APIError` if it is refused."""
    message = await client.request(f"$JS.API.{verb}", json.dumps(request).encode(), timeout=seconds)
    return _answer(message)


def _answer(message: Msg) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(message.data)
    if "error" in answer:
        said = answer["error"]
        raise APIError(said.get("code"), said.get("description"), said.get("err_code"))
    return answer


async def last_message(client: Client, stream: str, subject: str) -> Message | None:
    """Return the last message of a subject (or of the stream, with ``>``) from the leader."""
    return await _get(client, stream, {"last_by_subj": subject})


async def next_message(
    client: Client, stream: str, sequence: int, subject: str | None
) -> Message | None:
    """Return the first message of a subject from a sequence on, from the leader."""
    return await _get(client, stream, {"seq": sequence, "next_by_subj": subject or ">"})


async def _get(client: Client, stream: str, request: Mapping[str, Any]) -> Message | None:
    try:
        verb = f"STREAM.MSG.GET.{stream}"
        return from_leader(await ask(client, verb, request, _seconds(PAGE_BYTES)))
    except APIError as error:
        if error.err_code in NOT_FOUND:
            return None
        raise


async def some_messages(
    client: Client, stream: str, sequence: int, subject: str | None, count: int
) -> list[Message]:
    """Return messages of a subject, or of all subjects, from a sequence on, from any replica."""
    found: list[Message] = []
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def take(message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status is None:
            found.append(from_direct(headers, message.data))
        elif not ended.done():
            if status == "503":
                ended.set_exception(NoRespondersError())
            elif status in ("204", "404"):
                ended.set_result(None)
            else:
                ended.set_exception(APIError(int(status), headers.get("Description", "")))

    inbox = client.new_inbox()
    subscription = await client.subscribe(  # pyright: ignore[reportUnknownMemberType]
        inbox, cb=take, pending_msgs_limit=0, pending_bytes_limit=0
    )
    try:
        request: dict[str, Any] = {"seq": sequence, "batch": count, "max_bytes": PAGE_BYTES}
        if subject is not None:
            request["next_by_subj"] = subject
        await client.publish(
            f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=inbox
        )
        async with asyncio.timeout(_seconds(PAGE_BYTES)):
            await ended
    except TimeoutError as error:
        raise NatsTimeoutError from error
    finally:
        if not client.is_closed:
            await subscription.unsubscribe()
    return found


async def publish(client: Client, messages: Sequence[Message]) -> int:
    """Store messages, all or none; return the sequence of the first, which the others follow.

    Raises `APIError` or `NoRespondersError` if nothing was stored, and `TimeoutError` or
    `ConnectionClosedError` if that is unknown.
    """
    if len(messages) == 1:
        answer = await _publish(client, messages[0], {}, len(messages[0].payload))
        return int(answer["seq"])
    batch = {"Nats-Batch-Id": uuid4().hex}
    for number, message in enumerate(messages[:-1], 1):
        headers = {**message.headers, **batch, "Nats-Batch-Sequence": str(number)}
        await client.publish(message.subject, message.payload, headers=headers)
    number = len(messages)
    last = {**batch, "Nats-Batch-Sequence": str(number), "Nats-Batch-Commit": "1"}
    size = sum(len(message.payload) for message in messages)
    answer = await _publish(client, messages[-1], last, size)
    return int(answer["seq"]) - number + 1


async def _publish(
    client: Client, message: Message, more: Mapping[str, str], size: int
) -> dict[str, Any]:
    return _answer(
        await client.request(
            message.subject,
            message.payload,
            timeout=_seconds(size),
            headers={**message.headers, **more},
        )
    )
