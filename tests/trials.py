"""Trials in children of one process: a trial that hangs or is killed ends that process alone.

The process imports what all trials need once, and forks for each of them.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Trials", "serve"]

TREE = Path(__file__).parents[1]

PATIENCE = 240
"""Seconds after which a trial counts as hung; only a failure takes so long."""


class Trials:
    """A program that serves trials, started at the first one, and again after one that hung."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._process: subprocess.Popen[str] | None = None

    def lines(self, place: Path, *arguments: object) -> list[Any]:
        """Make a trial in a folder; return the lines of JSON that it said, if it ended well."""
        code = self._exit_code(str(place), *arguments)
        assert code == 0, (place / "errors").read_text()
        return [json.loads(line) for line in (place / "said").read_text().splitlines()]

    def _exit_code(self, *request: object) -> int:
        """Return how the child of a trial ended: with signal 9 if it hung."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{json.dumps(request)}\n")
        process.stdin.flush()
        if select.select([process.stdout], [], [], PATIENCE)[0]:
            return int(process.stdout.readline())
        self.end()
        return -signal.SIGKILL

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, str(self._program)],
            cwd=TREE,
            env={**os.environ, "PYTHONPATH": str(TREE)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # So that its children end with it.
        )
        return self._process

    def end(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None


def serve(trial: Callable[..., None]) -> None:
    """Call ``trial`` in a forked child for each line that comes in, until no more comes.

    A line is a JSON list: the folder of the trial, and its other arguments. What it prints is in the
    file ``said`` of the folder, and what it writes to stderr in ``errors``; the line that goes out when
    the child has ended is its exit code.
    """
    for line in sys.stdin:
        place, *rest = json.loads(line)
        print(_in_a_child(trial, Path(place), *rest), flush=True)


def _in_a_child(trial: Callable[..., None], place: Path, *rest: Any) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        for descriptor, name in ((1, "said"), (2, "errors")):
            os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT), descriptor)
        trial(place, *rest)
        code = 0
    except BaseException:  # noqa: BLE001 - whoever asked reads it
        traceback.print_exc()
    finally:
        os._exit(code)
