"""Damage to rows, frames, entries and blobs that no checksum finds: every call answers, or raises a
typed error (G9).

The suite draws a share; the nightly profile, or ``EVENTLOG_DAMAGE=150``, draws as many damages of each
kind, which is 38,000 calls.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import eventlog
from tests.damage.mutations import damage_blob, fill, mutate_row, reseal_frame
from tests.damage.operations import raw_errors
from tests.shares import rounds

DAMAGES = int(os.environ.get("EVENTLOG_DAMAGE", rounds(4, 150)))
"""Damages of each kind; about 85 calls are made after each."""


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "log.db"
    fill(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "log"
    fill(f"files:///{path}")
    return path


@pytest.mark.parametrize("seed", range(DAMAGES))
def test_no_damaged_row_raises_a_raw_error(database: Path, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "log.db"
    shutil.copy(database, path)
    done = mutate_row(path, random.Random(seed))

    made, raw = raw_errors(lambda: eventlog.open(f"sqlite:///{path}"))

    assert made
    assert raw == {}, done


@pytest.mark.parametrize("seed", range(DAMAGES))
@pytest.mark.parametrize("damage", [reseal_frame, damage_blob])
def test_no_damaged_file_raises_a_raw_error(
    folder: Path, tmp_path: Path, seed: int, damage: Callable[[Path, random.Random], str]
) -> None:
    path = tmp_path / "log"
    shutil.copytree(folder, path)
    done = damage(path, random.Random(seed))

    made, raw = raw_errors(lambda: eventlog.open(f"files:///{path}"))

    assert made
    assert raw == {}, done


def test_the_sound_log_answers_nearly_every_call(database: Path, tmp_path: Path) -> None:
    """The calls reach what they are to try: on an undamaged log none of them fails for a reason."""
    path = tmp_path / "log.db"
    shutil.copy(database, path)

    made, raw = raw_errors(lambda: eventlog.open(f"sqlite:///{path}"))

    assert made > 70
    assert raw == {}
