"""How many points were tried, by store and operation; the run says so at its end."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

import pytest

from tests.account import figures

if TYPE_CHECKING:
    from collections import Counter


@pytest.fixture
def points() -> Counter[str]:
    """Where a test counts the points at which it raised."""
    return figures("points interrupted at")


def pytest_runtest_teardown() -> None:
    """Forget an exception that Python still counts as handled although its handler has been left.

    What a trace function raises right before a handler ends can leave it behind for the rest of the
    thread; all later errors would have it as their context, and tasks be judged by it. No fixture,
    since a generator has a handled exception of its own.
    """
    if sys.exc_info()[0] is not None:
        ctypes.pythonapi.PyErr_SetExcInfo(None, None, None)
