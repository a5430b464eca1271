"""State machines: declared once with `transitions`, used as plain tables.

The declaration is what people read, draw diagrams from and test against; a look-up in the compiled
table is what decisions and replays use (a trigger of the library costs microseconds, a look-up
tens of nanoseconds). Guards such as "attempts are left" belong to the decisions, never to a table.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transitions import Machine

__all__ = ["ABSENT", "StateMachine", "Transition"]

ABSENT: Final = "absent"
"""The state of what no event has made yet."""


class Transition(NamedTuple):
    """``event`` takes the machine from any of ``sources`` to ``target``."""

    event: str
    sources: tuple[str, ...]
    target: str


class StateMachine:
    """One machine: its states, its transitions, and what is compiled from them."""

    def __init__(self, name: str, states: Sequence[str], transitions: Sequence[Transition]) -> None:
        self.name = name
        self.states = (ABSENT, *states)
        self.transitions = tuple(transitions)
        self.table: Mapping[tuple[str, str], str] = {
            (source, transition.event): transition.target
            for transition in transitions
            for source in transition.sources
        }
        """What the state becomes, by (state, event type); a missing key is an illegal step."""
        self.events = frozenset(transition.event for transition in transitions)
        digest = hashlib.sha256(repr((name, sorted(self.table.items()))).encode())
        self.fingerprint = digest.hexdigest()[:16]
        """Changes with the table; snapshots of another machine are dropped (L12)."""

    def declaration(self) -> Machine:
        """Build the `transitions` machine: the oracle of tests and the source of diagrams."""
        from transitions import Machine

        return Machine(
            model=None,
            states=list(self.states),
            initial=ABSENT,
            auto_transitions=False,
            transitions=[
                {"trigger": step.event, "source": list(step.sources), "dest": step.target}
                for step in self.transitions
            ],
        )

    def diagram(self) -> str:
        """Draw the machine as a Mermaid state diagram."""
        lines = ["stateDiagram-v2"]
        for step in self.transitions:
            for source in step.sources:
                start = "[*]" if source == ABSENT else source
                lines.append(f"    {start} --> {step.target}: {step.event}")
        return "\n".join(lines) + "\n"
