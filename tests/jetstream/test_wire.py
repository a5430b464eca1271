"""A connection that is cut at any message of an append: one record, never two, never none (K6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from eventlog.engine.opening import open_store
from eventlog.records import Appended
from eventlog.testing.conformance import draft
from eventlog.testing.servers.cutting import commit_through_cuts, say_through_cuts
from eventlog.testing.servers.wire import CuttingProxy, NatsWire


@pytest.fixture
def proxy(nats_server: str) -> Iterator[CuttingProxy]:
    host, _, port = urlsplit(nats_server).netloc.partition(",")[0].partition(":")
    with CuttingProxy(host, int(port or 4222), NatsWire) as proxy:
        yield proxy


@pytest.fixture
def through(proxy: CuttingProxy, nats_server: str, nats_url: str) -> str:
    """The URL of the log as it is reached through the proxy."""
    return nats_url.replace(urlsplit(nats_server).netloc, f"127.0.0.1:{proxy.port}")


@pytest.mark.parametrize(
    ("records", "messages"),
    [(1, [">HPUB", "<MSG"]), (3, [">HPUB", ">HPUB", ">HPUB", "<MSG"])],
)
def test_an_append_cut_at_any_message_is_stored_once(
    records: int, messages: list[str], proxy: CuttingProxy, through: str, nats_url: str
) -> None:
    """P8, L4: the store finds out by the ids, and tries again by itself."""
    replayed: list[bool] = []
    with closing(open_store(through)) as store, closing(open_store(nats_url)) as direct:
        for message in proxy.each_cut():
            store.append([draft("warm", 1, expected=message - 1)])
            append = draft("s", records, expected=records * (message - 1))
            proxy.cut_at(message)
            (answer,) = store.append([append])

            assert isinstance(answer, Appended)
            assert answer.versions == tuple(record.version for record in append.records)
            stored = list(direct.read("s"))
            assert [record.event_id for record in stored[-records:]] == [
                record.event_id for record in append.records
            ]
            assert len(stored) == records * message
            replayed.append(answer.replayed)
        assert proxy.passed == messages
        # Before the last message has arrived nothing was stored, behind it all was; then no cut.
        assert replayed == [False] * records + [True, False]
        assert direct.check() == []


def test_a_repetition_after_a_cut_finds_the_first_outcome(
    proxy: CuttingProxy, through: str, nats_url: str
) -> None:
    """A caller that repeats a stored append gets its first answer, from either store."""
    with closing(open_store(through)) as store, closing(open_store(nats_url)) as direct:
        proxy.cut_at(2)
        store.append([draft("s", 2)])
        proxy.spare()

        for asked in (store, direct):
            (answer,) = asked.append([draft("s", 2)])
            assert isinstance(answer, Appended)
            assert (answer.versions, answer.replayed) == ((1, 2), True)
        assert direct.head("s").version == 2


def test_a_message_whose_append_is_cut_anywhere_is_said_once(
    proxy: CuttingProxy, through: str, nats_url: str
) -> None:
    """P1, P8: at the session."""
    say_through_cuts(proxy, through, nats_url)


def test_a_commit_cut_anywhere_is_one_commit(
    proxy: CuttingProxy, through: str, nats_url: str
) -> None:
    """C1, L4: a repeated commit tells of the archive that the first one made."""
    commit_through_cuts(proxy, through, nats_url)


def test_a_blob_cut_at_any_message_is_stored_once(
    proxy: CuttingProxy, through: str, nats_url: str
) -> None:
    """One message, and one that takes several parts."""
    with closing(open_store(through)) as store, closing(open_store(nats_url)) as direct:
        store.get_blob("warm")
        for size in (10, 9_000_000):
            for message in proxy.each_cut():
                data = b"%d" % message * size
                proxy.cut_at(message)
                assert store.put_blob(f"k{size}", data, message - 1) == message
                assert direct.get_blob(f"k{size}") == (data, message)
            assert message > 3
