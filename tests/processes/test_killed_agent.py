"""kill -9 of the example agent at random moments, between the faults of its model (R1, R4).

``python -m tests.processes.test_killed_agent 10 5`` does it with ten kills, five times.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import eventlog
from eventlog import Message
from eventlog.testing.model_server import Breaks, CutOff, FakeModelServer, ModelRequest, Says

QUEUED = 2


class Outcome(NamedTuple):
    """What became of the queue."""

    states: list[str]
    doubled: int
    missing: int
    kills: int
    calls: int
    budget: int
    """The most calls that as many attempts may make."""
    findings: int


def answered(folder: Path, kills: int, seed: int) -> Outcome:
    """Have the agent answer a queue, and kill it at random until it was killed so often."""
    draw, url, killed = random.Random(seed), f"sqlite:///{folder / 'agent.db'}", 0

    def reply(request: ModelRequest) -> Says | Breaks | CutOff:
        if draw.random() < 0.1:
            return Breaks(503) if draw.random() < 0.5 else CutOff("so ", "far")
        return Says("the ", "answer") if request.streams else Says("plan")

    with FakeModelServer(afterwards=reply) as server, eventlog.open(url) as log:
        session = log.session("s", create=True)
        for number in range(QUEUED):
            session.enqueue(Message.user(f"question {number}", id=f"m{number}"))
        while any(run.state in ("idle", "running", "backing_off") for run in log.runs()):
            before = log.position()
            process = _started(url, server.url)
            if killed < kills:
                wanted = draw.randint(1, 9)  # So many events are waited for, or its end.
                while process.poll() is None:
                    if len(list(log.read_all(after=before, limit=wanted))) == wanted:
                        break
                    time.sleep(0.01)
                process.kill()
                killed += 1
            process.wait()
            _wait_for_what_is_due(log)
        texts = Counter(message.text for message in session.refresh() and session.tail())
        runs = list(log.runs())
        return Outcome(
            states=[run.state for run in runs],
            doubled=sum(texts[f"question {number}"] > 1 for number in range(QUEUED)),
            missing=sum(not texts[f"question {number}"] for number in range(QUEUED)),
            kills=killed,
            calls=len(server.requests),
            budget=sum(run.attempt * 5 for run in runs),
            findings=len(log.verify("s")),
        )


def _started(url: str, model: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "error", "-m", "eventlog.examples.agent", "--once"]
    command += ["--store", url, "--model", f"fake={model}", "--timeout", "5"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for_what_is_due(log: eventlog.Log) -> None:
    """Wait for the restart that is next: the agent looks once and ends."""
    due = [run.due_at for run in log.runs(state="backing_off")]
    while due and min(due) > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()):
        time.sleep(0.05)


def test_a_killed_agent_answers_each_message_once(tmp_path: Path) -> None:
    found = answered(tmp_path, 1, seed=11)
    assert (found.doubled, found.missing, found.kills, found.findings) == (0, 0, 1, 0)
    assert set(found.states) <= {"completed", "failed"}
    assert found.calls <= found.budget


if __name__ == "__main__":
    for number in range(int(sys.argv[2])):
        with TemporaryDirectory() as folder:
            print(answered(Path(folder), int(sys.argv[1]), number))
