"""What share of a search the suite runs, and on which stores a test runs.

`.ci/run` has eight minutes. Searches that could go on for ever therefore run a fixed share, the same
each time; ``HYPOTHESIS_PROFILE=nightly`` runs all of it, and draws anew. What is the same on every store
runs there on memory, on SQLite, and on one of the others in turn; without ``--part`` on all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NamedTuple
from zlib import crc32

import pytest
from hypothesis import settings

__all__ = ["CRASH_SHARE", "NIGHTLY", "PARTS", "Share", "examples", "on_two_stores", "rounds"]

NIGHTLY: Final = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

CRASH_SHARE: Final = 1 if NIGHTLY else 18
"""Of how many crash points one is tried."""


def rounds(suite: int, nightly: int) -> int:
    """Return how often a search goes round: in the suite, or by the nightly profile."""
    return nightly if NIGHTLY else suite


class Share(NamedTuple):
    """Some steps of a program: each ``every``th one, beginning with the ``first``."""

    every: int
    first: int


_NIGHTLY_FACTOR: Final = 40
"""How many times more examples the nightly run draws where a test does not say."""

on_two_stores: Final = pytest.mark.parametrize("log_url", ["memory", "sqlite"], indirect=True)
"""For tests of what is refused before any store is asked: the others would show the same."""


_MEASURED: Final = frozenset(
    {
        "cli",
        "docs",
        "exchange",
        "folder",
        "http",
        "projections",
        "report",
        "runs",
        "sqlite",
        "telemetry",
        "turns",
        "unit",
    }
)
"""The folders of tests that branch coverage is measured with."""

_OF_THE_SOURCE: Final = frozenset(
    {"test_architecture.py", "test_file_access.py", "test_types.py", "test_words.py"}
)
"""Tests that read the source of the library and run little of it."""

_SEARCHES: Final = frozenset({"test_described.py", "test_what_is_described.py"})
"""Tests that draw within their function, so that hypothesis does not mark them."""

_SERVERS: Final = frozenset({"nats_cluster", "nats_server", "postgres", "start_postgres"})
"""The fixtures that start servers."""


def _store_of(item: pytest.Item) -> object:
    """Return which of the stores a test runs on; None where it is not one for every store."""
    parameters: dict[str, object] = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get("log_url")


def _is_search(item: pytest.Item) -> bool:
    """Return whether a test tries one case after another: what is drawn, or crash after crash."""
    fixtures: frozenset[str] = frozenset(getattr(item, "fixturenames", ()))
    function = getattr(item, "function", None)
    is_drawn = bool(getattr(function, "is_hypothesis_test", False))
    return "share" in fixtures or is_drawn or item.path.name in _SEARCHES


def _is_measured(item: pytest.Item) -> bool:
    """Return whether `.ci/run` counts branches while a test runs, which nearly doubles its time.

    So the library is measured on SQLite, and not again on every store; not measured are searches, which
    take the same branches again and again, tests that read the source, and those of a browser.
    """
    return (
        item.path.parent.name in _MEASURED
        and item.path.name not in _OF_THE_SOURCE
        and _store_of(item) in (None, "sqlite")
        and not _is_search(item)
        and "browser" not in getattr(item, "fixturenames", ())
    )


_OTHERS: Final = ("files", "postgres", "nats")
"""The stores beside memory and SQLite."""


def _is_in_turn(item: pytest.Item) -> bool:
    """Return whether `.ci/run` runs a test on its store: all on two stores, and on one of the others.

    Which one it is depends on the test, so that each store gets a third of them. The contract of stores
    has no share: it runs on every store, and so do the tests of one store.
    """
    store = _store_of(item)
    if store not in _OTHERS:
        return True
    name = item.name.replace(str(store), "")
    return store == _OTHERS[crc32(name.encode()) % len(_OTHERS)]


def _is_quick(item: pytest.Item) -> bool:
    """Return whether a test belongs to the quick ones: no server, no disk, and no search."""
    fixtures: frozenset[str] = frozenset(getattr(item, "fixturenames", ()))
    return (
        item.path.parent.name in ("docs", "turns", "unit")
        and _store_of(item) in (None, "memory")
        and not fixtures & _SERVERS
        and not _is_search(item)
        and item.path.name != "test_types.py"  # It runs mypy.
    )


PARTS: Final[dict[str, Callable[[pytest.Item], bool]]] = {
    "measured": _is_measured,
    "rest": lambda item: not _is_measured(item) and _is_in_turn(item),
    "quick": _is_quick,
}
"""Parts of the suite that ``--part`` chooses: the first two together are what `.ci/run` runs."""


def examples(count: int, nightly: int | None = None) -> settings:
    """Return the settings of a property test that tries ``count`` examples in the suite.

    The nightly profile draws ``nightly`` examples, or 40 times as many as the suite.
    """
    return settings(
        max_examples=(nightly or count * _NIGHTLY_FACTOR) if NIGHTLY else count,
        derandomize=not NIGHTLY,
        database=None,
        deadline=None,
        print_blob=NIGHTLY,
    )
