"""Folders prepared by an attacker: nothing outside is touched, nothing hangs, memory is bounded (G3).

Each verb meets each kind of entry in each place, in a process with bounded memory (see `hostile`), as
root where the tests run as root, and as a user without privileges.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

import eventlog
from eventlog import Log, UnsupportedStore, local_files
from eventlog.cli.application import application
from eventlog.projections.folder_layout import quarantine_name
from eventlog.stores.memory import MemoryStore
from tests.folder.hostile import KINDS, PLACES, VERBS
from tests.shares import rounds
from tests.trials import Trials

PROGRAM = Path(__file__).with_name("hostile.py")
TREE = Path(__file__).parents[2]

PATIENCE = 240
"""Seconds after which an import counts as hung; only a failure takes so long."""

IS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def hostile() -> Iterator[Trials]:
    """The program that tries verbs on hostile folders."""
    program = Trials(PROGRAM)
    yield program
    program.end()


def ends_of(hostile: Trials, place: Path, verb: str, kind: str, *user: str) -> dict[str, str]:
    """Return how the verb ended at a share of the places; assert that nothing outside was touched.

    The share is another one for each kind and verb, so that each place meets each kind.
    """
    every = rounds(4, 1)
    first = [*KINDS].index(kind) + [*VERBS].index(verb)
    places = PLACES[first % every :: every]
    place.mkdir()
    lines = hostile.lines(place, verb, kind, places, *user)
    assert [where for where, _, unharmed in lines if not unharmed] == []
    assert [where for where, _, _ in lines] == [*places]
    return {where: ended for where, ended, _ in lines}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "device" or IS_ROOT])
@pytest.mark.parametrize("verb", VERBS)
def test_nothing_outside_is_touched_and_nothing_hangs(
    hostile: Trials, tmp_path: Path, verb: str, kind: str
) -> None:
    ends = ends_of(hostile, tmp_path / "here", verb, kind)

    if verb == "heal" and kind not in ("sparse", "link_to_folder"):
        to_heal = {"messages.jsonl", ".meta.json", ".overview.md", "notes.txt"}
        assert {ended for where, ended in ends.items() if where in to_heal} <= {"ok"}


@pytest.mark.skipif(
    not IS_ROOT, reason="only root can become nobody; else all of it runs as a user"
)
@pytest.mark.parametrize("kind", ["link", "link_to_folder", "fifo", "hard_link", "sparse"])
@pytest.mark.parametrize("verb", ["follow", "heal", "adopt"])
def test_nothing_outside_is_touched_by_a_user_without_privileges(
    hostile: Trials, verb: str, kind: str
) -> None:
    with TemporaryDirectory() as place:  # That of the tests is root's alone.
        Path(place).chmod(0o711)
        assert ends_of(hostile, Path(place, "here"), verb, kind, "nobody")


HOSTILE = {
    "notes.txt": "not_a_file",
    "pipe": "not_a_file",
    ".meta.json": "unreadable_meta",
}


def write_hostile_folder(place: Path) -> Path:
    """Write a folder whose links are named as an older version named what it wrote."""
    folder = place / "evil"
    (folder / "history").mkdir(parents=True)
    line = '{"id": "a", "role": "user", "parts": [{"type": "text", "text": "hi"}]}\n'
    (folder / "messages.jsonl").write_text(line + "torn")
    (place / "profile").write_text("keep me")
    torn = quarantine_name("messages.jsonl", b"torn\n")
    for name in (".meta.json", "notes.txt", torn, f".{torn[1:]}.eventlog-tmp"):
        (folder / name).symlink_to(place / "profile")
    os.mkfifo(folder / "pipe")
    return folder


def run_import(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    store = f"sqlite:///{place}/log.db"
    return subprocess.run(
        [sys.executable, "-m", "eventlog", "--store", store, "import", *arguments],
        cwd=TREE,
        env={**os.environ, "PYTHONPATH": str(TREE), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_newcomer_who_imports_a_hostile_folder_reads_what_was_left_out(tmp_path: Path) -> None:
    folder = write_hostile_folder(tmp_path)

    done = run_import(tmp_path, str(folder), "--session", "s")

    assert done.returncode == 0, done.stderr
    for name, rule in HOSTILE.items():
        assert any(line.split()[:2] == [rule, name] for line in done.stdout.splitlines()), name
    assert "it is a link, and links are not followed" in done.stdout
    assert "adopted as s: 1 message" in done.stdout
    assert (tmp_path / "profile").read_text() == "keep me"
    kept = folder / quarantine_name("messages.jsonl", b"torn\n")
    assert not kept.is_symlink()
    assert kept.read_bytes() == b"torn\n"


def test_findings_can_be_read_on_a_terminal_of_80_columns(tmp_path: Path) -> None:
    folder = write_hostile_folder(tmp_path)
    words = ["--store", f"sqlite:///{tmp_path}/log.db", "import", str(folder)]

    done = CliRunner(env={"COLUMNS": "80", "FORCE_COLOR": "1"}).invoke(application, words)

    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.output).splitlines()
    at = lines.index("not_a_file  file notes.txt")
    said = " ".join(line.strip() for line in lines[at + 1 : at + 3])
    assert said.startswith(
        "found it is a link, and links are not followed adopting not opened and not kept"
    )
    assert all(len(line) <= 80 for line in lines[:-1])


def test_a_newcomer_reads_which_link_stopped_an_import(tmp_path: Path) -> None:
    folder = write_hostile_folder(tmp_path)
    (folder / "history/archive_001").symlink_to("/etc")

    done = run_import(tmp_path, str(folder))

    assert done.returncode == 5
    assert done.stderr == (
        f"eventlog: {folder}/history/archive_001 is a link, and links are not followed; put the folder "
        "itself there, or remove it\n"
    )
    assert not (tmp_path / "log.db").exists()


def test_the_size_of_a_folder_is_bounded_as_the_command_line_says(tmp_path: Path) -> None:
    folder = write_hostile_folder(tmp_path)

    done = run_import(tmp_path, str(folder), "--max-bytes", "10")

    assert done.returncode == 5
    assert "has 75 bytes, the limit is 10" in done.stderr


def test_a_platform_that_cannot_keep_to_a_folder_has_no_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files, "is_supported", lambda: False)
    with Log(MemoryStore()) as log:
        session = log.session("chat", create=True)
        for call in (session.attach_folder, session.materialize, session.heal, log.adopt):
            with pytest.raises(UnsupportedStore, match="not supported"):
                call(tmp_path)
    with pytest.raises(UnsupportedStore, match="not supported"):
        eventlog.open(f"files:///{tmp_path}/log")
