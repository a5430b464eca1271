"""Figures and lines about a test run, summed over all processes that ran tests.

With pytest-xdist each worker has its own account and sends it to the controller when it ends, which
prints the sum. Without it there is one account, printed likewise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["figures", "lines", "missing"]

_SENT_AS: Final = "account"
"""The key of a worker's account in what pytest-xdist sends to the controller."""

_TIMED: Final = "crash"
"""The folder whose files are listed with the time that each took."""

_figures: Final = defaultdict[str, Counter[str]](Counter)
_lines: Final[list[str]] = []
missing: Final[dict[str, str]] = {}
"""The servers that did not start, each with the reason."""


def figures(title: str) -> Counter[str]:
    """Return the counter whose figures are printed under a title."""
    return _figures[title]


def lines() -> list[str]:
    """Return the list of lines that are printed as they are."""
    return _lines


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send what this worker did to the controller."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        counted = {title: dict(counter) for title, counter in _figures.items()}
        output[_SENT_AS] = {"figures": counted, "lines": _lines, "missing": missing}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker did; one that crashed has sent nothing."""
    sent: Mapping[str, Any] = getattr(node, "workeroutput", {}).get(_SENT_AS, {})
    for title, counted in sent.get("figures", {}).items():
        _figures[title].update(cast("dict[str, int]", counted))
    _lines.extend(sent.get("lines", ()))
    missing.update(sent.get("missing", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the account; a server that did not start is printed in red."""
    for line in sorted(_lines):
        terminalreporter.write_line(line)
    for title, counter in sorted(_figures.items()):
        for name, count in sorted(counter.items()):
            terminalreporter.write_line(f"{title}, {name}: {count:,}")
    _print_times(terminalreporter)
    for name, reason in missing.items():
        terminalreporter.write_line(
            f"NOT TESTED: {name} did not start, so nothing was tested on it: {reason}",
            red=True,
            bold=True,
        )


def _print_times(terminalreporter: pytest.TerminalReporter) -> None:
    seconds: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            path = Path(report.nodeid.partition("::")[0])
            if path.parent.name == _TIMED:
                seconds[path.name] += report.duration
                failures[path.name] += outcome == "failed"
    for name, spent in sorted(seconds.items()):
        terminalreporter.write_line(
            f"{_TIMED}/{name}: {spent:.0f} seconds, {failures[name]} failures"
        )
