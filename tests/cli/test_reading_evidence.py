"""Every reading command reads the files of a killed process in a folder that cannot be written (U3)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eventlog.cli.command import SUMMARIES

READING = {
    "ls": ["ls", "--counts"],
    "show": ["show", "s", "--history"],
    "timeline": ["timeline", "s"],
    "events": ["events"],
    "runs": ["runs"],
    "turns": ["turns"],
    "report": ["report", "s", "-o", "OUT/case.html"],
    "find": ["find", "service/api"],
    "at": ["at", "s@7"],
    "diff": ["diff", "s@3", "s@9"],
    "blame": ["blame", "s", "meta.message_count"],
    "bisect": ["bisect", "s", "meta.message_count > 3"],
    "why": ["why", "s@7"],
    "refold": ["refold", "s"],
    "tasks": ["tasks"],
    "export": ["export", "s"],
    "verify": ["verify"],
    "doctor": ["doctor"],
    "health": ["health"],
    "bundle": ["bundle", "s", "-o", "OUT/case.zip"],
    "backup": ["backup", "OUT/backup.db"],
    "materialize": ["materialize", "s", "OUT/folder"],
    "heal": ["heal", "s", "OUT/folder", "--check"],
    "copy": ["copy", "STORE", "sqlite:///OUT/copy.db"],
}
"""A call of every command that only reads the log; OUT is a folder elsewhere."""

WRITING = {
    *(
        "demo",
        "import",
        "append",
        "commit",
        "work",
        "retry",
        "abandon",
        "policy",
        "fork",
        "enqueue",
        "stop",
    ),
    *("serve", "docs"),  # The one runs until it is stopped, the other needs no log.
}

KILLED = """
import os, sys, eventlog
from eventlog import Event, Finalizer, Message, Worker

class Deployed(Event, type="acme.deployed", keys="service/{service}"):
    service: str

log = eventlog.open(f"sqlite:///{sys.argv[1]}")
session = log.session("s", create=True)
session.extend([Message.user(str(number)) for number in range(10)])
session.commit(keep_recent=5)
Worker(log, Finalizer()).run_once()
session.record(Deployed(service="api"))
session.append(Message.user("after"))
os._exit(9)
"""

CALLS = """
import json, sys
from click.testing import CliRunner
from eventlog.cli.application import application

answers = {}
for name, words in json.loads(sys.argv[2]).items():
    result = CliRunner().invoke(application, ["--store", sys.argv[1], *words])
    answers[name] = [result.exit_code, result.stderr[-300:] or repr(result.exception)]
print(json.dumps(answers))
"""
"""Runs all commands in one process."""

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def unwritable(folder: Path, command: list[str]) -> list[str]:
    """Return a command for a process to which a folder is read-only, even if it is root's."""
    if os.getuid() != 0:
        for path in (*folder.iterdir(), folder):
            path.chmod(0o500 if path.is_dir() else 0o400)
        return command
    space = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*space, "true"], check=False).returncode:
        pytest.skip("root, and no namespaces: nothing is read-only here")
    return [*space, READ_ONLY, str(folder), *command]


def test_every_command_either_reads_or_writes() -> None:
    """A new command has to be named here, and is tried below if it reads."""
    known = {*READING, *WRITING}
    assert set(SUMMARIES) - known == set()


@pytest.mark.parametrize("shm", [True, False], ids=["with -shm", "without"])
def test_every_reading_command_reads_what_a_killed_process_left(tmp_path: Path, shm: bool) -> None:
    folder, out = tmp_path / "evidence", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    subprocess.run([sys.executable, "-c", KILLED, str(folder / "log.db")], check=False)
    assert (folder / "log.db-wal").stat().st_size > 0
    if not shm:
        (folder / "log.db-shm").unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if "shm" not in path.name}
    store = f"sqlite:///{folder}/log.db?mode=ro"
    calls = {
        name: [word.replace("OUT", str(out)).replace("STORE", store) for word in words]
        for name, words in READING.items()
    }

    command = [sys.executable, "-c", CALLS, store, json.dumps(calls)]
    done = subprocess.run(
        unwritable(folder, command), capture_output=True, text=True, cwd=tmp_path, check=False
    )
    folder.chmod(0o700)

    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert {name: answer for name, answer in answers.items() if answer[0] != 0} == {}
    after = {path.name: path.read_bytes() for path in folder.iterdir() if "shm" not in path.name}
    assert after == before
    assert {path.name for path in out.iterdir()} == {
        "case.zip",
        "case.html",
        "backup.db",
        "copy.db",
        "folder",
    }
