"""Settings of the property tests, and an account of what they ran."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.account import figures
from tests.shares import NIGHTLY, rounds

NIGHTLY_FACTOR = 960
"""How many times more examples the nightly run tries."""


@pytest.fixture(scope="session")
def examples() -> Callable[[int], settings]:
    """Settings for a number of examples; ``HYPOTHESIS_PROFILE=nightly`` draws more, and other ones.

    Otherwise every run tries the same examples, so that a failure is the change's, not the day's.
    """

    def make(count: int) -> settings:
        return settings(
            max_examples=rounds(count, count * NIGHTLY_FACTOR),
            derandomize=not NIGHTLY,
            database=None,
            deadline=None,
            print_blob=NIGHTLY,
            stateful_step_count=40,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )

    return make


@pytest.fixture(autouse=True)
def _soon_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell of a failure soon, if need be with a longer program than the shortest there is."""
    monkeypatch.setattr("hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS", 15)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Let thousands of programs go wrong on purpose without a line of log for each."""
    logger = logging.getLogger("eventlog")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.fixture
def programs() -> Counter[str]:
    """What was run so far, in figures."""
    return figures("programs run")
