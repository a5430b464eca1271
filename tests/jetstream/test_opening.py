"""What the JetStream store refuses to open or to store, and the advice in its errors (P9, P10)."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

import eventlog
from eventlog import InvalidArgument, Message, StoreUnavailable, TooLarge, UnsupportedStore
from eventlog.engine.opening import open_store
from eventlog.errors import CorruptLog, EventLogError
from eventlog.records import Appended
from eventlog.store import Store
from eventlog.testing.conformance import draft
from eventlog.testing.servers.nats import NatsCluster, NatsServer, ask

GUARD = "authorization { user: ada, password: secret }\n"


def refusal(url: str) -> EventLogError:
    """Return the error that opening a URL raises."""
    with pytest.raises(EventLogError) as caught:
        open_store(url)
    return caught.value


@pytest.fixture(scope="session")
def nats_server(single_nats: str) -> str:
    """A single server, also where others are to be three."""
    return single_nats


@pytest.fixture
def store(nats_url: str) -> Iterator[Store]:
    with closing(open_store(nats_url)) as store:
        yield store


def name_of(url: str) -> str:
    return url.partition("stream=")[2]


# ---- where, and who ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nats://", "write nats://user:password@host:4222"),
        ("nats://host/path", "write nats://"),
        ("nats://host?strea=x", "write nats://"),
        ("nats://host?stream=a.b", "stream='a.b': take 1 to 64"),
        ("nats://host?replicas=7", "replicas='7'"),
        ("nats://host?replicas=many", "replicas='many'"),
        ("nats://host?patience=0", "patience='0'"),
        ("nats://host?durability=none", "choose process or power"),
        ("nats://host?monitor=ftp://x&durability=power", "cannot be reached"),
    ],
)
def test_a_url_that_cannot_be_one_is_refused_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises((InvalidArgument, StoreUnavailable), match=said.replace("?", r"\?")):
        open_store(url.replace("host", "127.0.0.1:1"))


def test_nobody_at_the_address_is_said_with_the_address() -> None:
    error = refusal("nats://ada:secret@127.0.0.1:1,127.0.0.1:2")

    assert isinstance(error, StoreUnavailable)
    assert "at 127.0.0.1:1,127.0.0.1:2 cannot be reached" in str(error)
    assert "check the hosts in the URL" in str(error)
    assert "secret" not in str(error)


def test_wrong_credentials_are_told_from_a_server_that_is_away() -> None:
    with NatsServer(GUARD) as server:
        address = f"127.0.0.1:{server.port}"
        for user in ("", "ada:wrong@", "token@"):
            error = refusal(f"nats://{user}{address}")
            assert isinstance(error, UnsupportedStore)
            assert "refuses this user; check the user and the password" in str(error)
            assert "wrong" not in str(error)
        with eventlog.open(f"nats://ada:secret@{address}") as log:
            log.session("s", create=True).append(Message.user("hello"))


def test_the_first_server_of_several_that_answers_is_used(nats_server: str, nats_url: str) -> None:
    here = nats_server.removeprefix("nats://")
    with eventlog.open(nats_url.replace(here, f"127.0.0.1:1,{here}")) as log:
        log.session("s", create=True).append(Message.user("hello"))

        assert log.store.settings()["server"] == here


# ---- what server ------------------------------------------------------------------------------


def test_a_server_without_jetstream_is_refused() -> None:
    with NatsServer(jetstream=False) as server:
        error = refusal(server.url(patience=0.1))

    assert isinstance(error, UnsupportedStore)
    assert "enable JetStream in the server's configuration" in str(error)


def test_a_server_without_atomic_batches_is_refused() -> None:
    """A server that says of itself that it is of an old version; no such wheel is needed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_old_server, args=[listening], daemon=True).start()
        error = refusal(f"nats://127.0.0.1:{listening.getsockname()[1]}")

    assert isinstance(error, UnsupportedStore)
    assert "is version 2.11; the log needs 2.12 or newer" in str(error)


