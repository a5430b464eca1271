"""An error on opening says why, and what to change; an open store is as it declares (P9, P10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import eventlog
from eventlog import InvalidArgument, Message, StoreUnavailable, UnsupportedStore
from eventlog.engine.opening import open_store
from eventlog.errors import CorruptLog, EventLogError
from eventlog.store import Store
from eventlog.testing.conformance import draft
from eventlog.testing.servers.postgres import GUARDED, PostgresPair, PostgresServer

Query = Callable[..., list[tuple[object, ...]]]


def refusal(url: str) -> EventLogError:
    with pytest.raises(EventLogError) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
    return caught.value


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server whose settings may be changed."""
    with PostgresServer(18) as server:
        yield server


@pytest.fixture
def ruled(server: PostgresServer) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection of its administrator; settings of the whole server are reset afterwards."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        yield connection
        connection.execute("ALTER SYSTEM RESET ALL")
        connection.execute("ALTER DATABASE postgres RESET ALL")
        connection.execute("SELECT pg_reload_conf()")


# ---- where and as whom ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("?pool_size=many", "write a number"),
        ("?pool_size=0", "at least one connection"),
        ("?durability=none", "choose power or process"),
        ("?durability=full", "choose power or process"),
        ("?synchronus_commit=on", "write postgresql://user@host/database"),
        (f"?schema={'x' * 64}", "1 to 63 bytes"),
    ],
)
def test_options_that_make_no_sense_are_refused(query: str, advice: str) -> None:
    with pytest.raises(InvalidArgument, match=advice):
        open_store(f"postgresql://127.0.0.1:1/postgres{query}")


@pytest.mark.parametrize("place", ["[::1/postgres", "127.0.0.1:1/postgres?a", "h /d?%zz=1"])
def test_a_url_that_cannot_be_read_is_told_without_its_password(place: str) -> None:
    error = refusal(f"postgresql://user:secret@{place}")

    assert isinstance(error, InvalidArgument)


def test_a_missing_database_is_named(server: PostgresServer) -> None:
    error = refusal(server.url("nowhere"))

    assert isinstance(error, UnsupportedStore)
    assert 'database "nowhere" does not exist; create it, or check the name' in str(error)
    assert isinstance(error.__cause__, psycopg.OperationalError)


def test_a_role_that_does_not_exist_is_named(server: PostgresServer) -> None:
    error = refusal(server.url().replace("eventlog@", "stranger@"))

    assert isinstance(error, UnsupportedStore)
    assert 'role "stranger" does not exist' in str(error)


def test_a_wrong_password_is_said_without_being_told(
    server: PostgresServer, ruled: psycopg.Connection[tuple[object, ...]]
) -> None:
    ruled.execute(f"CREATE ROLE {GUARDED} LOGIN PASSWORD 'right'".encode())

    wrong = refusal(server.url().replace("eventlog@", f"{GUARDED}:secret@"))
    none = refusal(server.url().replace("eventlog@", f"{GUARDED}@"))

    assert isinstance(wrong, UnsupportedStore)
    assert "check the user and the password" in str(wrong)
    assert isinstance(none, UnsupportedStore)
    assert "give a password" in str(none)


def test_a_role_that_may_not_create_the_log_is_told_what_to_ask_for(
    server: PostgresServer, ruled: psycopg.Connection[tuple[object, ...]]
) -> None:
    ruled.execute("CREATE ROLE modest LOGIN")
    url = server.url().replace("eventlog@", "modest@")

    error = refusal(f"{url}?schema=modest")
    ruled.execute("CREATE SCHEMA modest AUTHORIZATION modest")
    with eventlog.open(f"{url}?schema=modest") as log:
        log.session("s", create=True).append(Message.user("hello"))

    assert isinstance(error, UnsupportedStore)
    assert "permission denied" in str(error)
    assert "grant it to the role" in str(error)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    error = refusal("postgresql://user:secret@127.0.0.1:1/postgres")

    assert isinstance(error, StoreUnavailable)
    assert "PostgreSQL postgres@127.0.0.1 cannot be reached" in str(error)


# ---- what server ------------------------------------------------------------------------------


