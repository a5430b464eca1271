"""`eventlog serve` over a real socket: the afternoon of the page, streams, slow peers, and the end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

import eventlog
from eventlog import Message
from eventlog.cli.application import application
from eventlog.http import Client

ROOT = Path(eventlog.__file__).parents[1]
EXPORTS = "export EVENTLOG_STORE=sqlite:///agent.db api=http://127.0.0.1:8137/api/v1"
"""What the page sets; here the server has a port of its own."""


@dataclass
class Server:
    """A server in a process, and its store."""

    process: subprocess.Popen[str]
    url: str
    store: str

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def started(folder: Path) -> Server:
    store = f"sqlite:///{folder}/agent.db"
    process = subprocess.Popen(
        [sys.executable, "-m", "eventlog", "--store", store, "serve", "--port", "0"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.match(r"serving at (http://127\.0\.0\.1:\d+); ", said)
    assert found, said + process.stderr.read()
    return Server(process, found[1], store)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = started(tmp_path_factory.mktemp("served"))
    yield server
    server.process.kill()
    server.process.communicate()


# ---- the page ---------------------------------------------------------------------------------


def commands(page: str) -> list[tuple[str, str]]:
    """Return the commands of a page's afternoon, each with what it prints."""
    afternoon = page.partition("## An afternoon with curl\n")[2].partition("\n## Who may")[0]
    blocks = re.findall(r"^```console\n(.*?)^```", afternoon, re.MULTILINE | re.DOTALL)
    found: list[tuple[str, str]] = []
    for block in blocks:
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = step.replace("\\\n", "").partition("\n")
            found.append((command, printed.strip()))
    return found


def test_the_afternoon_of_the_page_is_true(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    steps = commands(files(eventlog).joinpath("docs/http.md").read_text("utf-8"))
    assert len(steps) > 15
    assert steps.pop(0) == (EXPORTS, "")
    for command, expected in steps:
        if command.startswith("eventlog "):
            runner = CliRunner(env={"EVENTLOG_STORE": server.store, "COLUMNS": "200"})
            printed = runner.invoke(application, command.split()[1:]).stdout
        else:
            printed = subprocess.run(
                ["bash", "-c", command],
                env={**os.environ, "api": f"{server.url}/api/v1"},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        pattern = ".*".join(re.escape(piece) for piece in expected.split("…"))
        assert re.fullmatch(pattern, printed.strip(), re.DOTALL), f"$ {command}\n{printed}"


# ---- streams, slow peers, and the end ---------------------------------------------------------


def test_a_client_follows_what_another_process_writes(server: Server) -> None:
    with eventlog.open(server.store) as log, Client(server.url) as client:
        session = client.session("followed", create=True)
        events = client.follow("followed")
        assert next(events).type == "session_created"
        for number in range(3):
            log.session("followed").append(Message.user(f"{number}"))
            assert next(events).version == number + 2
        session.close()
        assert [entry.type for entry in events] == ["session_closed"]


def test_a_follower_finds_a_session_that_does_not_exist_missing(server: Server) -> None:
    with Client(server.url) as client, pytest.raises(eventlog.SessionNotFound):
        next(client.follow("nobody"))


def test_half_a_request_keeps_nobody_else_waiting(server: Server) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    header = b"POST /api/v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    body = b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    half = [header, header + body]
    peers = [socket.create_connection((host, int(port))) for _ in range(20)]
    try:
        for number, peer in enumerate(peers):
            peer.sendall(half[number % 2])
        with Client(server.url) as client:
            assert not client.exists("served meanwhile")
    finally:
        for peer in peers:
            peer.close()


def test_a_large_body_is_refused_before_it_is_there(server: Server) -> None:
    """100 MB of which nearly nothing is read: the answer comes while the body is being sent."""

    def endless() -> Iterator[bytes]:
        yield b'{"role": "user", "content": "'
        for _ in range(100):
            yield b"x" * 1_000_000

    before = resident(server)
    try:
        answer: Any = httpx2.post(
            f"{server.url}/api/v1/sessions/s/messages",
            content=endless(),
            headers={"Content-Type": "application/json"},
            timeout=30,
        )
        assert answer.status_code == 413
    except httpx2.TransportError:
        pass  # The server closed the connection before the client had finished sending.
    assert resident(server) - before < 60_000_000


def resident(server: Server) -> int:
    """Return the memory of a server in bytes."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_a_server_that_is_stopped_ends_its_streams_and_exits_with_0(tmp_path: Path) -> None:
    server = started(tmp_path)
    headers = {"Accept": "text/event-stream"}
    with Client(server.url) as client:
        client.session("s", create=True)
    url = f"{server.url}/api/v1/sessions/s/events"
    with httpx2.stream("GET", url, headers=headers, timeout=30) as response:
        lines = response.iter_lines()
        assert next(lines) == "retry: 1000"
        assert server.stop() == 0
        assert [line for line in lines if line.startswith("id: ")] == ["id: 1"]
    assert server.process.stderr is not None
    assert server.process.stderr.read() == ""
    server.process.stderr.close()
