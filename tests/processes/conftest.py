"""Separate processes that are controlled through pipes, and an account of their outcomes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.account import figures

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 600.0
"""How long a process may take that has hung: it is killed then, and its test fails."""

PIPE_BYTES = 4_096
"""How much a process may have said that nobody has read, before it waits: some hundred lines."""


class Script:
    """A running script of this folder: lines come out of it, and it can be killed at any time."""

    def __init__(
        self, name: str, arguments: tuple[str, ...], stderr: IO[str] | None = None
    ) -> None:
        path = Path(__file__).with_name(name)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            bufsize=1,
            pipesize=PIPE_BYTES,
        )
        self._patience = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        self._patience.start()

    def line(self) -> str:
        """Wait for a line and return it; empty when the process has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def lines(self, count: int) -> list[str]:
        """Wait for a number of lines, or for the end."""
        return [line for line in (self.line() for _ in range(count)) if line]

    def rest(self) -> list[str]:
        """Wait for the end, and return the lines until then."""
        assert self.process.stdout is not None
        lines = self.process.stdout.read().splitlines()
        self.process.wait()
        return lines

    def say(self, line: str) -> None:
        """Write a line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def kill(self) -> list[str]:
        """End it with signal 9; return what it had said that was not read yet."""
        self.process.kill()
        return self.rest()

    def end(self) -> None:
        self._patience.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Script]]:
    """Start scripts of this folder; whatever is left of them is ended after the test."""
    started: list[Script] = []

    def start_script(name: str, *arguments: object, stderr: IO[str] | None = None) -> Script:
        script = Script(name, tuple(str(argument) for argument in arguments), stderr)
        started.append(script)
        return script

    yield start_script
    for script in started:
        script.end()


@pytest.fixture
def account() -> Counter[str]:
    """What was done to processes so far, in figures."""
    return figures("processes")
