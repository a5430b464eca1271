"""What the crash tests share: storage to crash on, and an account of how many points they tried."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from eventlog.testing.backing import Backing, MemoryBacking
from eventlog.testing.files import FilesBacking
from eventlog.testing.sqlite import SQLiteBacking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many crash points were tried."""
    for name, count in sorted(_points.items()):
        terminalreporter.write_line(f"crash points tried on {name}: {count:,}")