def test_a_server_that_is_too_old_is_refused(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventlog.stores.postgres.connections.OLDEST", 99)

    error = refusal(postgres_url)

    assert isinstance(error, UnsupportedStore)
    assert "the log needs 99 or newer: upgrade it" in str(error)


def test_a_read_only_server_is_refused_with_the_way_out(
    server: PostgresServer, ruled: psycopg.Connection[tuple[object, ...]]
) -> None:
    ruled.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")

    error = refusal(server.url())

    assert isinstance(error, StoreUnavailable)
    assert "is read-only" in str(error)
    assert "target_session_attrs=read-write" in str(error)


def test_a_database_in_another_encoding_is_refused(
    server: PostgresServer, ruled: psycopg.Connection[tuple[object, ...]]
) -> None:
    ruled.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")

    error = refusal(server.url("latin"))

    assert isinstance(error, UnsupportedStore)
    assert "is encoded in LATIN1; create a database with ENCODING 'UTF8'" in str(error)


@pytest.mark.parametrize("setting", ["synchronous_commit", "fsync", "full_page_writes"])
def test_a_server_that_may_lose_what_it_acknowledged_is_no_power(
    setting: str, server: PostgresServer, ruled: psycopg.Connection[tuple[object, ...]]
) -> None:
    """P9."""
    with eventlog.open(server.url()) as log:
        assert log.durability == "power"
        assert log.store.settings()[setting] == "on"
    ruled.execute(f"ALTER SYSTEM SET {setting} = off".encode())
    with psycopg.connect(server.url()) as reloading:
        reloading.execute("SELECT pg_reload_conf()")
    while ruled.execute("SELECT current_setting(%s)", (setting,)).fetchone() != ("off",):
        continue

    error = refusal(server.url())
    with eventlog.open(server.url(durability="process")) as log:
        assert log.durability == "process"
        assert log.store.settings()[setting] == "off"

    assert isinstance(error, UnsupportedStore)
    assert f"has {setting} = off" in str(error)
    assert "?durability=process" in str(error)


@pytest.mark.parametrize("value", ["remote_write", "remote_apply"])
def test_waiting_for_standbys_is_power_too(value: str, server: PostgresServer) -> None:
    with eventlog.open(server.url(options=f"-csynchronous_commit%3D{value}")) as log:
        assert log.durability == "power"
        assert log.store.settings()["synchronous_commit"] == value


def test_a_commit_that_is_only_local_is_no_power(server: PostgresServer) -> None:
    """A standby that takes over may not have it."""
    error = refusal(server.url(options="-csynchronous_commit%3Dlocal"))

    assert isinstance(error, UnsupportedStore)


# ---- what tables ------------------------------------------------------------------------------


def test_a_schema_of_another_program_is_left_alone(postgres_url: str, ask: Query) -> None:
    ask("CREATE SCHEMA {schema}")
    ask("CREATE TABLE {schema}.records (id integer)")
    ask("CREATE TABLE {schema}.migrations (id integer)")

    error = refusal(postgres_url)

    assert isinstance(error, UnsupportedStore)
    assert "not an eventlog's; choose another schema for the log with ?schema=NAME" in str(error)
    assert ask("SELECT count(*) FROM pg_class WHERE relnamespace = '{schema}'::regnamespace") == [
        (2,)
    ]


def test_a_schema_of_a_newer_library_is_left_alone(
    postgres_url: str, store: Store, ask: Query
) -> None:
    store.append([draft("s")])
    ask("INSERT INTO {schema}.migrations VALUES (999, 'future')")

    error = refusal(postgres_url)

    assert isinstance(error, UnsupportedStore)
    assert "has schema 999, and this eventlog knows up to 1; upgrade it" in str(error)
    assert ask("SELECT count(*) FROM {schema}.records") == [(1,)]


def test_a_log_that_was_dropped_under_the_store_is_corrupt(store: Store, ask: Query) -> None:
    store.append([draft("s")])
    ask("DROP TABLE {schema}.records CASCADE")

    with pytest.raises(CorruptLog, match="part of the log was dropped"):
        list(store.read("s"))
    with pytest.raises(CorruptLog, match="part of the log was dropped"):
        store.append([draft("t")])


def test_of_several_that_open_a_new_log_at_once_one_creates_it(
    postgres_url: str, ask: Query
) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(open_store, [postgres_url] * 8))

    for number, store in enumerate(stores):
        store.append([draft("s", 1, expected=number)])
    for store in stores:
        assert store.head("s").version == 8
        store.close()
    assert ask("SELECT number, name FROM {schema}.migrations") == [(1, "log")]


