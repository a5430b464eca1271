"""Conversations that are stored as a tree: the main path, and the other branches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Paths", "paths_of"]


class Paths(NamedTuple):
    """The ids on the path from the root to the newest leaf, and those of each other branch."""

    main: list[str]
    branches: list[list[str]]
    """Each begins at the first id that is on no branch before it, and has all its descendants."""


def paths_of(
    order: Sequence[str],
    parents: Mapping[str, str | None],
    leaf: str | None,
    also_main: Collection[str] = (),
) -> Paths:
    """Split a tree, in time linear in it.

    ``order`` has the ids in the order of the file, ``parents`` the parent of each. ``also_main``
    are ids that belong to the main path although they are not between root and ``leaf``, such as
    results of parallel calls. A cycle ends where it closes.
    """
    main: set[str] = set()
    place = leaf
    while place is not None and place not in main and place in parents:
        main.add(place)
        place = parents[place]
    main.update(also_main)
    branch_of: dict[str, list[str]] = {}
    branches: list[list[str]] = []
    for entry in order:
        if entry in main:
            continue
        parent = parents[entry]
        branch = branch_of.get(parent) if parent is not None else None
        if branch is None:
            branch = list[str]()
            branches.append(branch)
        branch.append(entry)
        branch_of[entry] = branch
    return Paths([entry for entry in order if entry in main], branches)
