"""P10: without descriptors, room or a writable file system, errors are typed and say what to do.

Real refusals of the system, in a process and, where that is allowed, on a file system of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]

ADVICE = {
    "descriptors": ("Too many open files", "ulimit -n"),
    "read-only": ("ead-only file system", "for writing"),
    "full": ("space", "free some"),
}
"""What each error says is wrong, and what to do about it."""


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


@pytest.mark.parametrize("trouble", ADVICE)
def test_what_is_lacking_is_named_with_what_to_do(trouble: str, tmp_path: Path) -> None:
    if trouble != "descriptors" and not can_mount():
        pytest.skip("only root can mount a file system")
    program = [
        sys.executable,
        str(Path(__file__).with_name("exhausted.py")),
        trouble,
        str(tmp_path),
    ]
    if trouble != "descriptors":
        program = ["unshare", "--mount", *program]

    done = subprocess.run(
        program,
        env={**os.environ, "PYTHONPATH": str(TREE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for what, (kind, text) in json.loads(done.stdout).items():
        assert kind in ("StoreUnavailable", "FolderUnavailable"), (what, kind)
        for words in ADVICE[trouble]:
            assert words in text, (what, text)
