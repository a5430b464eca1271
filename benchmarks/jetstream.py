"""The JetStream store: its speed compared with the plain client, and what survives failures.

Each figure starts new servers, on the disk, with ``sync_interval: always``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count as numbers

from nats.aio.client import Client

from benchmarks.contenders import PAYLOAD
from benchmarks.postgres import finish_archives_on
from benchmarks.workload import Timing, timed
from eventlog.testing.servers.nats import NatsCluster, NatsServer, ask, first_address
from eventlog.testing.servers.outage import write_through

__all__ = [
    "Servers",
    "cluster",
    "finish_archives",
    "kill_leader",
    "new_log",
    "plain_publishes",
    "single",
]

Servers = NatsServer | NatsCluster

_names = numbers(1)


def single() -> NatsServer:
    """Start one server."""
    return NatsServer(disk=True)


def cluster() -> NatsCluster:
    """Start three servers that replicate."""
    return NatsCluster(disk=True)


def new_log(servers: Servers) -> str:
    """Return the URL of an empty log, replicated where it can be."""
    return servers.url(stream=f"log-{next(_names)}")


def plain_publishes(servers: Servers, count: int, sessions: int) -> Timing:
    """Publish and await the answer, nothing else: the least that an append can cost.

    As many at once as there are sessions, each with its own subject.
    """
    name = f"plain-{next(_names)}"
    replicas = 3 if isinstance(servers, NatsCluster) else 1
    config = {"name": name, "subjects": [f"{name}.*"], "num_replicas": replicas}
    address = first_address(servers.url())
    answer = ask(address, f"STREAM.CREATE.{name}", config)
    assert "error" not in answer, answer
    return asyncio.run(_publish(address, name, count, sessions))


async def _publish(address: str, name: str, count: int, sessions: int) -> Timing:
    client = Client()
    await client.connect([address])
    jetstream = client.jetstream()
    data = PAYLOAD.encode()

    async def publish(session: int) -> None:
        for _ in range(count // sessions):
            await jetstream.publish(f"{name}.{session}", data)

    with timed(count) as result:
        await asyncio.gather(*(publish(session) for session in range(sessions)))
    await client.close()
    return result()


def kill_leader(trials: int, writes: int) -> Iterator[str]:
    """K6: kill the leader of the stream under load; return what was lost or doubled."""
    for _ in range(trials):
        with cluster() as servers:

            def strike(servers: NatsCluster = servers) -> None:
                servers.leader("log").kill()

            url = servers.url(stream="log", replicas=3)
            yield str(write_through(url, strike, writers=16, before=writes, after=writes))


def finish_archives(archives: int) -> str:
    """P5: two worker processes finish archives, and one is killed on the way."""
    with cluster() as servers:
        return finish_archives_on(new_log(servers), archives)
