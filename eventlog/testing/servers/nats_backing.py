"""A log on NATS JetStream as storage for processes that crash."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from nats.aio.client import Client

from eventlog.engine.opening import open_store
from eventlog.stores.jetstream.api import ask, next_message
from eventlog.stores.jetstream.messages import EXPECTED
from eventlog.testing.crashing import CrashingStore, Steps
from eventlog.testing.servers.nats import ANSWER_SECONDS, first_address

if TYPE_CHECKING:
    from eventlog.store import Store

__all__ = ["NatsBacking"]

_names: Final = count(1)
_run: Final = uuid4().hex[:12]


class NatsBacking:
    """A separate stream as storage; faults occur between a store's calls.

    `eventlog.testing.servers.wire` covers faults between the messages of one call.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._stream = f"backing-{_run}-{next(_names)}"
        self._watching = self._connect()
        self._opened: dict[Store, Store] = {}

    def open(self, steps: Steps) -> Store:
        store = self._connect()
        stepped = CrashingStore(store, steps)
        self._opened[stepped] = store
        return stepped

    def watch(self) -> Store:
        return self._watching

    def kill(self, store: Store) -> None:
        """Close the connection: the server has nothing of the process but what it stored."""
        self._opened.pop(store).close()

    def image(self) -> NatsBacking:
        copied = NatsBacking(self._server)
        asyncio.run(self._copy(copied._stream))
        return copied

    def close(self) -> None:
        self._watching.close()
        asyncio.run(self._delete())

    def _connect(self) -> Store:
        join = "&" if "?" in self._server else "?"
        return open_store(f"{self._server}{join}stream={self._stream}")

    async def _copy(self, to: str) -> None:
        client = await self._client()
        for name, target in ((self._stream, to), (f"{self._stream}-blobs", f"{to}-blobs")):
            sequence = 1
            while message := await next_message(client, name, sequence, None):
                subject = message.subject.replace(name, target, 1)
                ours = {
                    key: value
                    for key, value in message.headers.items()
                    if key.startswith("Eventlog-") or (key == EXPECTED and name == self._stream)
                }
                await client.request(
                    subject, message.payload, timeout=ANSWER_SECONDS, headers=ours or None
                )
                sequence = message.sequence + 1
        await client.close()

    async def _delete(self) -> None:
        client = await self._client()
        for name in (self._stream, f"{self._stream}-blobs"):
            await ask(client, f"STREAM.DELETE.{name}", {})
        await client.close()

    async def _client(self) -> Client:
        client = Client()
        await client.connect([first_address(self._server)])
        return client
