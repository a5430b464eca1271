"""Fixtures for pytest; to load them, write in a ``conftest.py``::

pytest_plugins = ["eventlog.testing.pytest_plugin"]
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from eventlog.testing.exploring import CrashReport, every_crash
from eventlog.testing.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventlog.testing.exploring import Check, Program

__all__ = ["crash_everywhere", "host", "pytest_terminal_summary"]

_reports: list[CrashReport] = []


@pytest.fixture
def host() -> Iterator[Host]:
    """A computer with an empty disk, switched off afterwards."""
    with Host() as made:
        yield made


@pytest.fixture
def crash_everywhere(request: pytest.FixtureRequest) -> Callable[..., CrashReport]:
    """Call `every_crash` with the same arguments; the end of the test run reports the numbers."""

    def explore(program: Program, check: Check, **options: Any) -> CrashReport:
        writer = request.config.get_terminal_writer()
        if writer.hasmarkup:  # A terminal, which the output of the test does not reach.
            options.setdefault("progress", partial(_show, writer))
        report = every_crash(program, check, **options)
        report.name = request.node.name
        _reports.append(report)
        return report

    return explore


def _show(writer: Any, line: str) -> None:
    writer.write(f"\r\x1b[K{line}", flush=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Report how many crashes were tried."""
    for report in _reports:
        terminalreporter.write_line(str(report))
