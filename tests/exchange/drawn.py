"""How much is drawn: a share of it in every run of the suite, all of it by the nightly profile."""

from __future__ import annotations

import os

from hypothesis import settings

__all__ = ["drawn"]


def drawn(suite: int, nightly: int) -> settings:
    """Return settings for so many examples; ``HYPOTHESIS_PROFILE=nightly`` draws other, more ones."""
    is_nightly = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
    return settings(
        max_examples=nightly if is_nightly else suite,
        derandomize=not is_nightly,
        database=None,
        deadline=None,
        print_blob=is_nightly,
    )
