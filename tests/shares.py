"""What share of a search the suite runs, and on which stores a test runs.

`.ci/run` has eight minutes. Searches that could go on for ever therefore run a fixed share there, the
same each time; ``HYPOTHESIS_PROFILE=nightly`` runs all of it, and draws anew.
"""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import settings

__all__ = ["CRASH_SHARE", "NIGHTLY", "examples", "on_two_stores"]

NIGHTLY: Final = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

CRASH_SHARE: Final = 1 if NIGHTLY else 3
"""Of how many crash points one is tried."""

_NIGHTLY_FACTOR: Final = 40
"""How many times more examples the nightly run draws."""

on_two_stores: Final = pytest.mark.parametrize("log_url", ["memory", "sqlite"], indirect=True)
"""For tests of what is refused before any store is asked: the others would show the same."""


def examples(count: int) -> settings:
    """Return the settings of a property test that tries so many examples in the suite."""
    return settings(
        max_examples=count * (_NIGHTLY_FACTOR if NIGHTLY else 1),
        derandomize=not NIGHTLY,
        database=None,
        deadline=None,
    )
