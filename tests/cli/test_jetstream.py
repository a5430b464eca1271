"""The command line on a JetStream log: a typing error creates nothing, damage is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import Message
from eventlog.store_url import public_url
from eventlog.testing.servers.nats import NatsServer

if TYPE_CHECKING:
    CommandLine = Any  # Of this folder's conftest, which cannot be imported from here.


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer("authorization { user: ada, password: secret }\n") as server:
        yield server


def test_a_log_is_read_written_looked_over_and_copied(
    run: CommandLine, server: NatsServer, tmp_path: Path
) -> None:
    url = f"nats://ada:secret@127.0.0.1:{server.port}?stream=log"
    for _ in range(2):
        missing = run("--store", url, "ls")
        assert missing.code == 3
        assert missing.stderr.startswith("eventlog: no log in nats://[redacted]@127.0.0.1")
    assert run("--store", url, "append", "s", "hello 1", "--create").code == 0
    assert run("--store", url, "ls").code == 0
    doctor = run("--store", url, "doctor", "--json")

    assert doctor.code == 0
    assert doctor.document["settings"]["replicas"] == "1"
    copied = run("copy", url, f"files:///{tmp_path / 'copy'}", "--json")
    assert copied.document["records"] == 2
    assert "secret" not in doctor.stdout + doctor.stderr + copied.stdout + copied.stderr


def test_a_token_is_not_shown() -> None:
    assert public_url("nats://s3cret@h1:1,h2:2?x=1") == "nats://***@h1:1,h2:2?x=1"
    assert public_url("nats://ada:s3cret@h1:1") == "nats://ada:***@h1:1"


@pytest.fixture
def damaged(server: NatsServer) -> Callable[[Callable[[], None]], str]:
    """Flip a bit of session ``s``, version 3, while the server is down, however that is ended.

    Returns the URL of the log, which goes on in another session behind it.
    """

    def damage(end: Callable[[], None]) -> str:
        url = f"nats://ada:secret@127.0.0.1:{server.port}?stream=log"
        with eventlog.open(url) as log:
            for name in ("r", "s", "t"):
                for number in range(1, 4):
                    message = Message.user(f"hello {number} of {name}")
                    log.session(name, create=True).append(message)
        end()
        (block,) = server.blocks("log")
        data = block.read_bytes()
        block.write_bytes(data.replace(b"hello 2 of s", b"hellO 2 of s"))
        server.start()
        return url

    return damage


def named(document: dict[str, Any]) -> list[tuple[str | None, int | None]]:
    return [(found["session_id"], found["version"]) for found in document["findings"]]


def test_a_flipped_bit_is_an_exit_code_and_a_line(
    run: CommandLine, server: NatsServer, damaged: Callable[[Callable[[], None]], str]
) -> None:
    url = damaged(server.stop)

    verified = run("--store", url, "verify", "s")

    assert verified.code == 1
    assert "version 3 is missing" in " ".join(verified.stdout.split())


def test_a_log_with_a_hole_is_verified_on_both_sides_of_it(
    run: CommandLine, server: NatsServer, damaged: Callable[[Callable[[], None]], str]
) -> None:
    """A1: session and version are named, and the place in the log; all others are as they were."""
    url = damaged(server.stop)

    verified = run("--store", url, "verify", "--json")

    assert verified.code == 1
    assert named(verified.document) == [("s", 3), (None, None)]
    assert "position 7 is missing" in verified.document["findings"][1]["detail"]
    assert (verified.document["sessions"], verified.document["events"]) == (3, 12)
    assert run("--store", url, "verify", "t").code == 0


def test_an_end_that_was_lost_is_named_by_session_and_version(
    run: CommandLine, server: NatsServer, damaged: Callable[[Callable[[], None]], str]
) -> None:
    url = damaged(server.kill)

    verified = run("--store", url, "verify", "--json")

    assert verified.code == 1
    assert named(verified.document) == [("s", 3), ("t", 1), (None, None)]
    assert "but position 12 was seen in it before" in verified.document["findings"][2]["detail"]
    for session, version in (("s", 3), ("t", 1)):
        alone = run("--store", url, "verify", session, "--json")
        assert (alone.code, named(alone.document)) == (1, [(session, version)])
    assert run("--store", url, "verify", "u").code == 1  # What was lost may have been of it.
