"""A connection that is cut at any message of an append: one record, never two, never none (K6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

import eventlog
from eventlog import Message
from eventlog.errors import UnavailableError
from eventlog.opening import open_store
from eventlog.records import Appended
from eventlog.testing.conformance import draft
from eventlog.testing.laws import check_laws
from eventlog.testing.wire import CuttingProxy, NatsWire

ENOUGH = 60
"""More messages than any append takes."""


@pytest.fixture
def proxy(nats_server: str) -> Iterator[CuttingProxy]:
    host, _, port = urlsplit(nats_server).netloc.partition(",")[0].partition(":")
    with CuttingProxy(host, int(port or 4222), NatsWire) as proxy:
        yield proxy


@pytest.fixture
def through(proxy: CuttingProxy, nats_server: str, nats_url: str) -> str:
    """The URL of the log as it is reached through the proxy."""
    return nats_url.replace(urlsplit(nats_server).netloc, f"127.0.0.1:{proxy.port}")


def until_it_answers(call: Callable[[], object]) -> None:
    while True:
        try:
            call()
        except UnavailableError:
            continue
        return


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
        for message in range(1, ENOUGH):
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
            if not proxy.cuts:
                break
            proxy.cuts = 0
            replayed.append(answer.replayed)
        assert proxy.passed == messages
        # Before the last message has arrived nothing was stored, behind it all was.
        assert replayed == [False] * records + [True]
        assert direct.check() == []


def test_a_repetition_after_a_cut_finds_the_first_outcome(
    proxy: CuttingProxy, through: str, nats_url: str
) -> None:
    """A caller that repeats what was stored is told so, whoever it asks."""
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
    with eventlog.open(through) as log, eventlog.open(nats_url) as direct:
        session = log.session("chat", create=True)
        session.append(Message.user("first", id="m0"))
        for message in range(1, ENOUGH):
            proxy.cut_at(message)
            said = Message.user("hello", id=f"m{message}")
            until_it_answers(lambda: session.append(said))  # noqa: B023 - called at once
            if not proxy.cuts:
                break
            proxy.cuts = 0
        proxy.spare()
        history = [entry.id for entry in direct.session("chat").history()]
        assert history == [f"m{number}" for number in range(message + 1)]
        check_laws(direct.store)


def test_a_commit_cut_anywhere_is_one_commit(
    proxy: CuttingProxy, through: str, nats_url: str
) -> None:
    """C1, L4: a repeated commit tells of the archive that the first one made."""
    with eventlog.open(through) as log, eventlog.open(nats_url) as direct:
        session = log.session("chat", create=True)
        for message in range(1, ENOUGH):
            session.append(Message.user("hello"))
            proxy.cut_at(message)
            results: list[eventlog.CommitResult] = []

            def commit(key: str, results: list[eventlog.CommitResult]) -> None:
                results.append(session.commit(idempotency_key=key))

            until_it_answers(lambda: commit(f"c{message}", results))  # noqa: B023 - at once
            proxy.spare()
            assert results[0].archive_id == f"archive_{message:03d}"
            if not proxy.cuts:
                break
            proxy.cuts = 0
        assert len(direct.session("chat").archives()) == message
        check_laws(direct.store)


def test_a_blob_cut_at_any_message_is_stored_once(
    proxy: CuttingProxy, through: str, nats_url: str
) -> None:
    """One message, and one that takes several parts."""
    with closing(open_store(through)) as store, closing(open_store(nats_url)) as direct:
        store.get_blob("warm")
        for size in (10, 9_000_000):
            for message in range(1, ENOUGH):
                data = b"%d" % message * size
                proxy.cut_at(message)
                assert store.put_blob(f"k{size}", data, message - 1) == message
                assert direct.get_blob(f"k{size}") == (data, message)
                if not proxy.cuts:
                    break
                proxy.cuts = 0
            assert message > 3
