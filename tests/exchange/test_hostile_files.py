"""G3: a foreign file that an enemy has prepared is refused, or read within bounds; nothing hangs.

Each kind of entry meets ``import`` and ``doctor`` as the file that is named, as an event of a folder, and
under the name that a quarantine would have; see `hostile`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.exchange.hostile import ALL, LINE, write_events
from tests.folder.hostile import SECRET

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

TREE = Path(__file__).parents[2]

PATIENCE = 240
"""Seconds after which a verb counts as hung; only a failure takes so long."""


class End(NamedTuple):
    """How a command ended."""

    code: int
    said: str


def ends_of(place: Path, verb: str) -> dict[str, End]:
    """Return how the verb ended for each kind; assert that nothing outside was touched or read."""
    program = Path(__file__).with_name("hostile.py")
    done = subprocess.run(
        [sys.executable, str(program), str(place), verb],
        cwd=TREE,
        env={**os.environ, "PYTHONPATH": str(TREE)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [kind for kind, _, _, unharmed in lines if not unharmed] == []
    ends = {kind: End(code, said) for kind, code, said, _ in lines}
    assert set(ends) == set(ALL)
    return ends


@pytest.mark.parametrize("verb", ["import-file", "doctor-file"])
def test_what_is_named_is_a_regular_file_within_bounds_or_is_refused(
    tmp_path: Path, verb: str
) -> None:
    """A link that is named is followed, since whoever names it says so."""
    ends = ends_of(tmp_path, verb)

    assert all(end.code for end in ends.values())
    assert "it is a FIFO, not a file" in ends["fifo"].said
    assert "it is a socket, not a file" in ends["unix_socket"].said
    assert "it is a device, not a file" in ends["endless_link"].said
    assert "which is the limit" in ends["sparse"].said
    assert "there is no such file" in ends["dangling_link"].said
    assert "'-'" in ends["fifo"].said


def test_an_event_that_is_no_file_is_left_out_and_listed(tmp_path: Path) -> None:
    ends = ends_of(tmp_path, "import-events")

    for kind, end in ends.items():
        assert end.code == 0, (kind, end)
        document = json.loads(end.said)
        found = {finding["kind"] for finding in document["findings"]}
        assert document["imported"] == 2, kind
        assert found & {"gap", "not_a_file", "too_large", "not_json"}, kind
        # A hard link is a regular file: its owner chose to have it there as well.
        assert kind == "hard_link" or SECRET.decode().strip() not in end.said


def test_what_has_the_name_of_the_quarantine_is_neither_written_nor_read_whole(
    tmp_path: Path,
) -> None:
    ends = ends_of(tmp_path, "import-quarantine")

    refused = {kind for kind, end in ends.items() if end.code == 6 and "File exists" in end.said}
    assert refused == set(ALL) - {"odd_names"}  # Those are beside it.


def test_a_folder_of_events_that_is_a_link_is_not_followed(run: CommandLine) -> None:
    folder = write_events(run.folder)
    folder.rename(run.folder / "elsewhere")
    folder.symlink_to(run.folder / "elsewhere")

    assert run("import", str(folder.parent)).code


def long_line(path: Path) -> None:
    path.write_text(LINE + json.dumps({"role": "user", "content": "x" * 5_000}) + "\n" + LINE)


def long_document(path: Path) -> None:
    path.write_text("[\n" + json.dumps({"role": "user", "content": "x" * 5_000}) + "\n]")


@pytest.mark.parametrize("write", [long_line, long_document])
def test_the_size_of_a_value_is_bounded_as_the_command_line_says(
    run: CommandLine, write: Callable[[Path], None]
) -> None:
    write(run.folder / "chats.json")

    refused = run("import", str(run.folder / "chats.json"), "--max-bytes", "5000")

    assert refused.code == 2
    assert "more than 5,000 bytes, which is the limit" in refused.stderr
    assert run("import", str(run.folder / "chats.json"), "--max-bytes", "6000").code == 0


def test_the_size_of_a_folder_of_events_is_bounded(run: CommandLine) -> None:
    folder = write_events(run.folder)

    refused = run("import", str(folder.parent), "--max-bytes", "100")

    assert refused.code == 2
    assert "more than 100 bytes" in refused.stderr