def _old_server(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection, connection.makefile("rb") as stream:
        connection.sendall(b'INFO {"version":"2.11.9","headers":true,"max_payload":1048576}\r\n')
        for line in stream:
            if line.startswith(b"PING"):
                connection.sendall(b"PONG\r\n")


def test_more_replicas_than_a_single_server_can_have_are_refused(nats_server: str) -> None:
    error = refusal(f"{nats_server}?replicas=3&stream=three")

    assert isinstance(error, UnsupportedStore)
    assert "connect to a cluster, or open the log with ?replicas=1" in str(error)


def test_a_new_log_is_replicated_where_it_can_be(
    nats_cluster: NatsCluster, nats_log: Callable[[str, object], str], nats_url: str
) -> None:
    with closing(open_store(nats_url)) as store:
        assert store.settings()["replicas"] == "1"
    with closing(open_store(nats_log(nats_cluster.url(), "replicated"))) as store:
        settings = store.settings()
    assert settings["replicas"] == "3"
    assert {settings["leader"], *settings["followers"].split(", ")} == {"n1", "n2", "n3"}


# ---- what survives ----------------------------------------------------------------------------


def test_power_is_refused_with_a_single_copy(nats_url: str) -> None:
    """P9: a single server that lost its end goes on with fewer records, and says nothing."""
    error = refusal(f"{nats_url}&durability=power")

    assert isinstance(error, UnsupportedStore)
    assert "has 1 replica(s), and durability=power needs 3" in str(error)
    assert "?replicas=3" in str(error)


def test_power_is_verified_at_the_monitoring_ports(
    nats_cluster: NatsCluster, nats_log: Callable[[str, object], str]
) -> None:
    url = nats_log(nats_cluster.url(durability="power", monitor=nats_cluster.monitors), "power")

    with eventlog.open(url) as log:
        assert log.durability == "power"
        assert log.store.settings()["sync_interval"].startswith("always on 3 of 3 nodes")


def test_power_that_cannot_be_verified_is_declared_and_warned_about(
    nats_cluster: NatsCluster,
    nats_log: Callable[[str, object], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = nats_log(nats_cluster.url(durability="power"), "unverified")

    with caplog.at_level(logging.WARNING), eventlog.open(url) as log:
        assert log.durability == "power"

    assert "durability_unverified" in caplog.text


def test_a_server_that_syncs_now_and_then_is_no_power(
    nats_cluster: NatsCluster, nats_log: Callable[[str, object], str]
) -> None:
    """The other servers of the cluster are checked too."""
    with NatsServer(sync="2m") as lazy:
        monitors = f"{nats_cluster.monitors},{lazy.monitor}"
        url = nats_log(nats_cluster.url(durability="power", monitor=monitors), "lazy")
        error = refusal(url)
        with eventlog.open(lazy.url(monitor=lazy.monitor)) as log:
            assert log.store.settings()["sync_interval"] == "not always on 0 of 1 nodes asked"

    assert isinstance(error, UnsupportedStore)
    assert f"the server at {lazy.monitor} syncs only now and then" in str(error)
    assert "set sync_interval: always" in str(error)


def test_a_monitoring_port_that_does_not_answer_is_said(nats_url: str) -> None:
    error = refusal(f"{nats_url}&monitor=http://127.0.0.1:1")

    assert isinstance(error, StoreUnavailable)
    assert "the monitoring port at http://127.0.0.1:1 does not answer" in str(error)
    assert "write http://host:8222" in str(refusal(f"{nats_url}&monitor=host:8222"))


# ---- what streams -----------------------------------------------------------------------------


def test_a_stream_of_another_program_is_left_alone(nats_server: str, nats_url: str) -> None:
    name = name_of(nats_url)
    config = {"name": name, "subjects": [f"{name}.orders"]}
    ask(nats_server, f"STREAM.CREATE.{name}", config)

    error = refusal(nats_url)

    assert isinstance(error, UnsupportedStore)
    assert "is another program's; choose another name for the log with ?stream=NAME" in str(error)
    kept = ask(nats_server, f"STREAM.INFO.{name}", {})["config"]
    assert kept["subjects"] == [f"{name}.orders"]


def test_subjects_of_another_stream_are_left_alone(nats_server: str, nats_url: str) -> None:
    other = f"{name_of(nats_url)}-other"
    config = {"name": other, "subjects": [f"{name_of(nats_url)}.>"]}
    ask(nats_server, f"STREAM.CREATE.{other}", config)

    error = refusal(nats_url)

    ask(nats_server, f"STREAM.DELETE.{other}", {})
    assert isinstance(error, UnsupportedStore)
    assert "choose another ?stream for the log" in str(error)


def _change(server: str, name: str, **changes: object) -> None:
    config = ask(server, f"STREAM.INFO.{name}", {})["config"]
    answer = ask(server, f"STREAM.UPDATE.{name}", {**config, **changes})
    assert "error" not in answer, answer


def test_a_log_of_a_newer_library_is_left_alone(
    store: Store, nats_server: str, nats_url: str
) -> None:
    _change(nats_server, name_of(nats_url), metadata={"eventlog.format": "99"})

    error = refusal(nats_url)

    assert isinstance(error, UnsupportedStore)
    assert "has format 99, and this eventlog knows 1; upgrade it" in str(error)


@pytest.mark.parametrize(
    "changes", [{"max_age": 10**12}, {"max_msgs": 1_000}, {"allow_atomic": False}]
)
def test_a_log_that_was_set_to_drop_or_forbid_records_is_refused(
    changes: dict[str, object], store: Store, nats_server: str, nats_url: str
) -> None:
    _change(nats_server, name_of(nats_url), **changes)

    error = refusal(nats_url)

    assert isinstance(error, UnsupportedStore)
    (setting,) = changes
    assert f"has {setting} = " in str(error)
    assert "set it back" in str(error)


def test_a_log_with_another_number_of_replicas_says_how_to_open_it(
    nats_cluster: NatsCluster, nats_log: Callable[[str, object], str]
) -> None:
    url = nats_log(nats_cluster.url(replicas=1), "one")
    open_store(url).close()

    error = refusal(url.replace("replicas=1", "replicas=3"))
    with closing(open_store(url.replace("replicas=1&", ""))) as store:
        assert store.settings()["replicas"] == "1"

    assert isinstance(error, UnsupportedStore)
    assert "open the log with ?replicas=1, or change the stream" in str(error)


# ---- what messages ----------------------------------------------------------------------------


def test_a_record_above_the_servers_limit_is_refused_alone(
    nats_log: Callable[[str, object], str],
) -> None:
    """The others of its batch are stored."""
    with NatsServer(max_payload=1 << 16) as server, closing(open_store(server.url())) as store:
        large = draft("large", data=b'"%s"' % (b"x" * (1 << 16)))
        first, refused, last = store.append([draft("a"), large, draft("b")])
        store.put_blob("value", b"y" * 1_000_000)

        assert isinstance(refused, TooLarge)
        assert "session 'large': the number of bytes of one record is 65,5" in str(refused)
        assert "raise max_payload in the server's configuration" in str(refused)
        assert isinstance(first, Appended)
        assert isinstance(last, Appended)
        assert [record.stream for record in store.read_all()] == ["a", "b"]
        blob = store.get_blob("value")
        assert blob is not None
        assert blob.data == b"y" * 1_000_000


def test_more_records_than_an_atomic_batch_holds_are_refused(store: Store) -> None:
    (most, refused) = store.append([draft("a", 1_000, entries=(("k", b"v"),)), draft("b", 1_001)])

    assert isinstance(most, Appended)
    assert isinstance(refused, TooLarge)
    assert "is 1,001, the limit is 1,000; append them in several steps" in str(refused)
    assert store.head("b").version == 0


def test_what_another_program_publishes_in_a_session_is_not_taken_for_a_record(
    store: Store, nats_server: str, nats_url: str
) -> None:
    store.append([draft("s", 2)])
    _publish(nats_server, f"{name_of(nats_url)}.s.s", b"hello")

    with pytest.raises(CorruptLog, match="is not one that an eventlog wrote") as caught:
        store.head("s")
    with pytest.raises(CorruptLog, match="another program publishes there"):
        list(store.read_all())

    assert caught.value.stream == "s"


def _publish(server: str, subject: str, data: bytes) -> None:
    host, _, port = server.removeprefix("nats://").rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b'CONNECT {"verbose":true}\r\nPUB %s %d\r\n%s\r\nPING\r\n'
            % (subject.encode(), len(data), data)
        )
        with connection.makefile("rb") as stream:
            while not stream.readline().startswith(b"PONG"):
                continue


# ---- only read --------------------------------------------------------------------------------


def test_a_log_that_is_only_read_shows_everything_and_takes_nothing(nats_url: str) -> None:
    """U3: reading writes no snapshot, no entry, no checkpoint, and no command gets through."""
    with eventlog.open(nats_url) as log:
        session = log.session("s", create=True)
        with session.turn("t"):
            session.append(Message.user("question", id="m"))
        session.commit()
        session.append(Message.user("live", id="n"))
        told = [recorded.record for recorded in log.read("s")]
    separator = "&" if "?" in nats_url else "?"
    with eventlog.open(f"{nats_url}{separator}mode=ro") as log:
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
    with eventlog.open(nats_url) as log:
        assert [recorded.record for recorded in log.read("s")] == told


def test_where_no_log_is_none_is_made_by_only_reading(nats_url: str) -> None:
    for _ in range(2):
        assert "there is no log" in str(refusal(f"{nats_url}&mode=ro"))
    assert "choose one of rw, ro" in str(refusal(f"{nats_url}&mode=r"))
