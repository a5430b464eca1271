"""Golden scripts: commands and what they print, as a person at a shell sees it.

A script is a file of ``$ eventlog …`` lines, each followed by what is expected. Lines of stderr
begin with ``! ``, an exit code other than 0 is the last line. Ids, times and process numbers differ
from run to run, so they are written as ``<id>``, ``<time>`` and ``<number>``, the
folder that it runs in as ``<folder>``. Backslashes continue
a command in the next line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Answer, CommandLine

SCRIPTS: Final = sorted(Path(__file__).with_name("scripts").glob("*.txt"))

_VARYING: Final = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "<time>"),
    (r"process \d+", "process <number>"),
    (r"[0-9a-f]{64}", "<hash>"),
)


class Step(NamedTuple):
    """A command of a script, and what it is expected to print."""

    command: str
    expected: str


def read_script(path: Path) -> Iterator[Step]:
    _, *steps = re.split(r"^\$ eventlog ", path.read_text("utf-8"), flags=re.MULTILINE)
    for step in steps:
        command, _, expected = re.sub(r"\\\n\s*", "", step).partition("\n")
        yield Step(command, expected.strip("\n"))


def written(answer: Answer, folder: Path) -> str:
    """Return an answer in the form of a script."""
    lines = answer.stdout.splitlines()
    lines += [f"! {line}" for line in answer.stderr.splitlines()]
    if answer.code:
        lines.append(f"exit {answer.code}")
    text = "\n".join(lines).replace(str(folder), "<folder>")
    for pattern, placeholder in _VARYING:
        text = re.sub(pattern, placeholder, text)
    return text.strip("\n")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_prints_what_it_says(
    run: CommandLine, path: Path, finalizers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finalizers == "own_finalizers"  # as the scripts have it
    monkeypatch.chdir(run.folder)
    for example in path.parent.glob("*.jsonl"):
        (run.folder / example.name).write_bytes(example.read_bytes())
    for step in read_script(path):
        answer = run(*shlex.split(step.command))
        assert (
            f"$ {step.command}\n{written(answer, run.folder)}"
            == f"$ {step.command}\n{step.expected}"
        )


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 3
