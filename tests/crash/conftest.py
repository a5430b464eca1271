"""What the crash tests share: storage to crash on, and an account of how many points they tried."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from eventlog.testing import CrashFound
from eventlog.testing.crashes import CrashProgram
from eventlog.testing.files import FilesBacking
from eventlog.testing.model.backing import Backing, MemoryBacking
from eventlog.testing.sqlite import SQLiteBacking

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

NIGHTLY_FACTOR = 40
"""How many times more is tried by the nightly run."""

_canaries: list[str] = []
_points: Counter[str] = Counter()


@pytest.fixture
def points() -> Counter[str]:
    """Crash points tried so far, by the name of the storage."""
    return _points


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
    return _canaries


@pytest.fixture(scope="session")
def nightly() -> bool:
    """Whether ``HYPOTHESIS_PROFILE=nightly`` asks for more, and for other, random runs."""
    return os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


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
            suppress_health_check=list(HealthCheck),
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


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was crashed how often, how long that took, and how the broken variants were found."""
    for line in _canaries:
        terminalreporter.write_line(f"found {line}")
    for name, count in sorted(_points.items()):
        terminalreporter.write_line(f"crashes tried, {name}: {count:,}")
    here = Path(__file__).parent.name
    seconds: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            path = Path(report.nodeid.partition("::")[0])
            if path.parent.name == here:
                seconds[path.name] += report.duration
                failures[path.name] += outcome == "failed"
    for name, spent in sorted(seconds.items()):
        terminalreporter.write_line(
            f"{here}/{name}: {spent:.0f} seconds, {failures[name]} failures"
        )
