"""kill -9 of an agent's loop, which is started again until it is done: exact with turns (T1 to T3).

``python -m tests.processes.test_turns 40 5`` does it with 40 turns, five times.
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

import pytest

import eventlog

LOOP = Path(__file__).with_name("looping.py")
TURNS = 6
KILLS = 8


class Outcome(NamedTuple):
    """What a loop has done in the end."""

    kills: int
    doubled: int
    """Inputs that are there more than once."""
    missing: int
    orphans: int
    """Calls that await a result."""
    calls: int
    """Calls that were paid for."""
    findings: int


def run_until_done(
    folder: Path, kind: str, turns: int, kills: int, seed: int, url: str | None = None
) -> Outcome:
    """Run the loop, kill it at random, and start it again until it has come to its end."""
    draw, bill = random.Random(seed), folder / "bill"
    url = url or f"sqlite:///{folder}/log.db"
    killed = 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(LOOP), url, str(bill), str(turns), kind],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout:
            if killed < kills:
                for _ in range(draw.randint(0, 2)):  # So many turns are waited for.
                    process.stdout.readline()
                pause = time.perf_counter() + draw.random() * 0.02
                while time.perf_counter() < pause:  # Less than a turn takes: in the middle of one.
                    pass
                process.kill()
                killed += 1
            process.stdout.read()
        if process.wait() == 0:
            return _outcome(url, bill, turns, killed)


def _outcome(url: str, bill: Path, turns: int, killed: int) -> Outcome:
    with eventlog.open(url) as log:
        session = log.session("s")
        texts = Counter(message.text for message in session.tail() if message.text)
        parts = [part.model_dump() for message in session.tail() for part in message.parts]
        return Outcome(
            kills=killed,
            doubled=sum(count - 1 for count in texts.values()),
            missing=sum(not texts[f"input of t{number}"] for number in range(turns)),
            orphans=sum(part.get("tool_status") == "pending" for part in parts),
            calls=len(bill.read_text().splitlines()),
            findings=len(log.verify("s")),
        )


@pytest.mark.parametrize("kind", ["turns", "ids"])
def test_a_loop_of_turns_is_exact_however_often_it_is_killed(tmp_path: Path, kind: str) -> None:
    found = run_until_done(tmp_path, kind, TURNS, KILLS, seed=7)

    assert found.kills > KILLS // 2  # A loop may come to its end before the last of them.
    assert found._replace(kills=0, calls=0) == Outcome(0, 0, 0, 0, 0, 0)
    assert TURNS <= found.calls <= TURNS + found.kills


def main(turns: int, times: int, url: str | None = None) -> None:
    """Print what becomes of loops with turns and of one without, killed as often as they have turns.

    ``url`` names a PostgreSQL server; each loop gets a schema of its own there.
    """
    for kind in ("turns", "ids", "plain"):
        for seed in range(times):
            own = None if url is None else f"{url}?schema=loop_{kind}_{seed}"
            with TemporaryDirectory() as folder:
                print(kind, seed, run_until_done(Path(folder), kind, turns, turns, seed, own))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:4])
