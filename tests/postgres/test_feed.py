"""The log of all streams skips no record, in whatever order transactions begin and end (L5)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg

import eventlog
from eventlog import Message
from eventlog.audit.index_check import compare_index, rebuild_index
from eventlog.engine.opening import open_store
from eventlog.records import START, Appended
from eventlog.store import Store
from eventlog.testing.conformance import draft, unplaced
from eventlog.testing.servers.feed import compete

Query = Callable[..., list[tuple[object, ...]]]

_STORE_LATE = (
    "SELECT {schema}.append(ARRAY['late'], ARRAY[0], ARRAY[NULL]::bytea[], ARRAY[1], ARRAY[1], "
    "ARRAY[1], ARRAY['\\x01'::bytea], ARRAY['acme.noted'], ARRAY[1], ARRAY[1], "
    "ARRAY['\\x02'::bytea], ARRAY['{}'::bytea], ARRAY['{}'::bytea], '{}', '{}', '{}')"
)
"""An append by hand, in a transaction that the test ends when it likes."""


def naive_positions(ask: Query, after: int) -> list[int]:
    """Read as one would who takes positions for what they look like."""
    rows = ask("SELECT position FROM {schema}.records WHERE position > %s ORDER BY 1", after)
    return [int(str(position)) for (position,) in rows]


def test_a_record_that_is_committed_late_is_not_skipped(
    postgres: str, schema: str, store: Store, ask: Query
) -> None:
    """The naive reader is the canary: the same order of events must make it lose the record."""
    with psycopg.connect(postgres) as late:
        late.execute(_STORE_LATE.replace("{schema}", f'"{schema}"').encode())
        store.append([draft("early", 2)])

        naive = naive_positions(ask, 0)
        ours = list(store.read_all())
        assert len(naive) == 2
        assert ours == []
        assert store.tip() == START
        assert store.head("early").version == 2, "a session is read as it is"
        late.commit()

    naive += naive_positions(ask, naive[-1])
    ours += store.read_all()
    assert len(naive) == 2, "the canary has lost the late record"
    assert [record.stream for record in ours] == ["late", "early", "early"]
    assert store.tip() == ours[-1].position


def test_a_transaction_that_is_given_up_leaves_no_hole_to_wait_at(
    postgres: str, schema: str, store: Store
) -> None:
    with psycopg.connect(postgres) as late:
        late.execute(_STORE_LATE.replace("{schema}", f'"{schema}"').encode())
        store.append([draft("early", 2)])
        late.rollback()

    assert unplaced(store.read_all()) == list(draft("early", 2).records)


def test_a_stream_ascends_though_its_transactions_began_in_another_order(
    postgres: str, postgres_url: str, schema: str, store: Store, ask: Query
) -> None:
    """One has its number from locking another stream, and then waits for one with a later number.

    Stored under the first number, version 2 would come before version 1 in the log.
    """
    store.append([draft("a"), draft("b", key="begun")])
    other = open_store(postgres_url)
    with psycopg.connect(postgres) as holder, ThreadPoolExecutor(2) as pool:
        lock = f'SELECT FROM "{schema}".streams WHERE name = %s FOR UPDATE'.encode()
        holder.execute(lock, ("b",))
        first = pool.submit(store.append, [draft("b", 1, expected=1)])
        _until_waiting(ask, 1)
        second = pool.submit(other.append, [draft("a", 1, expected=1), draft("b", 1, expected=2)])
        _until_waiting(ask, 2)
        holder.rollback()

        answers = [*first.result(timeout=60), *second.result(timeout=60)]

    assert all(isinstance(answer, Appended) for answer in answers)
    feed = [(record.stream, record.version) for record in store.read_all()]
    assert [version for stream, version in feed if stream == "b"] == [1, 2, 3]
    assert store.check() == []
    other.close()


def _until_waiting(ask: Query, count: int) -> None:
    """Wait until this many appends wait for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND query LIKE '%%{schema}.append(%%' AND %s"
    )
    while ask(waiting, True) != [(count,)]:
        continue


def test_the_lag_of_the_feed_and_who_causes_it_are_told(postgres: str, store: Store) -> None:
    assert store.settings()["feed"] == "nothing is held back"
    with psycopg.connect(postgres) as unrelated:
        unrelated.execute("CREATE TABLE IF NOT EXISTS pg_temp.anything (id integer)")
        store.append([draft("s", 3)])

        lag = store.settings()["feed"]

        pid = unrelated.info.backend_pid
        assert lag.startswith("3 records are held back by transaction ")
        assert f"process {pid} (eventlog, idle in transaction, open for " in lag
    assert store.settings()["feed"] == "nothing is held back"


def test_a_wake_up_that_came_too_early_is_made_good(postgres: str, store: Store) -> None:
    """A reader was woken for a record that an older transaction still hides."""
    with psycopg.connect(postgres) as unrelated, ThreadPoolExecutor(1) as pool:
        unrelated.execute("CREATE TABLE IF NOT EXISTS pg_temp.anything (id integer)")
        waiting = pool.submit(store.wait, START, 600.0)
        store.append([draft("s")])
        assert store.wait(START, 0.0) is False
        unrelated.rollback()

        assert waiting.result(timeout=60) is True


def test_an_index_that_is_ahead_of_the_feed_is_not_taken_for_wrong(
    postgres: str, postgres_url: str
) -> None:
    """L14: rebuilding it must not remove what belongs to sessions that the feed does not show."""
    with eventlog.open(postgres_url) as log, psycopg.connect(postgres) as unrelated:
        unrelated.execute("CREATE TABLE IF NOT EXISTS pg_temp.anything (id integer)")
        session = log.session("hidden", create=True)
        session.append(Message.user("hello"))
        session.commit()

        assert list(log.read_all()) == []
        assert compare_index(log.store) == []
        assert rebuild_index(log.store) == []
        assert list(log.sessions()) == ["hidden"]


def test_a_follower_of_several_writers_misses_nothing_that_a_naive_one_does_not_see(
    postgres_url: str,
) -> None:
    """A small run of what `python -m benchmarks L5` does for longer."""
    result = compete(postgres_url, writers=4, streams=16, records=1_500)

    assert result.written == 1_500
    assert result.missed == 0
    assert result.disordered == 0
