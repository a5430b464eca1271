"""How many points were tried, by store and operation; the run says so at its end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_points: Counter[str] = Counter()


@pytest.fixture
def points() -> Iterator[Counter[str]]:
    """Where a test counts the points at which it raised."""
    yield _points


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at how many points each operation was interrupted."""
    for what, count in _points.items():
        terminalreporter.write_line(f"interrupted at {count} points: {what}")
