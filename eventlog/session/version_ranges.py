"""Arithmetic on version ranges: lists of ascending ranges that do not overlap.

A range is a pair of the first and the last version in it, both included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "VersionRange",
    "Withdrawn",
    "ascending",
    "contains",
    "intersection",
    "joined",
    "withdrawal_of",
    "without",
]

VersionRange = tuple[int, int]
"""The versions from the first to the last, both included."""

Withdrawn = tuple[int, int, int]
"""The versions from the first to the last, and the version of the event that withdrew them."""


def ascending(ranges: Iterable[VersionRange]) -> list[VersionRange]:
    """Return ranges in ascending order, without empty ones and with overlapping ones joined."""
    ordered: list[VersionRange] = []
    for first, last in sorted(ranges):
        if first > last:
            continue
        if ordered and first <= ordered[-1][1]:
            ordered[-1] = (ordered[-1][0], max(last, ordered[-1][1]))
        else:
            ordered.append((first, last))
    return ordered


def without(ranges: Sequence[VersionRange], holes: Sequence[VersionRange]) -> list[VersionRange]:
    """Return ascending ranges with ascending holes cut out of them."""
    left: list[VersionRange] = []
    place = 0
    for first, last in ranges:
        while place < len(holes) and holes[place][1] < first:
            place += 1
        start = first
        for at in range(place, len(holes)):
            hole_first, hole_last = holes[at]
            if hole_first > last:
                break
            if hole_first > start:
                left.append((start, hole_first - 1))
            start = max(start, hole_last + 1)
        if start <= last:
            left.append((start, last))
    return left


def intersection(
    ranges: Sequence[VersionRange], others: Sequence[VersionRange]
) -> list[VersionRange]:
    """Return the versions in both of two lists of ascending ranges, split where either list is."""
    shared: list[VersionRange] = []
    left = right = 0
    while left < len(ranges) and right < len(others):
        first = max(ranges[left][0], others[right][0])
        last = min(ranges[left][1], others[right][1])
        if first <= last:
            shared.append((first, last))
        if ranges[left][1] < others[right][1]:
            left += 1
        else:
            right += 1
    return shared


def contains(ranges: Iterable[VersionRange], version: int) -> bool:
    """Return whether a version is in one of the ranges."""
    return any(first <= version <= last for first, last in ranges)


def joined(versions: Iterable[int]) -> list[VersionRange]:
    """Return versions as ascending ranges: neighbours are in one."""
    ranges: list[VersionRange] = []
    for version in sorted(versions):
        if ranges and version <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], version)
        else:
            ranges.append((version, version))
    return ranges


def withdrawal_of(withdrawn: Iterable[Withdrawn], version: int, as_of: int | None = None) -> int:
    """Return the version of the event that withdrew what is at a version; 0 if none did, up to the
    version ``as_of`` if that is given."""
    for first, last, at in withdrawn:
        if first <= version <= last:
            return at if as_of is None or at <= as_of else 0
    return 0
