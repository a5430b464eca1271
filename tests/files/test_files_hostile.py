"""G3: what an enemy puts into the folder of a files log leads nowhere, and hangs nothing.

Each kind of entry takes the place of each file and folder of a log, before it is opened and while it is
in use; see `hostile`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from tests.folder.hostile import KINDS

TREE = Path(__file__).parents[2]

PATIENCE = 300
"""Seconds after which it counts as hung; only a failure takes so long."""

IS_ROOT = os.geteuid() == 0


class End(NamedTuple):
    """How a trial ended."""

    where: str
    moment: str
    ended: str
    unharmed: bool


def ends_of(place: Path, kind: str, *user: str) -> list[End]:
    """Return how it ended at each place; assert that nothing outside was touched."""
    place.mkdir()
    program = Path(__file__).with_name("hostile.py")
    done = subprocess.run(
        [sys.executable, str(program), str(place), kind, *user],
        cwd=TREE,
        env={**os.environ, "PYTHONPATH": str(TREE)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends = [End(*json.loads(line)) for line in done.stdout.splitlines()]
    assert [end for end in ends if not end.unharmed] == []
    assert len({end.where for end in ends}) >= 15
    return ends


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "device" or IS_ROOT])
def test_nothing_outside_of_a_log_is_touched_and_nothing_hangs(tmp_path: Path, kind: str) -> None:
    ends = ends_of(tmp_path / "here", kind)

    for end in ends:
        if end.where == "segments/0000000001.log":
            is_damage = end.ended.startswith(("CorruptLog", "StoreUnavailable"))
            assert is_damage == (kind != "odd_names"), end  # Those are beside it.
        if end.where.startswith("quarantine/"):
            assert end.ended == "ok", end


@pytest.mark.skipif(
    not IS_ROOT, reason="only root can become nobody; else all of it runs as a user"
)
@pytest.mark.parametrize("kind", ["link", "fifo", "hard_link"])
def test_nothing_outside_of_a_log_is_touched_by_a_user_without_privileges(kind: str) -> None:
    with TemporaryDirectory() as place:  # That of the tests is root's alone.
        Path(place).chmod(0o711)
        assert ends_of(Path(place, "here"), kind, "nobody")
