"""JetStream's own reports about a log: findings about its streams, and settings for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.store import Finding
from eventlog.stores.jetstream.api import ask
from eventlog.stores.jetstream.opening import blob_stream

if TYPE_CHECKING:
    from nats.aio.client import Client

__all__ = ["findings", "server_settings"]


async def findings(client: Client, stream: str) -> list[Finding]:
    """Return the leader's findings about the streams of a log."""
    log = await ask(client, f"STREAM.INFO.{stream}", {})
    blobs = await ask(client, f"STREAM.INFO.{blob_stream(stream)}", {})
    lacks = _lost(log["state"])
    found = [Finding(None, None, "storage", lacks)] if lacks else []
    for answer in (log, blobs):
        name = answer["config"]["name"]
        for replica in _replicas(answer):
            if replica.get("offline") or not replica.get("current"):
                state = "offline" if replica.get("offline") else "behind"
                detail = f"the copy of stream {name!r} on node {replica['name']!r} is {state}"
                found.append(Finding(None, None, "replica", detail))
    return found


def _replicas(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the leader's findings about its followers; none for a single server."""
    cluster: dict[str, Any] = answer.get("cluster") or {}
    return cluster.get("replicas") or []


def _lost(state: dict[str, Any]) -> str | None:
    """Return a finding if messages are missing; a sound log misses none."""
    messages, first, last = state["messages"], state["first_seq"], state["last_seq"]
    if messages == last and first <= 1:
        return None
    return (
        f"the stream has {messages} messages, numbered {first} to {last}: {last - messages} were "
        "lost; `eventlog verify` names the sessions"
    )


async def server_settings(client: Client, stream: str) -> dict[str, str]:
    """Return the settings of the stream and its server."""
    answer = await ask(client, f"STREAM.INFO.{stream}", {})
    cluster: dict[str, Any] = answer.get("cluster") or {}
    connected = client.connected_url
    return {
        "server": connected.netloc.rpartition("@")[2] if connected else "",
        "version": str(client.connected_server_version).strip("<>").removeprefix("nats server "),
        "stream": stream,
        "replicas": str(answer["config"]["num_replicas"]),
        "leader": str(cluster.get("leader", "")),
        "followers": ", ".join(sorted(replica["name"] for replica in _replicas(answer))),
        "messages": str(answer["state"]["messages"]),
        "bytes": str(answer["state"]["bytes"]),
        "max_payload": str(client.max_payload),
    }
