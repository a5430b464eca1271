"""kill -9 of supervisors that share a store: each queued message is answered once, in order (R4, R5).

``python -m tests.processes.test_supervising URL 3 60 64 8`` does it with three supervisors, one of
which is killed every second for a minute, over 64 sessions with 8 messages each.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import eventlog
from eventlog import Log, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPERVISOR = Path(__file__).with_name("supervising.py")


class Outcome(NamedTuple):
    """What came of the queues."""

    completed: int
    unfinished: int
    wrong: int
    """Sessions whose messages are not each question and its answers, once and in order."""
    kills: int
    restarts: int
    paid: int
    findings: int


class Supervisors:
    """Processes that share a store; one that is killed is replaced."""

    def __init__(self, url: str, bill: Path, count: int, seed: int) -> None:
        self._url, self._bill, self._draw = url, bill, random.Random(seed)
        self._processes = [self._started() for _ in range(count)]
        self.kills = 0

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "error", str(SUPERVISOR), self._url, str(self._bill)]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def kill_one_that_works(self) -> None:
        """Wait until a supervisor is ready, and kill it: on a busy machine that takes seconds."""
        place = self._draw.randrange(len(self._processes))
        stdout = self._processes[place].stdout
        assert stdout is not None
        assert isinstance(stdout, BufferedReader)
        stdout.peek(1)
        self._kill(place)

    def kill_one(self) -> None:
        self._kill(self._draw.randrange(len(self._processes)))

    def _kill(self, place: int) -> None:
        self._processes[place].kill()
        self._processes[place].communicate()
        self._processes[place] = self._started()
        self.kills += 1

    def close(self) -> None:
        """Stop all; each exits 0."""
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.terminate()
            process.communicate(timeout=60)
            assert process.returncode == 0


def queue(log: Log, sessions: int, messages: int) -> None:
    for name in map(str, range(sessions)):
        session = log.session(name, create=True)
        for number in range(messages):
            session.enqueue(Message.user(f"question {number}", id=f"m{number}"))


def outcome(log: Log, sessions: int, messages: int, bill: Path, kills: int) -> Outcome:
    runs = list(log.runs())
    expected = [
        text
        for number in range(messages)
        for text in (
            f"question {number}",
            f"answer to question {number}",
            f"done with question {number}",
        )
    ]
    found = [
        [message.text.strip() for message in log.session(str(name)).tail()]
        for name in range(sessions)
    ]
    return Outcome(
        completed=sum(run.state == "completed" for run in runs),
        unfinished=sum(run.state != "completed" for run in runs),
        wrong=sum(texts != expected for texts in found),
        kills=kills,
        restarts=sum(run.restarts for run in runs),
        paid=len(bill.read_text().splitlines()),
        findings=sum(len(log.verify(str(name))) for name in range(sessions)),
    )


def ends(log: Log, after: eventlog.Position) -> Iterator[int]:
    """Yield how many runs are over, whenever another one is."""
    types = ["run_completed", "run_failed", "run_abandoned", "run_cancelled"]
    for count, _ in enumerate(log.follow(after, types), 1):
        yield count


def test_supervisors_that_are_killed_answer_each_message_once_and_in_order(
    tmp_path: Path,
) -> None:
    url, bill = f"sqlite:///{tmp_path / 'log.db'}", tmp_path / "bill"
    sessions, messages = 3, 2
    with eventlog.open(url) as log, ExitStack() as stack:
        queue(log, sessions, messages)
        after = log.position()
        supervisors = Supervisors(url, bill, 2, seed=7)
        stack.callback(supervisors.close)
        for count in ends(log, after):
            if count == sessions * messages:
                break
            if count in (1, 3):
                supervisors.kill_one()
        stack.close()
        found = outcome(log, sessions, messages, bill, supervisors.kills)

    assert (found.completed, found.unfinished, found.wrong) == (sessions * messages, 0, 0)
    assert (found.kills, found.findings) == (2, 0)
    assert found.paid <= sessions * messages + found.restarts


def main(url: str, count: int, seconds: float, sessions: int, messages: int) -> Outcome:
    """Kill one of the supervisors every second, then let the rest be answered."""
    with TemporaryDirectory() as folder, eventlog.open(url) as log:
        bill = Path(folder) / "bill"
        queue(log, sessions, messages)
        after = log.position()
        supervisors = Supervisors(url, bill, count, seed=1)
        try:
            begun = time.monotonic()
            while time.monotonic() < begun + seconds:
                time.sleep(1)
                supervisors.kill_one_that_works()
            over = sum(run.state in ("completed", "failed", "abandoned") for run in log.runs())
            print(f"{over} of {sessions * messages} are over after {supervisors.kills} kills")
            for ended in ends(log, after):
                if ended == sessions * messages:
                    break
        finally:
            supervisors.close()
        return outcome(log, sessions, messages, bill, supervisors.kills)


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *map(int, sys.argv[4:6])))
