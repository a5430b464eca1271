"""The example agent on the fake model server, under a script of faults: what a user would build."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import eventlog
from eventlog import Log, Message, Provider, RetryPolicy, Supervisor
from eventlog.examples import agent
from eventlog.forensics.event_lines import gist
from eventlog.testing.model_server import (
    Breaks,
    Busy,
    CutOff,
    FakeModelServer,
    ModelRequest,
    Reply,
    Says,
    Stalls,
    TooLong,
)
from tests.runs.driving import check

if TYPE_CHECKING:
    from pathlib import Path

PLAN, ANSWER = Says("the ", "plan"), Says("the ", "answer")


class Told(NamedTuple):
    """What a script of faults came to."""

    states: list[str]
    texts: list[str]
    requests: int
    types: Counter[str]
    error: str | None


def served(
    log: Log, monkeypatch: pytest.MonkeyPatch, *script: Reply, queued: int = 1, timeout: float = 10
) -> Told:
    """Queue messages, and have the agent answer them from a script, without waiting in between."""
    monkeypatch.setattr(agent, "CALLS", RetryPolicy(attempts=4, base_seconds=0))
    session = log.session("s", create=True)
    for number in range(queued):
        session.enqueue(Message.user(f"question {number}", id=f"m{number}"))
    with FakeModelServer(script, afterwards=usual) as server:
        model = agent.Model(server.url, timeout)
        restarts = eventlog.RestartPolicy(delays=(0,))
        supervisor = Supervisor(
            log, agent.answer, [Provider("fake", model, model.is_there)], restarts=restarts
        )
        asyncio.run(supervisor.run_once())
        runs = list(log.runs("s"))
        check(log)
        return Told(
            [run.state for run in runs],
            [message.text for message in session.tail()],
            len(server.requests),
            Counter(recorded.type for recorded in log.read("s")),
            runs[0].error,
        )


def usual(request: ModelRequest) -> Says:
    return ANSWER if request.streams else PLAN


def test_an_answer_costs_two_calls(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    told = served(log, monkeypatch, queued=3)
    assert told.states == ["completed"] * 3
    assert told.texts == [
        *("question 0", "the answer", "question 1", "the answer", "question 2", "the answer"),
    ]
    assert told.requests == 6


def test_a_server_that_breaks_is_called_again_within_the_attempt(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = served(log, monkeypatch, Breaks(), Busy(0), Breaks(503), PLAN, ANSWER)
    assert (told.states, told.texts) == (["completed"], ["question 0", "the answer"])
    assert (told.requests, told.types["model_called"], told.types["run_crashed"]) == (5, 4, 0)


def test_an_answer_that_breaks_off_is_asked_for_again_and_the_plan_is_not(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = served(log, monkeypatch, PLAN, CutOff("the ", "ans"), CutOff("th"), ANSWER)
    assert (told.states, told.texts) == (["completed"], ["question 0", "the answer"])
    assert (told.requests, told.types["run_crashed"]) == (4, 2)
    assert told.types["message_interrupted"] == 2


def test_a_model_that_hangs_is_given_up_and_asked_again(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = served(log, monkeypatch, PLAN, Stalls("the "), ANSWER, timeout=0.3)
    assert (told.states, told.requests) == (["completed"], 3)


def test_a_prompt_that_is_too_long_ends_the_run_at_once(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = served(log, monkeypatch, TooLong(), queued=2)
    assert told.states == ["failed", "completed"]
    assert told.requests == 3
    assert "too long" in (told.error or "")


def test_a_budget_is_never_exceeded(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four attempts; the plan is paid once."""
    told = served(log, monkeypatch, PLAN, *[Breaks()] * 100)
    assert told.states == ["failed"]
    assert told.requests == 1 + 4


def test_every_event_is_explained(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    served(log, monkeypatch, Breaks(), PLAN, CutOff("th"), ANSWER)
    lines = {recorded.type: gist(recorded) for recorded in log.read("s")}
    assert "waits for a run: user: question 0" in lines["message_enqueued"]
    assert lines["run_started"].startswith("attempt 2 on fake by supervisor-")
    assert "broke off" in lines["run_crashed"]
    assert lines["model_called"] == "plan, try 2 succeeded"
    assert lines["run_completed"] == "attempt 2: the run is done"


def started(url: str, *models: str, once: bool = True) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "eventlog.examples.agent", "--store", url]
    command += [part for model in models for part in ("--model", model)]
    return subprocess.Popen(
        [*command, *(["--once"] if once else [])], stdout=subprocess.PIPE, text=True
    )


def test_a_model_that_is_gone_is_replaced_by_the_next(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'agent.db'}"
    with eventlog.open(url) as log, FakeModelServer(afterwards=usual) as server:
        log.session("s", create=True, provider="first").enqueue(Message.user("question"))
        process = started(url, "first=http://127.0.0.1:9/v1", f"second={server.url}")
        assert process.communicate(timeout=60)[0] == "1 answered\n"
        (run,) = log.runs()
        assert (run.state, run.provider) == ("completed", "second")


def test_sigterm_under_load_leaves_no_lease_and_the_next_start_goes_on(tmp_path: Path) -> None:
    """R7: in a real process, with eight streams that are being read."""
    url, sessions = f"sqlite:///{tmp_path / 'agent.db'}", [f"s{number}" for number in range(8)]

    def reply(request: ModelRequest) -> Any:
        return Stalls("so ", "far") if request.streams else PLAN

    with eventlog.open(url) as log:
        for name in sessions:
            log.session(name, create=True).enqueue(Message.user("question"))
        with FakeModelServer(afterwards=reply) as server:
            process = started(url, f"fake={server.url}", once=False)
            chunks = log.follow(types=["chunk_appended"])
            seen: set[str] = set()
            while len(seen) < len(sessions):
                seen.add(next(chunks).stream)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
            process.communicate()
        for name in sessions:
            session = log.session(name)
            (run,) = log.runs(name)
            assert (run.state, run.restarts) == ("idle", 0)
            last = session.tail()[-1]
            assert (last.text, last.model_extra) == ("so far", {"interrupted": True})
            assert session.streams() == ()
            types = [recorded.type for recorded in log.read(name)]
            assert types.count("message_interrupted") == types.count("run_released") == 1
        assert log.health().running == 0

        with FakeModelServer(afterwards=usual) as server:
            assert started(url, f"fake={server.url}").communicate(timeout=60)[0] == "8 answered\n"
        for name in sessions:
            texts = [message.text for message in log.session(name).tail()]
            assert texts == ["question", "the answer"]
            check(log, name)
