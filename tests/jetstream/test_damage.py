"""A server with a damaged file that reports that it is healthy: the damage is found (A1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

import eventlog
from eventlog import Message
from eventlog.engine.opening import open_store
from eventlog.errors import CorruptLog
from eventlog.records import EMPTY_HEAD
from eventlog.store import Finding
from eventlog.stores.jetstream.messages import encode
from eventlog.testing.conformance import draft
from eventlog.testing.servers.nats import NatsServer, ask, store_message

SESSIONS = ("a", "b", "c")
ROUNDS = 40
BAD = 21
"""The version of session ``b`` in which a bit is flipped; ``session_created`` is version 1."""


@pytest.fixture
def server() -> Iterator[NatsServer]:
    """A server with a log of three sessions, which take turns."""
    with NatsServer() as server:
        with eventlog.open(server.url(stream="log")) as log:
            for number in range(1, ROUNDS):
                for name in SESSIONS:
                    session = log.session(name, create=True)
                    session.append(Message.user(f"{name} says {number + 1}!"))
        yield server


def flip_a_bit(server: NatsServer) -> None:
    (block,) = server.blocks("log")
    data = bytearray(block.read_bytes())
    data[data.index(b"b says %d!" % BAD)] ^= 1
    block.write_bytes(data)


def check(server: NatsServer) -> list[Finding]:
    with closing(open_store(server.url(stream="log"))) as store:
        return store.check()


def test_one_flipped_bit_is_named_by_session_and_version(server: NatsServer) -> None:
    """After a restart in good order the server has lost that message, and knows nothing of it."""
    server.stop()
    flip_a_bit(server)
    server.start()

    with eventlog.open(server.url(stream="log")) as log:
        (finding,) = log.verify("b")
        assert (finding.stream, finding.version) == ("b", BAD)
        assert "the session goes on to version 40: the server lost or changed records" in (
            finding.detail
        )
        assert log.verify("a") == log.verify("c") == []
        with pytest.raises(CorruptLog, match=f"version {BAD} is missing") as caught:
            list(log.read("b"))
        assert (caught.value.stream, caught.value.version) == ("b", BAD)
        assert [recorded.version for recorded in log.read("b", until=BAD - 1)][-1] == BAD - 1
        with pytest.raises(CorruptLog, match="position 62 is missing"):
            list(log.read_all())


def test_an_end_that_was_lost_is_named_by_session_and_version(server: NatsServer) -> None:
    """After signal 9 the server ends its log before the bad message, and goes on from there."""
    server.kill()
    flip_a_bit(server)
    server.start()
    state = ask(server.url(), "STREAM.INFO.log", {})["state"]
    assert state["messages"] == state["last_seq"] < 3 * BAD, "the server says that all is well"

    whole, *findings = check(server)

    assert "but position 120 was seen in it before: the server lost records" in whole.detail
    with eventlog.open(server.url(stream="log")) as log:
        (finding,) = log.verify("b")
    assert (finding.stream, finding.version, finding.kind) == ("b", BAD, "damaged")
    assert [(finding.stream, finding.version) for finding in findings] == [
        ("a", BAD + 1),
        ("b", BAD),
        ("c", BAD),
    ]


def test_nothing_is_appended_to_a_log_that_lost_its_end(server: NatsServer) -> None:
    server.kill()
    flip_a_bit(server)
    server.start()
    before = ask(server.url(), "STREAM.INFO.log", {})["state"]["messages"]

    with eventlog.open(server.url(stream="log")) as log:
        for name in ("a", "new"):
            with pytest.raises(CorruptLog, match="was seen in it before"):
                log.session(name, create=True).append(Message.user("on"))
        with pytest.raises(CorruptLog):
            list(log.sessions())

    assert ask(server.url(), "STREAM.INFO.log", {})["state"]["messages"] == before


def test_a_log_that_is_in_use_when_its_end_is_lost_takes_nothing_more(server: NatsServer) -> None:
    """The process that wrote it knows what there was."""
    with closing(open_store(server.url(stream="log"))) as store:
        end = store.tip()
        server.kill()
        flip_a_bit(server)
        server.start()

        with pytest.raises(CorruptLog, match=f"but position {end} was seen in it before"):
            store.append([draft("new")])
        with pytest.raises(CorruptLog):
            store.tip()


def test_sequences_that_were_given_away_twice_are_noticed(server: NatsServer) -> None:
    """Others, who knew nothing, have appended until the log was as long as before."""
    server.kill()
    flip_a_bit(server)
    server.start()
    for number in range(100):
        store_as_a_stranger(server, number)

    with eventlog.open(server.url(stream="log")) as log:
        with pytest.raises(CorruptLog):
            log.session("new", create=True).append(Message.user("on"))
        whole = log.store.check()[0]
    assert "position 120" in whole.detail


def store_as_a_stranger(server: NatsServer, number: int) -> None:
    """Store a record as another process does that has not seen the log before."""
    subject = "log.s.stranger"
    record = draft("stranger", 1, expected=number).records[0]
    message = encode(subject, record, EMPTY_HEAD.hash, b"")
    store_message(server.url(), subject, message.payload, dict(message.headers))
