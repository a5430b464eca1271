"""Completion of session and archive ids, as a shell asks for it and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.shell_completion import BashComplete

import eventlog
from eventlog import Message
from eventlog.cli.application import application
from eventlog.cli.command import Invocation

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

COMPLETED = {"session_id", "session_ids", "place", "first", "archive_id"}
"""The names that commands give to parameters that are ids."""


@pytest.fixture
def ids(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A log with a few sessions, one of which is a shell's command."""
    with eventlog.open(run.store) as log:
        for name in ("chat-1", "chat-2", "a/b", "$(touch hacked)", "chat-\u202e", "-x"):
            log.session(name, create=True, owner=name[:4]).append(Message.user("hello"))
        log.session("chat-2").commit()
        log.session("chat-2").append(Message.user("again"))
        log.session("chat-2").commit()
    monkeypatch.setenv("EVENTLOG_STORE", run.store)
    return run


def offered(*words: str, ending: str = "") -> list[str]:
    """Return what click offers a shell for the word that is being typed."""
    completing = BashComplete(application, {}, "eventlog", "_EVENTLOG_COMPLETE")
    return [item.value for item in completing.get_completions(list(words), ending)]


def test_ids_of_sessions_that_a_shell_can_take_are_offered(ids: CommandLine) -> None:
    assert offered("show") == ["a/b", "chat-1", "chat-2"]
    assert offered("show", ending="ch") == ["chat-1", "chat-2"]
    assert offered("tasks", "--session", ending="a") == ["a/b"]
    assert offered("bundle", "chat-1", ending="chat-2") == ["chat-2"]
    assert offered("show", ending="$") == []


def test_archives_of_the_session_are_offered_the_newest_first(ids: CommandLine) -> None:
    assert offered("retry", "chat-2") == ["archive_002", "archive_001"]
    assert offered("retry", "chat-1") == []


def test_the_store_and_the_owner_of_the_command_line_count(
    ids: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered("show", "--owner", "a/b") == ["a/b"]
    monkeypatch.delenv("EVENTLOG_STORE")
    assert offered("show") == []
    assert offered("--store", ids.store, "show", ending="a") == ["a/b"]
    assert offered("show", "--store", ids.store, ending="a") == ["a/b"]


def test_nothing_is_said_beside_what_is_offered(
    ids: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line that names how evidence was opened would be printed into the user's prompt."""
    monkeypatch.setenv("EVENTLOG_STORE", f"{ids.store}?mode=ro")
    assert offered("show", ending="a") == ["a/b"]
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_read_offers_nothing_and_is_not_created(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTLOG_STORE", run.store)
    assert offered("show") == []
    assert not run.database().exists()
    run.database().write_text("not a database at all")
    assert offered("show") == []
    monkeypatch.setenv("EVENTLOG_STORE", "nonsense")
    assert offered("show") == []


def test_every_parameter_that_is_an_id_is_completed(ids: CommandLine) -> None:
    context = click.Context(application, obj=Invocation())
    tried = 0
    for name in application.list_commands(context):
        command = application.get_command(context, name)
        assert command is not None
        inner = click.Context(command, parent=context, info_name=name)
        inner.params["session_id"] = "chat-2"
        inner.meta["eventlog.store"] = ids.store
        for parameter in command.params:
            if parameter.name in COMPLETED:
                tried += 1
                assert parameter.shell_complete(inner, ""), (name, parameter.name)
    assert tried > 20


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
def test_bash_completes_a_session(ids: CommandLine) -> None:
    root = str(Path(eventlog.__file__).parents[1])
    program = ids.folder / "eventlog"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m eventlog "$@"\n')
    program.chmod(0o755)
    script = """
    eval "$(_EVENTLOG_COMPLETE=bash_source eventlog)"
    COMP_WORDS=(eventlog show ch) COMP_CWORD=2
    _eventlog_completion eventlog
    echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PYTHONPATH": root, "PATH": f"{ids.folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        cwd=ids.folder,
    )
    assert done.stdout.split() == ["chat-1", "chat-2"], done.stderr
