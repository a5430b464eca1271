"""A server that is killed and comes back: acknowledged is stored, once, and work goes on (K6)."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

import eventlog
from eventlog import Message, StoreUnavailable
from eventlog.stores.postgres import PostgresStore
from eventlog.testing.model.laws import check_laws
from eventlog.testing.servers.outage import write_through
from eventlog.testing.servers.postgres import VERSIONS, PostgresServer


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server of the test's own."""
    with PostgresServer(request.param) as server:
        yield server


def test_a_server_killed_under_load_loses_and_doubles_nothing(server: PostgresServer) -> None:
    def strike() -> None:
        server.kill()
        server.start()

    outage = write_through(server.url(), strike)

    assert outage.acknowledged >= 600
    assert (outage.lost, outage.doubled, outage.disordered) == (0, 0, 0)
    with eventlog.open(server.url()) as log:
        check_laws(log.store)


def test_a_server_stopped_between_two_commands_is_not_noticed(
    server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Every connection is lost; the log finds that out before it sends anything."""
    with eventlog.open(server.url()) as log:
        session = log.session("s", create=True)
        session.append(Message.user("before"))
        assert len(session.history()) == 1
        server.stop()
        server.start()

        session.append(Message.user("after"))
        server.stop()
        server.start()

        assert log.store.put_blob("b", b"data", 0) == 1
        assert len(session.history()) == 2
        assert log.verify("s") == []
        assert "append_outcome_unknown" not in caplog.text


def test_while_there_is_no_server_the_log_says_so_and_goes_on_afterwards(
    server: PostgresServer,
) -> None:
    with eventlog.open(server.url()) as log:
        session = log.session("s", create=True)
        session.append(Message.user("before"))
        server.stop()

        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            session.append(Message.user("lost call", id="m"))
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            list(log.read("s"))
        server.start()

        session.append(Message.user("lost call", id="m"))
        assert [message.id for message in session.tail(1)] == ["m"]
        check_laws(log.store)


def test_the_time_of_leases_is_the_servers(server: PostgresServer) -> None:
    """F2: the clocks of hosts differ, so all of them use the server's."""
    with (
        eventlog.open(server.url(), clock=lambda: 1) as log,
        psycopg.connect(server.url(), autocommit=True) as plain,
    ):
        asked = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        before = plain.execute(asked).fetchone()
        assert isinstance(log.store, PostgresStore)
        now = log.store.now()
        after = plain.execute(asked).fetchone()

        assert before is not None
        assert after is not None
        assert before[0] <= now <= after[0]
