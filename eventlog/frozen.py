"""Frozen dataclasses with slots, replaced at half the cost of `dataclasses.replace`.

The states of tasks and archives are such values: each record of one replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

__all__ = ["changed"]

Value = TypeVar("Value")


def changed(value: Value, changes: Mapping[str, Any]) -> Value:
    """Return a copy with other values in some fields; of a class without ``__post_init__``."""
    kind: Any = type(value)
    values, setters = _access(kind)
    copied: Value = object.__new__(kind)
    for set_field, each in zip(setters.values(), values(value), strict=True):
        set_field(copied, each)
    for name, each in changes.items():
        setters[name](copied, each)
    return copied


@cache
def _access(
    kind: type[Any],
) -> tuple[Callable[[Any], tuple[Any, ...]], dict[str, Callable[..., None]]]:
    """Return what reads all fields of a class, and what writes each past the freezing."""
    setters = {field.name: getattr(kind, field.name).__set__ for field in fields(kind)}
    return attrgetter(*setters), setters
