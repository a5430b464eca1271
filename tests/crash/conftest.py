"""Shared by the crash tests: storage to crash on, and searches for programs that break it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from eventlog.testing import CrashFound
from eventlog.testing.crashes import CrashProgram
from eventlog.testing.files import FilesBacking
from eventlog.testing.model.backing import Backing, MemoryBacking
from eventlog.testing.sqlite import SQLiteBacking
from tests.account import figures, lines

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

    from hypothesis.strategies import SearchStrategy

NIGHTLY_FACTOR = 150
"""How many times more is tried by the nightly run."""


@pytest.fixture
def points() -> Counter[str]:
    """Crash points tried so far, by the name of the storage."""
    return figures("crashes tried")


@pytest.fixture(params=["memory", "sqlite", "files"])
def storage(request: pytest.FixtureRequest) -> str:
    """The kind of storage to crash on."""
    kind: str = request.param
    return kind


@pytest.fixture
def make_backing(storage: str, tmp_path: Path) -> Callable[[], Backing]:
    """Make empty storage, a new one with each call."""

    def make() -> Backing:
        if storage == "memory":
            return MemoryBacking()
        if storage == "files":
            return FilesBacking(segment_bytes=3_000)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        return SQLiteBacking(folder / "log.db")

    return make


@pytest.fixture
def canaries() -> list[str]:
    """How the broken variants were found, a line each."""
    return lines()


@pytest.fixture
def search(nightly: bool) -> Callable[..., tuple[int, CrashProgram | None]]:
    """Look for a program whose crash its check fails on.

    Returns how many were tried until the first one, and the one that it shrank to, if any.
    """

    def find(
        programs: SearchStrategy[CrashProgram],
        subject: Any,
        check: Any,
        examples: int,
        **options: Any,
    ) -> tuple[int, CrashProgram | None]:
        tried, failed = 0, list[CrashProgram]()

        @settings(
            max_examples=examples * (NIGHTLY_FACTOR if nightly else 1),
            derandomize=not nightly,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
        )
        @given(program=programs)
        def run(program: CrashProgram) -> None:
            nonlocal tried
            tried += not failed
            try:
                program.run(subject, check, **options)
            except CrashFound:
                failed.append(program)
                raise

        try:
            run()
        except CrashFound:
            return tried, failed[-1]
        return tried, None

    return find
