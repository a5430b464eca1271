"""G3: what an enemy puts into the folder of a files log leads nowhere, and hangs nothing.

Each kind of entry takes the place of each file and folder of a log, before it is opened and while it is
in use; see `hostile`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from tests.folder.hostile import KINDS
from tests.shares import rounds
from tests.trials import Trials

IS_ROOT = os.geteuid() == 0


class End(NamedTuple):
    """How a trial ended."""

    where: str
    moment: str
    ended: str
    unharmed: bool


@pytest.fixture(scope="module")
def hostile() -> Iterator[Trials]:
    """The program that tries hostile entries."""
    program = Trials(Path(__file__).with_name("hostile.py"))
    yield program
    program.end()


def ends_of(hostile: Trials, place: Path, kind: str, *user: str) -> list[End]:
    """Return how a share of the trials ended; assert that nothing outside was touched.

    The share is another one for each kind, so that each place meets some of them.
    """
    place.mkdir()
    lines = hostile.lines(place, kind, rounds(5, 1), [*KINDS].index(kind), *user)
    ends = [End(*line) for line in lines]
    assert ends
    assert [end for end in ends if not end.unharmed] == []
    return ends


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "device" or IS_ROOT])
def test_nothing_outside_of_a_log_is_touched_and_nothing_hangs(
    hostile: Trials, tmp_path: Path, kind: str
) -> None:
    ends = ends_of(hostile, tmp_path / "here", kind)

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
def test_nothing_outside_of_a_log_is_touched_by_a_user_without_privileges(
    hostile: Trials, kind: str
) -> None:
    with TemporaryDirectory() as place:  # That of the tests is root's alone.
        Path(place).chmod(0o711)
        assert ends_of(hostile, Path(place, "here"), kind, "nobody")
