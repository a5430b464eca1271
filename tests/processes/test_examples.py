"""The programs of `eventlog.examples` as real processes: killed, with 50 clients, with poison."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import Message
from tests.processes.conftest import Script

pytest.importorskip("starlette")

CLIENTS = 50
QUESTIONS = 3
PATIENCE_SECONDS = 120.0
"""How long a client waits: longer than any answer takes, on a machine with other work."""

START = Callable[..., Script]


def call(port: int, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Send one request; return status and document."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def ask(port: int, chat: str, name: str, text: str) -> str:
    status, document = call(port, "POST", f"/chats/{chat}", {"id": name, "text": text})
    assert status == 200, document
    return str(document["answer"])


def wait_for(url: str, *types: str) -> None:
    """Wait until an event of one of these types is in the log."""
    with eventlog.open(url) as log:
        next(iter(log.follow(None, types)))


@contextmanager
def example(module: str, *arguments: str) -> Generator[subprocess.Popen[str]]:
    """Run an example by its name, as its docstring says."""
    root = str(Path(eventlog.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", f"eventlog.examples.{module}", *arguments],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def port_of(process: subprocess.Popen[str]) -> int:
    """Return the port of a service, once it serves."""
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise AssertionError("".join(said))


# ---- killed -----------------------------------------------------------------------------------


def test_nothing_is_lost_or_doubled_when_the_service_is_killed_under_50_clients(
    tmp_path: Path, start: START
) -> None:
    """Every client asks again what it has no answer to, as any client does; some ask all again."""
    url = f"sqlite:///{tmp_path}/chat.db"
    service = start("chatting.py", url)
    port = int(service.line())
    answered: dict[tuple[str, str], str] = {}

    def client(number: int) -> None:
        for question in range(QUESTIONS):
            chat, name = f"chat-{number}", f"q-{question}"
            try:
                answered[chat, name] = ask(port, chat, name, f"{chat} asks {question}")
            except (OSError, http.client.HTTPException):
                return  # The service is gone.
            if len(answered) == CLIENTS:
                service.process.kill()

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client, range(CLIENTS)))
    before = dict(answered)
    assert CLIENTS <= len(before) < CLIENTS * QUESTIONS
    service.rest()

    port = int(start("chatting.py", url).line())

    def client_again(number: int) -> None:
        for question in range(QUESTIONS):
            chat, name = f"chat-{number}", f"q-{question}"
            answered[chat, name] = ask(port, chat, name, f"{chat} asks {question}")

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client_again, range(CLIENTS)))

    assert {key: answered[key] for key in before} == before
    assert len(answered) == CLIENTS * QUESTIONS
    for number in range(CLIENTS):
        _, messages = call(port, "GET", f"/chats/chat-{number}")
        asked = [each["text"] for each in messages if each["role"] == "user"]
        said = [each["text"] for each in messages if each["role"] == "assistant"]
        assert asked == [f"chat-{number} asks {question}" for question in range(QUESTIONS)]
        assert said == [answered[f"chat-{number}", f"q-{each}"] for each in range(QUESTIONS)]
    with eventlog.open(url) as log:
        assert [found for chat in log.sessions() for found in log.verify(chat)] == []
    status, health = call(port, "GET", "/health")
    assert (status, health["working"], health["blocked_sessions"]) == (200, True, 0)


def test_another_question_under_an_id_that_was_used_is_refused(
    tmp_path: Path, start: START
) -> None:
    port = int(start("chatting.py", f"sqlite:///{tmp_path}/chat.db").line())
    ask(port, "ada", "q", "one")
    assert call(port, "POST", "/chats/ada", {"id": "q", "text": "two"})[0] == 409
    assert call(port, "POST", "/chats/ada", {"id": "q"})[0] == 422
    assert call(port, "GET", "/chats/eve")[0] == 404
    assert [
        each["text"] for each in call(port, "GET", "/chats/ada")[1] if each["role"] == "user"
    ] == ["one"]


def test_a_disk_that_takes_no_more_refuses_questions_and_loses_none_that_was_answered(
    tmp_path: Path, start: START
) -> None:
    url = f"sqlite:///{tmp_path}/chat.db"
    full = start("chatting.py", url, 600_000)
    port = int(full.line())
    answered: list[str] = []
    refused: dict[str, Any] = {}
    while not refused:
        name = f"q-{len(answered)}"
        body = {"id": name, "text": f"{name} {'x' * 15_000}"}
        status, document = call(port, "POST", "/chats/ada", body)
        if status == 200:
            answered.append(name)
        else:
            refused = document
            assert status == 503, document
    assert "disk" in refused["error"]
    assert answered
    assert call(port, "GET", "/health")[0] == 200  # Whoever reads is served.
    full.kill()

    port = int(start("chatting.py", url).line())  # Somebody made room.
    for name in (*answered, f"q-{len(answered)}"):
        ask(port, "ada", name, f"{name} {'x' * 15_000}")
    _, messages = call(port, "GET", "/chats/ada")
    asked = [each["text"].split()[0] for each in messages if each["role"] == "user"]
    assert asked == [*answered, f"q-{len(answered)}"]
    assert len(messages) == 2 * len(asked)


# ---- poisoned ---------------------------------------------------------------------------------


def test_a_poisoned_archive_is_seen_and_stops_no_chat_and_is_cured(
    tmp_path: Path, start: START
) -> None:
    url = f"sqlite:///{tmp_path}/chat.db"
    log_file = tmp_path / "service.log"
    with log_file.open("w") as lines:
        service = start("chatting.py", url, stderr=lines)
    port = int(service.line())
    for number in range(2):
        ask(port, "bad", f"q-{number}", "poison")
    wait_for(url, "archive_failed")

    status, health = call(port, "GET", "/health")
    assert (status, health["working"], health["blocked_sessions"]) == (200, True, 1)
    for number in range(2, 6):  # The chat goes on, and so do others.
        ask(port, "bad", f"q-{number}", "more")
        ask(port, "good", f"q-{number}", "hello")
    wait_for(url, "archive_finalized")
    said = log_file.read_text()
    assert said.count("automatic_commits_blocked") == 1  # And not once per message.
    assert "210,000 tokens" in said

    service.process.send_signal(signal.SIGTERM)
    service.rest()
    port = int(start("chatting.py", url, "cured").line())
    with eventlog.open(url) as log:
        bad = log.session("bad")
        tokens = log.checkpoint()
        bad.retry("archive_001", actor="ops", reason="the prompt was shortened")
        finalized = next(
            found for found in log.follow(tokens, ["archive_finalized"]) if found.stream == "bad"
        )
        event: Any = finalized.event
        assert event.archive == 1
        assert len(bad.history()) == 12
    assert call(port, "GET", "/health")[1]["blocked_sessions"] == 0


# ---- by their names ---------------------------------------------------------------------------


def test_service_and_worker_run_as_two_processes_and_end_on_sigterm(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/chat.db"
    with example("chat_service", url, "--port", "0", "--no-worker") as service:
        port = port_of(service)
        answers = [ask(port, "ada", f"q-{number}", "How do I deploy?") for number in range(2)]
        assert answers == ["You said: How do I deploy? "] * 2
        with eventlog.open(url) as log:
            log.session("ada").commit(keep_recent=1)
            with example("worker_process", url) as worker:
                assert worker.stdout is not None
                assert f"works on {url}" in worker.stdout.readline()
                next(iter(log.follow(None, ["archive_finalized"])))
                worker.send_signal(signal.SIGTERM)
                assert worker.wait(PATIENCE_SECONDS) == 0
            overview = log.session("ada").context().latest_archive_overview
            assert overview.startswith("- user: How do I deploy?")
        assert call(port, "GET", "/health")[1]["queue_depth"] == 0
        service.send_signal(signal.SIGTERM)
        assert service.wait(PATIENCE_SECONDS) in (0, -signal.SIGTERM)
        assert service.stdout is not None
        assert "Application shutdown complete" in service.stdout.read()


def test_a_worker_that_was_killed_is_replaced_at_once(tmp_path: Path) -> None:
    """Its lease of five minutes is not waited for: the process is proven dead."""
    url = f"sqlite:///{tmp_path}/chat.db"
    with eventlog.open(url) as log:
        session = log.session("ada", create=True)
        session.append(Message.user("hello"))
        task = session.commit().task_id
        assert task is not None
        with example("worker_process", url) as worker:
            next(iter(log.follow(None, ["task_claimed", "archive_finalized"])))
            worker.kill()
        with example("worker_process", url, "--once") as again:
            assert again.wait(PATIENCE_SECONDS) == 0
        assert log.task(task).state == "completed"
