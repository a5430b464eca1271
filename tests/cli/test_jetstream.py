"""The command line on a JetStream log: nothing is created by a typing error, damage is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from eventlog.opening import public_url
from eventlog.testing.nats import NatsServer

if TYPE_CHECKING:
    from typing import Any

    CommandLine = Any  # Of this folder's conftest, which cannot be imported from here.


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer("authorization { user: ada, password: secret }\n") as server:
        yield server


def test_a_log_is_read_written_and_looked_over(run: CommandLine, server: NatsServer) -> None:
    url = f"nats://ada:secret@127.0.0.1:{server.port}?stream=log"
    for _ in range(2):
        missing = run("--store", url, "ls")
        assert missing.code == 3
        assert missing.stderr.startswith("eventlog: no log in nats://ada:***@127.0.0.1")
    assert run("--store", url, "append", "s", "hello 1", "--create").code == 0
    assert run("--store", url, "ls").code == 0
    doctor = run("--store", url, "doctor", "--json")

    assert doctor.code == 0
    assert doctor.document["settings"]["replicas"] == "1"
    assert "secret" not in doctor.stdout + doctor.stderr


def test_a_token_is_not_shown() -> None:
    assert public_url("nats://s3cret@h1:1,h2:2?x=1") == "nats://***@h1:1,h2:2?x=1"
    assert public_url("nats://ada:s3cret@h1:1") == "nats://ada:***@h1:1"


def test_a_flipped_bit_is_an_exit_code_and_a_line(run: CommandLine, server: NatsServer) -> None:
    url = f"nats://ada:secret@127.0.0.1:{server.port}?stream=log"
    for number in range(1, 4):
        run("--store", url, "append", "s", f"hello {number}", "--create")
    server.stop()
    (block,) = server.blocks("log")
    data = block.read_bytes()
    block.write_bytes(data.replace(b"hello 2", b"hellO 2"))
    server.start()

    verified = run("--store", url, "verify", "s")

    assert verified.code == 1
    assert "version 3 is missing" in " ".join(verified.stdout.split())
