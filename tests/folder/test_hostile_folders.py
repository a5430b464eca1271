"""Folders that an enemy has prepared: nothing outside is touched, nothing hangs, memory is bounded.

Each verb meets each kind of entry in each place, in a process with bounded memory (see `hostile`), as
root where the tests run as root, and as a user without privileges.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.folder.hostile import KINDS, PLACES, VERBS

PROGRAM = Path(__file__).with_name("hostile.py")
TREE = Path(__file__).parents[2]

PATIENCE = 240
"""Seconds after which a verb counts as hung; only a failure takes so long."""

IS_ROOT = os.geteuid() == 0


def ends_of(place: Path, verb: str, kind: str, *user: str) -> dict[str, str]:
    """Return how the verb ended at each place; assert that nothing outside was touched."""
    place.mkdir()
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(place), verb, kind, *user],
        cwd=TREE,
        env={**os.environ, "PYTHONPATH": str(TREE)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [where for where, _, unharmed in lines if not unharmed] == []
    return {where: ended for where, ended, _ in lines}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "device" or IS_ROOT])
@pytest.mark.parametrize("verb", VERBS)
def test_nothing_outside_is_touched_and_nothing_hangs(tmp_path: Path, verb: str, kind: str) -> None:
    ends = ends_of(tmp_path / "here", verb, kind)

    assert set(ends) == set(PLACES)
    if verb == "heal" and kind not in ("sparse", "link_to_folder"):
        healed = {where for where, ended in ends.items() if ended == "ok"}
        assert healed >= {"messages.jsonl", ".meta.json", ".overview.md", "notes.txt"}
