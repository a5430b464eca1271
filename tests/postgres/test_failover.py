"""A primary that is lost and a standby that takes over: acknowledged is there, once (K6, P9)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import eventlog
from eventlog import Message, Worker
from eventlog.testing.model.laws import check_laws
from eventlog.testing.servers.outage import write_through
from eventlog.testing.servers.postgres import VERSIONS, PostgresPair


@pytest.fixture(params=VERSIONS)
def pair(request: pytest.FixtureRequest) -> Iterator[PostgresPair]:
    """A primary and a synchronous standby of the test's own."""
    with PostgresPair(request.param) as pair:
        yield pair


def test_a_primary_killed_under_load_is_replaced_and_nothing_is_lost_or_doubled(
    pair: PostgresPair,
) -> None:
    outage = write_through(pair.url(), pair.fail_over)

    assert outage.acknowledged >= 600
    assert (outage.lost, outage.doubled, outage.disordered) == (0, 0, 0)
    with eventlog.open(pair.url()) as log:
        assert log.store.settings()["server"] == f"{pair.standby.host}:{pair.standby.port}"
        check_laws(log.store)


def test_a_log_in_use_goes_on_with_the_standby(pair: PostgresPair) -> None:
    """Sessions, positions, followers and tasks of the same open log; the caller sees no error."""
    with eventlog.open(pair.url()) as log:
        session = log.session("s", create=True)
        session.append(Message.user("before"))
        session.commit()
        position = log.position()
        pair.fail_over()

        session.append(Message.user("after"))

        assert log.store.wait(position, 60.0) is True
        assert [recorded.type for recorded in log.read_all(after=position)] == ["message_appended"]
        assert Worker(log).run_once() == 1
        assert [message.text for message in session.tail()] == ["after"]
        check_laws(log.store)
