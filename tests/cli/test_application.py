"""The command line in general: help, exit codes, one-line errors, and lazy imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog import errors
from eventlog.cli.command import SUMMARIES
from eventlog.cli.exits import ExitCode, exit_code

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

SLOW_MODULES = {"rich", "sqlite_utils", "structlog", "sqlite3", "transitions"}


def imported_by(*words: str) -> set[str]:
    """Return the modules that a command line imports, in a fresh process."""
    program = (
        "import json, sys\n"
        "from eventlog.cli.application import application\n"
        "try:\n"
        f"    application.main({list(words)!r}, prog_name='eventlog')\n"
        "finally:\n"
        "    print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    root = str(Path(eventlog.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stderr))


# ---- help -------------------------------------------------------------------------------------


def test_help_lists_every_command_with_its_summary(run: CommandLine) -> None:
    answer = run("--help")
    assert answer.code == 0
    width = max(map(len, SUMMARIES)) + 2
    for name, summary in SUMMARIES.items():
        assert f"  {name:<{width}}{summary}\n" in answer.stdout


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_command_has_help_that_begins_with_its_summary(run: CommandLine, name: str) -> None:
    answer = run(name, "--help")
    assert answer.code == 0
    assert SUMMARIES[name] in answer.stdout
    assert "--json" in answer.stdout


def test_help_imports_nothing_slow_and_no_command() -> None:
    """B11."""
    modules = imported_by("--help")
    assert not modules & SLOW_MODULES
    assert not modules & {f"eventlog.cli.{name}" for name in SUMMARIES}


def test_json_is_printed_without_rich(run: CommandLine) -> None:
    run("append", "chat-1", "hello", "--create")
    assert "rich" not in imported_by("--store", run.store, "ls", "--json")


def test_no_command_at_all_shows_the_help_and_is_a_usage_error(run: CommandLine) -> None:
    answer = run()
    assert (answer.code, answer.stdout) == (ExitCode.USAGE, "")
    assert answer.stderr.startswith("Usage: eventlog")


def test_the_version_is_the_library_s(run: CommandLine) -> None:
    assert run("--version").stdout == f"eventlog, version {eventlog.__version__}\n"


# ---- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SessionNotFound("x"), 3),
        (errors.ArchiveNotFound("x", "archive_001", 0), 3),
        (errors.TaskNotFound("x"), 3),
        (errors.InvalidArgument("x"), 2),
        (errors.InvalidMessage("x"), 2),
        (errors.IllegalTransition("x", "y", "z"), 2),
        (errors.UnsupportedStore("x"), 2),
        (errors.VersionConflict("x", 1, 2), 4),
        (errors.CommitBlocked("x", "archive_001", 3, "y"), 4),
        (errors.ChainBroken("x", 1, "y"), 5),
        (errors.UnknownEventType("x", 1, "y"), 5),
        (errors.StoreUnavailable("x"), 6),
        (errors.Indeterminate("x"), 6),
        (FileNotFoundError("x"), 3),
        (PermissionError("x"), 6),
    ],
)
def test_every_kind_of_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["nonsense"], 2, "see `eventlog --help`"),
        (["show"], 2, "see `eventlog show --help`"),
        (["ls", "--nonsense"], 2, "see `eventlog ls --help`"),
        (["show", "chat-2"], 3, "`eventlog ls` lists"),
        (["append", "chat-2", "hello"], 3, "`eventlog append --create`"),
        (["append", "a\nb", "hello", "--create"], 2, "control character"),
        (["append", "chat-1", "x", "--role", "tool"], 2, "--tool-id"),
        (["tasks", "--session", "chat-2"], 3, "`eventlog ls` lists"),
        (["tasks", "--state", "nonsense"], 2, "'pending'"),
        (["retry", "chat-1", "archive_001"], 3, "it has none yet"),
        (["commit"], 2, "--all"),
        (["commit", "chat-1", "--all"], 2, "--all"),
        (["commit", "chat-1", "--keep", "-1"], 2, "from 0 to 10,000"),
        (["work", "--once", "--finalizer", "nonsense"], 2, "--finalizer nonsense"),
        (["verify", "chat-2"], 3, "`eventlog ls` lists"),
        (["--store", "nonsense", "ls"], 2, "sqlite:///agent.db"),
        (["--store", "sqlite:////nowhere/x.db", "append", "a", "b", "--create"], 6, "its folder"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(
    run: CommandLine, words: list[str], code: int, hint: str
) -> None:
    """P10."""
    run("append", "chat-1", "hello", "--create")
    answer = run(*words)
    assert (answer.code, answer.stdout) == (code, "")
    assert answer.stderr.startswith("eventlog: ")
    assert answer.stderr.count("\n") == 1
    assert hint in answer.stderr


def test_no_store_at_all_is_a_usage_error() -> None:
    root = str(Path(eventlog.__file__).parents[1])
    environment = {name: value for name, value in os.environ.items() if name != "EVENTLOG_STORE"}
    done = subprocess.run(
        [sys.executable, "-m", "eventlog", "ls"],
        env={**environment, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.USAGE
    assert "EVENTLOG_STORE" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["ls"],
        ["show", "chat-1"],
        ["tasks"],
        ["verify"],
        ["doctor"],
        ["work", "--once"],
        ["commit", "chat-1"],
        ["retry", "chat-1", "archive_001"],
        ["abandon", "chat-1", "archive_001"],
        ["append", "chat-1", "hello"],
    ],
)
def test_a_store_that_does_not_exist_is_not_created_by_reading_it(
    run: CommandLine, words: list[str]
) -> None:
    answer = run(*words)
    assert answer.code == ExitCode.NOT_FOUND
    assert "no log in" in answer.stderr
    assert not run.database().exists()


def test_an_empty_file_counts_as_no_log(run: CommandLine) -> None:
    run.database().touch()
    assert run("ls").code == ExitCode.NOT_FOUND
    assert run.database().stat().st_size == 0


def test_a_file_of_another_program_is_refused_unchanged(run: CommandLine) -> None:
    run.database().write_text("not a database at all, but text of some length\n" * 100)
    before = run.database().read_bytes()
    answer = run("append", "chat-1", "hello", "--create")
    assert answer.code == ExitCode.USAGE
    assert "not a SQLite database" in answer.stderr
    assert run.database().read_bytes() == before


def test_the_store_can_be_named_behind_the_command_too(run: CommandLine) -> None:
    other = f"sqlite:///{run.folder}/other.db"
    assert run("append", "chat-1", "hello", "--create", "--store", other).code == 0
    assert not run.database().exists()
    assert run("--store", other, "ls").stdout.count("chat-1") == 1


# ---- interrupts -------------------------------------------------------------------------------


def test_ctrl_c_ends_without_a_traceback(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    run("append", "chat-1", "hello", "--create")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("eventlog.cli.ls.list_sessions", interrupt)
    answer = run("ls")
    assert (answer.code, answer.stdout) == (ExitCode.INTERRUPTED, "")
    assert answer.stderr.strip() == ""


def test_a_reader_that_has_gone_ends_it_quietly(run: CommandLine) -> None:
    """As `eventlog show … | head -1` does."""
    run("append", "chat-1", "word " * 50_000, "--create")
    reading, writing = os.pipe()
    os.close(reading)
    with run.spawn("show", "chat-1", "--json", stdout=writing) as process:
        os.close(writing)
        _, said = process.communicate()
    assert (process.returncode, said) == (ExitCode.BROKEN_PIPE, "")
