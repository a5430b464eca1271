"""How many points were tried, by store and operation; the run says so at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.account import figures

if TYPE_CHECKING:
    from collections import Counter


@pytest.fixture
def points() -> Counter[str]:
    """Where a test counts the points at which it raised."""
    return figures("points interrupted at")
