"""Fixtures that run the command line: in this process if that is enough, otherwise in a new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import eventlog
from eventlog.cli.application import application

FINALIZERS = """
import asyncio
import os
import signal

from eventlog import Finalizer, NonRetryableError, RetryableError, Summary


def refuse(request):
    raise NonRetryableError("prompt is too long: 210,000 tokens")


def lose(request):
    raise RetryableError("connection reset by peer")


def describe(request):
    return Summary(overview=f"# {len(request.messages)} messages", abstract="mine")


async def be_stopped(request):
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(30):  # The event loop takes notice of the signal, then the worker.
        await asyncio.sleep(0)
    return describe(request)


refusing = Finalizer(refuse)
losing = Finalizer(lose)
describing = Finalizer(describe)
stopped = Finalizer(be_stopped)
nothing = object()
"""
"""A module with a user's own finalizers, for ``work --finalizer``."""


@dataclass(frozen=True)
class Answer:
    """What a command said, and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout; fails if there is more or less."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class CommandLine:
    """Runs ``eventlog --store URL …`` in a new folder."""

    folder: Path
    store: str

    def __call__(self, *words: str, stdin: str | bytes = "") -> Answer:
        """Run a command in this process."""
        environment = {"EVENTLOG_STORE": self.store, "COLUMNS": None, "FORCE_COLOR": None}
        result = CliRunner(env=environment).invoke(
            application, list(words), input=stdin, prog_name="eventlog"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    def json(self, *words: str, stdin: str = "") -> Any:
        """Run a command that must succeed, with ``--json``; return its document."""
        answer = self(*words, "--json", stdin=stdin)
        assert answer.code == 0, answer.stderr
        return answer.document

    def spawn(
        self, *words: str, environment: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a command in a new process, as a shell does."""
        root = str(Path(eventlog.__file__).parents[1])
        given = {"EVENTLOG_STORE": self.store, "PYTHONPATH": root, **(environment or {})}
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [sys.executable, "-m", "eventlog", *words],
            cwd=self.folder,
            env={**os.environ, **given},
            text=True,
            **{**streams, **options},
        )

    def file(self, name: str, *lines: object) -> str:
        """Write a file of JSON Lines, or of text where a line is text; return its path."""
        text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in text), "utf-8")
        return str(path)

    def database(self) -> Path:
        """Return the file behind the store."""
        return Path(self.store.removeprefix("sqlite:///"))


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """The command line on a store that does not exist yet."""
    return CommandLine(tmp_path, f"sqlite:///{tmp_path}/agent.db")


@pytest.fixture
def finalizers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module with a user's own finalizers."""
    (tmp_path / "own_finalizers.py").write_text(FINALIZERS, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_finalizers", raising=False)
    return "own_finalizers"
