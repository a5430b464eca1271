"""Values from callers: those that JSON has, and those that it has not."""

from __future__ import annotations

import enum
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from math import inf, nan
from typing import Any

from hypothesis import strategies as st

__all__ = ["VALUES"]


class Loud(str):
    """Text of a subclass."""

    __slots__ = ()


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Careless:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


def _cycle() -> Any:
    value: dict[str, Any] = {"a": 1}
    value["again"] = [value]
    return value


def _nested(levels: int, key: bool) -> Any:
    value: Any = "core"
    for _ in range(levels):
        value = {"k": value} if key else [value]
    return value


_ODD: list[Any] = [
    nan,
    inf,
    -inf,
    1e400,
    -0.0,
    5e-324,
    2**20000,
    -(2**20000),
    10**4300 - 1,
    10**4300,
    -(10**4300) + 1,
    2**63,
    "\ud83d",
    "half \udc00",
    "\x00",
    "",
    "\u202e\u200b",
    "x" * 3000,
    b"bytes",
    b"\xff",
    (1, 2),
    {1, 2},
    frozenset({"a"}),
    {1: "one", "1": "two"},
    {None: 1},
    {True: 1},
    {"key \ud83d": 1},
    {("a", "b"): 1},
    Decimal("1.5"),
    datetime(2026, 1, 1, tzinfo=UTC),
    Colour.RED,
    Level.LOW,
    Loud("loud"),
    OrderedDict(a=1),
    object(),
    Careless(),
    range(3),
    ["a", ["b", {"c": nan}]],
    {"a": {"b": 2**20000}},
    {"a": [{"\udfff": "x"}]},
]

# Drawn by their places, since not all of them can be shown.
_FIXED = st.integers(0, len(_ODD) - 1).map(lambda place: _ODD[place])

_MADE = st.one_of(
    st.builds(_cycle),
    st.builds(_nested, st.integers(90, 260), st.booleans()),
    st.builds(_nested, st.just(5_000), st.booleans()),
)

_PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(exclude_categories=()), max_size=5)
)

VALUES = st.one_of(
    _FIXED,
    _PLAIN,
    _MADE,
    st.recursive(
        _FIXED | _PLAIN,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=6,
    ),
)
"""Anything: half of it is what JSON can hold."""
