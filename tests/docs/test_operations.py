"""The page about operations: its commands print what it says, and its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import eventlog
from eventlog import telemetry
from eventlog.cli.application import application

PAGE = (Path(eventlog.__file__).with_name("docs") / "operations.md").read_text("utf-8")
CONSOLE = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ROOT = Path(eventlog.__file__).parents[1]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENTLOG_STORE", "sqlite:///agent.db")


def steps() -> list[tuple[str, str]]:
    """Return the commands of the page, each with what it prints."""
    found: list[tuple[str, str]] = []
    for block in CONSOLE:
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = step.partition("\n")
            found.append((command, printed.strip()))
    return found


def printed(command: str) -> str:
    """Run a command: one of eventlog's in this process, which is quicker, others in a shell."""
    if command.startswith("eventlog "):
        import shlex

        result = CliRunner(env={"COLUMNS": "200"}).invoke(application, shlex.split(command)[1:])
        assert result.exit_code == 0, f"$ {command}\n{result.output}"
        return result.stdout
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_every_command_of_the_page_prints_what_it_says() -> None:
    found = steps()
    assert len(found) > 12
    for command, expected in found:
        shown = printed(command).strip()
        pattern = ".*".join(re.escape(piece) for piece in re.split(r"…\n?", expected))
        assert re.fullmatch(pattern, shown, re.DOTALL), f"$ {command}\n{shown}"


def test_the_examples_of_the_page_run() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    try:
        for block in PYTHON:
            exec(compile(block, "operations.md", "exec"), names)  # noqa: S102 - our own page
    finally:
        telemetry.trace_sources.clear()
    assert len(PYTHON) == 2


def test_every_fact_of_the_page_is_logged_somewhere() -> None:
    (table,) = re.findall(r"^\| fact \| means \|\n.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    facts = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    sources = "".join(
        path.read_text("utf-8")
        for folder in ("eventlog", "stores")
        for path in (ROOT / folder).rglob("*.py")
    )
    assert len(facts) > 5
    assert [fact for fact in facts if f'"{fact}"' not in sources] == []


def test_every_metric_of_the_page_is_measured() -> None:
    source = (ROOT / "eventlog" / "open_telemetry.py").read_text("utf-8")
    measured = set(re.findall(r'"(eventlog\.[a-z_.]+)"', source))
    (row,) = re.findall(r"^\| gauges \| (.*) \|$", PAGE, re.MULTILINE)
    gauges = re.findall(r"`([a-z_.]+)`", row)
    named = {name if name.startswith("eventlog") else f"eventlog.tasks{name}" for name in gauges}
    others = re.findall(r"`(eventlog\.(?:append|task|leases)\.[a-z_]+)`", PAGE)
    assert {*named, *others} - measured == set()
