"""State machines as drawings: where each state stands, and which arrows there are between them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from eventlog.forensics.picture import ROOTS
from eventlog.machine import ABSENT, StateMachine
from eventlog.session.machine import SESSION_MACHINE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["drawings"]


def drawings() -> list[dict[str, Any]]:
    """Return the machine of the session, and that of what each root of paths has by key."""
    return [
        _drawing("status", SESSION_MACHINE),
        *(_drawing(root, machine) for root in ROOTS if (machine := _machine_of(root)) is not None),
    ]


def _machine_of(root: str) -> StateMachine | None:
    """Return the machine of the entries of a root: for ``turns`` that in `eventlog.session.turns`."""
    if find_spec(f"eventlog.session.{root}") is None:
        return None
    try:
        found = import_module(f"eventlog.session.{root}.machine")
    except ModuleNotFoundError:
        return None
    machine = getattr(found, f"{root.removesuffix('s').upper()}_MACHINE", None)
    return machine if isinstance(machine, StateMachine) else None


def _drawing(root: str, machine: StateMachine) -> dict[str, Any]:
    return {
        "root": root,
        "name": machine.name,
        "states": [
            {"name": state, "column": column, "row": row}
            for column, states in enumerate(_columns(machine))
            for row, state in enumerate(states)
        ],
        "arrows": [
            {"from": source, "to": target, "events": events}
            for (source, target), events in _arrows(machine).items()
        ],
    }


def _arrows(machine: StateMachine) -> dict[tuple[str, str], list[str]]:
    arrows: dict[tuple[str, str], list[str]] = {}
    for transition in machine.transitions:
        for source in transition.sources:
            arrows.setdefault((source, transition.target), []).append(transition.event)
    return arrows


def _columns(machine: StateMachine) -> list[list[str]]:
    """Return the states by how many steps they are from the beginning; those that end come last."""
    arrows = [(source, target) for source, target in _arrows(machine) if source != target]
    left = {source for source, _ in arrows}
    columns = list(_by_steps(arrows))
    ends = [state for column in columns for state in column if state not in left]
    inner = [[state for state in column if state in left] for column in columns]
    return [column for column in [*inner, ends] if column]


def _by_steps(arrows: list[tuple[str, str]]) -> Iterator[list[str]]:
    column, seen = [ABSENT], {ABSENT}
    while column:
        yield column
        targets = [target for source, target in arrows if source in column and target not in seen]
        column = list(dict.fromkeys(targets))
        seen.update(column)
