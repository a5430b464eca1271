"""A connection that is cut at any message of an append: one record, never two, never none (K6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

import pytest

import eventlog
from eventlog.engine.opening import open_store
from eventlog.errors import Indeterminate, StoreUnavailable, UnavailableError
from eventlog.records import Append, Appended
from eventlog.store import Store
from eventlog.testing.conformance import draft
from eventlog.testing.servers.cutting import commit_through_cuts, say_through_cuts, until_it_answers
from eventlog.testing.servers.wire import CuttingProxy


@pytest.fixture
def proxy(postgres: str) -> Iterator[CuttingProxy]:
    parts = urlsplit(postgres)
    with CuttingProxy(parts.hostname or "localhost", parts.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def through(proxy: CuttingProxy, postgres_url: str) -> str:
    """The URL of the log as it is reached through the proxy."""
    parts = urlsplit(postgres_url)
    user = parts.netloc.rpartition("@")[0]
    url = parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}").geturl()
    return f"{url}&sslmode=disable"


def test_an_append_cut_at_any_message_and_repeated_is_stored_once(
    proxy: CuttingProxy, through: str, postgres_url: str
) -> None:
    """P8, L4: at the store, where an append whose commit may have happened is `Indeterminate`."""
    store, direct = open_store(through), open_store(postgres_url)
    outcomes: Counter[str] = Counter()
    store.append([draft("warm")])
    for message in proxy.each_cut():
        append = draft("s", 2, expected=2 * message - 2)
        proxy.cut_at(message)

        _, failures = until_it_answers(partial(_count_outcome, store, append, outcomes))

        assert len(failures) <= 1
        assert all(isinstance(error, Indeterminate) for error in failures)
        assert [record.event_id for record in direct.read("s")][-2:] == [
            record.event_id for record in append.records
        ]
        assert direct.head("s").version == 2 * message
    assert proxy.passed == [">B", ">D", ">E", ">S", "<2", "<T", "<D", "<C", "<Z"]
    assert outcomes["stored before"] >= 4, "the answer of the server was on its way"
    assert outcomes["stored now"] >= 3
    assert direct.check() == []
    store.close()
    direct.close()


def _count_outcome(store: Store, append: Append, outcomes: Counter[str]) -> None:
    (answer,) = store.append([append])
    assert isinstance(answer, Appended)
    outcomes["stored before" if answer.replayed else "stored now"] += 1


def test_a_first_append_cut_at_any_message_reports_what_is_true(
    proxy: CuttingProxy, through: str, postgres_url: str
) -> None:
    """While the connection is being made nothing can have been stored, and the error says so."""
    with eventlog.open(postgres_url) as log:
        kinds: list[str] = []
        for message in proxy.each_cut():
            store = open_store(through)
            proxy.cut_at(message)
            try:
                store.append([draft(f"s{message}", 1)])
            except UnavailableError as error:
                kinds.append(type(error).__name__)
                stored = log.store.head(f"s{message}").version
                assert stored == 0 or isinstance(error, Indeterminate)
            proxy.spare()
            store.append([draft(f"s{message}", 1)])
            assert log.store.head(f"s{message}").version == 1
            store.close()
    changes = [place for place, kind in enumerate(kinds) if kind != kinds[place - 1]]
    assert kinds[0] == StoreUnavailable.__name__
    assert kinds[-1] == Indeterminate.__name__
    assert len(changes) == 2, "first unavailable, from one message on indeterminate"


def test_a_message_whose_append_is_cut_anywhere_is_said_once(
    proxy: CuttingProxy, through: str, postgres_url: str
) -> None:
    """P1, P8: at the session, which finds out by itself and mostly needs no repetition."""
    say_through_cuts(proxy, through, postgres_url)


def test_a_commit_cut_anywhere_is_one_commit(
    proxy: CuttingProxy, through: str, postgres_url: str
) -> None:
    """C1, L4: a repeated commit tells of the archive that the first one made."""
    commit_through_cuts(proxy, through, postgres_url)
