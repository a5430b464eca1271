"""The JetStream store keeps the contract of a store, on one server and on three that replicate."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest

from eventlog.engine.opening import open_store
from eventlog.store import Store
from eventlog.stores.jetstream import JetStreamStore
from eventlog.testing.conformance import ScaleConformance, SharedConformance, StoreConformance
from eventlog.testing.conformance.appends import AppendContract
from eventlog.testing.conformance.sides import BlobContract, IndexContract, LifeContract
from eventlog.testing.servers.nats import NatsCluster, ask
from tests.shares import rounds


class TestJetStreamStore(StoreConformance, SharedConformance, ScaleConformance):
    """The server answers one message after another, so that the suite reads a share of the ranges."""

    largest = 28
    one_range_in = rounds(7, 1)
    programs = rounds(15, 60)
    streams = rounds(2_000, 10_000)

    @pytest.fixture(autouse=True)
    def _server(self, nats_server: str, nats_log: Callable[[str, object], str]) -> None:
        self.server, self.log_of = nats_server, nats_log

    def make_store(self, folder: Path) -> Store:
        return open_store(self.log_of(self.server, folder))

    def stored_data(self, store: Store, folder: Path, stream: str) -> list[bytes]:
        """Ask the server for each message, while the store is open."""
        assert isinstance(store, JetStreamStore)
        name = store.place.stream
        found: list[bytes] = []
        for sequence in range(1, int(store.tip()) + 1):
            message = ask(self.server, f"STREAM.MSG.GET.{name}", {"seq": sequence})["message"]
            if message["subject"] == f"{name}.s.{stream}":
                payload = b64decode(message["data"])
                found.append(payload[payload.index(b'{"seed"') :])
        return found


class TestJetStreamClusterStore(
    AppendContract, IndexContract, BlobContract, LifeContract, SharedConformance
):
    """What replication may change; of reading, what instances see of each other."""

    @pytest.fixture(autouse=True)
    def _cluster(self, nats_cluster: NatsCluster, nats_log: Callable[[str, object], str]) -> None:
        self.cluster, self.log_of = nats_cluster, nats_log

    def make_store(self, folder: Path) -> Store:
        return open_store(self.log_of(self.cluster.url(replicas=3), folder))
