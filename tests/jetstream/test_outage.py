"""Servers that are killed, paused or started again: acknowledged is stored, once (K6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from nats.aio.client import Client

import eventlog
from eventlog import Message, StoreUnavailable
from eventlog.errors import UnavailableError
from eventlog.stores.jetstream import JetStreamStore
from eventlog.testing.model.laws import check_laws
from eventlog.testing.servers.nats import NatsCluster, NatsServer
from eventlog.testing.servers.outage import write_through
from tests.shares import rounds

SOME = rounds(60, 200)
"""Messages before and after the outage."""


@pytest.fixture
def server() -> Iterator[NatsServer]:
    """A server of the test's own."""
    with NatsServer() as server:
        yield server


def test_a_leader_killed_under_load_loses_and_doubles_nothing() -> None:
    """The others elect a new one, and writes go on; the old one follows when it is back."""
    with NatsCluster() as cluster:
        url = cluster.url(stream="log", replicas=3)
        killed: list[NatsServer] = []

        def strike() -> None:
            killed.append(cluster.leader("log"))
            killed[0].kill()

        outage = write_through(url, strike, writers=4, before=SOME, after=SOME)
        killed[0].start()

        assert outage.acknowledged >= 2 * SOME
        assert (outage.lost, outage.doubled, outage.disordered) == (0, 0, 0)
        with eventlog.open(url) as log:
            while [finding.kind for finding in log.store.check()]:
                continue  # The old leader has to catch up.
            check_laws(log.store)


def test_a_leader_that_sleeps_and_wakes_up_again_loses_and_doubles_nothing() -> None:
    """Meanwhile another one leads; what the old one had received it must not store any more."""
    with NatsCluster() as cluster:
        url = cluster.url(stream="log", replicas=3)

        def strike() -> None:
            sleeper = cluster.leader("log")
            sleeper.pause()
            cluster.leader("log", but=sleeper)
            sleeper.resume()

        outage = write_through(url, strike, writers=4, before=SOME, after=2 * SOME)

        assert (outage.lost, outage.doubled, outage.disordered) == (0, 0, 0)
        with eventlog.open(url) as log:
            assert log.verify("writer-0") == []


def test_a_server_killed_under_load_and_started_again_loses_and_doubles_nothing(
    server: NatsServer,
) -> None:
    def strike() -> None:
        server.kill()
        server.start()

    outage = write_through(server.url(), strike, writers=4, before=SOME, after=SOME)

    assert outage.acknowledged >= 2 * SOME
    assert (outage.lost, outage.doubled, outage.disordered) == (0, 0, 0)
    with eventlog.open(server.url()) as log:
        check_laws(log.store)


def test_a_server_stopped_between_two_commands_is_not_noticed(server: NatsServer) -> None:
    with eventlog.open(server.url()) as log:
        session = log.session("s", create=True)
        session.append(Message.user("before"))
        server.stop()
        server.start()

        session.append(Message.user("after"))
        server.stop()
        server.start()

        assert len(session.history()) == 2
        assert len(list(log.sessions())) == 1
        assert log.verify("s") == []


def test_while_there_is_no_server_the_log_says_so_and_goes_on_afterwards(
    server: NatsServer,
) -> None:
    with eventlog.open(server.url()) as log:
        session = log.session("s", create=True)
        session.append(Message.user("before"))
        server.stop()

        with pytest.raises(UnavailableError):
            session.append(Message.user("lost call", id="m"))
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            list(log.read("s"))
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            list(log.sessions())
        server.start()

        session.append(Message.user("lost call", id="m"))
        assert [message.id for message in session.tail(1)] == ["m"]
        check_laws(log.store)


def test_who_waits_goes_on_waiting_after_a_restart(server: NatsServer) -> None:
    with eventlog.open(server.url()) as log, eventlog.open(server.url()) as other:
        session = other.session("s", create=True)
        session.append(Message.user("before"))
        position = log.position()
        server.stop()
        server.start()

        session.append(Message.user("after"))

        assert log.store.wait(position, 60.0) is True
        assert [recorded.version for recorded in log.read("s")] == [1, 2, 3]


def test_a_connection_that_ended_without_a_word_is_replaced_at_once(server: NatsServer) -> None:
    """nats-py tells nobody that it has closed if the network fails as it sends what was left."""

    async def end(client: Client) -> None:
        client._closed_cb = None
        await client.close()

    with eventlog.open(server.url(patience=1)) as log:
        session = log.session("s", create=True)
        session.append(Message.user("before"))
        assert isinstance(log.store, JetStreamStore)
        log.store._link.run(end)

        assert [recorded.version for recorded in log.read("s")] == [1, 2]
        log.store._link.run(end)
        session.append(Message.user("after"))
        assert len(session.history()) == 2