def test_two_logs_in_one_database_know_nothing_of_each_other(
    postgres: str, postgres_schema: Callable[[str, object], str]
) -> None:
    one, two = (open_store(postgres_schema(postgres, name)) for name in ('with "quotes"', "two"))

    one.append([draft("s", 2, entries=(("k", b"v"),))])

    assert (one.head("s").version, two.head("s").version) == (2, 0)
    assert (list(two.read_all()), list(two.scan("", "~"))) == ([], [])
    one.close()
    two.close()


def test_a_log_restored_into_a_younger_cluster_goes_on_ascending(
    postgres_url: str, store: Store, ask: Query
) -> None:
    """Positions begin with numbers of transactions, which begin anew in another cluster."""
    store.append([draft("s", 3)])
    ask("UPDATE {schema}.records SET position = position + (1::bigint << 50)")
    ask("UPDATE {schema}.streams SET position = position + (1::bigint << 50)")

    restored = open_store(postgres_url)
    restored.append([draft("t", 2), draft("s", 1, expected=3)])

    assert [record.stream for record in restored.read_all()] == ["s", "s", "s", "t", "t", "s"]
    assert restored.tip() == restored.head("s").position
    assert restored.check() == []
    restored.close()


def test_several_hosts_are_tried_until_one_takes_writes(
    server: PostgresServer, ruled: psycopg.Connection[tuple[object, ...]]
) -> None:
    """The first is gone, the second only reads: fail-over without another URL."""
    with PostgresServer(18) as standby:
        with psycopg.connect(standby.url(), autocommit=True) as connection:
            connection.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        hosts = f"127.0.0.1:1,127.0.0.1:{standby.port},127.0.0.1:{server.port}"
        with eventlog.open(f"postgresql://eventlog@{hosts}/postgres?schema=hosts") as log:
            log.session("s", create=True).append(Message.user("hello"))

            assert log.store.settings()["server"] == f"127.0.0.1:{server.port}"


# ---- only read --------------------------------------------------------------------------------


def test_a_log_that_is_only_read_shows_everything_and_takes_nothing(postgres_url: str) -> None:
    """U3: reading writes no snapshot, no entry, no checkpoint, and no command gets through."""
    with eventlog.open(postgres_url) as log:
        session = log.session("s", create=True)
        with session.turn("t"):
            session.append(Message.user("question", id="m"))
        session.commit()
        session.append(Message.user("live", id="n"))
        told = [recorded.record for recorded in log.read("s")]
    separator = "&" if "?" in postgres_url else "?"
    with eventlog.open(f"{postgres_url}{separator}mode=ro") as log:
        session = log.session("s")
        assert [message.id for message in session.history()] == ["m", "n"]
        assert [turn.state for turn in session.turns()] == ["completed"]
        assert session.at(version=3).version == 3
        assert log.verify("s") == []
        for write in (
            lambda: session.append(Message.user("more")),
            lambda: session.turn("u").__enter__(),
            lambda: session.stream().__enter__(),
            session.commit,
            lambda: log.store.put_index([("a/b", b"")]),
            lambda: log.store.put_blob("a", b""),
        ):
            with pytest.raises(UnsupportedStore, match="mode=ro"):
                write()
    with eventlog.open(postgres_url) as log:
        assert [recorded.record for recorded in log.read("s")] == told


def test_where_no_log_is_none_is_made_by_only_reading(postgres_url: str) -> None:
    for _ in range(2):
        assert "there is no log" in str(refusal(f"{postgres_url}&mode=ro"))
    assert "choose one of rw, ro" in str(refusal(f"{postgres_url}&mode=r"))


def test_a_standby_can_be_read() -> None:
    """A log whose primary has gone is evidence, too."""
    with PostgresPair(18) as pair:
        applied = pair.primary.url(options="-c%20synchronous_commit%3Dremote_apply")
        with eventlog.open(applied) as log:
            log.session("s", create=True).append(Message.user("hello"))
        assert "read-only" in str(refusal(pair.standby.url()))
        with eventlog.open(pair.standby.url(mode="ro")) as log:
            assert [message.text for message in log.session("s").history()] == ["hello"]
            assert log.verify("s") == []
