"""State machines: declared once, compiled to a table, drawn from the same declaration.

Decisions and replays look a step up in the compiled table, which takes tens of nanoseconds; a
trigger of the library `transitions` takes microseconds. Its machine is built for tests, which
compare the two. A table has no guards: a condition such as "attempts are left" is part of a
decision, since a replay must not depend on it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from transitions import Machine

__all__ = ["ABSENT", "StateMachine", "Transition"]

ABSENT: Final = "absent"
"""The state before the first event."""


class Transition(NamedTuple):
    """The event ``event`` takes a machine from any of ``sources`` to ``target``."""

    event: str
    sources: tuple[str, ...]
    target: str


class StateMachine:
    """A state machine over event types: what may happen in which state, and where it leads.

    ``states`` are all states but `ABSENT`, which comes first in every machine. The order of the
    transitions is the order in which `diagram` draws them; it has no other meaning.
    """

    def __init__(self, name: str, states: Sequence[str], transitions: Sequence[Transition]) -> None:
        self.name = name
        self.states = (ABSENT, *states)
        self.transitions = tuple(transitions)
        self.table: Mapping[tuple[str, str], str] = {
            (source, transition.event): transition.target
            for transition in transitions
            for source in transition.sources
        }
        """The next state by (state, event type). A step that is missing here is not allowed."""
        self.events = frozenset(transition.event for transition in transitions)
        digest = hashlib.sha256(repr((name, sorted(self.table.items()))).encode())
        self.fingerprint = digest.hexdigest()[:16]
        """A digest of name and table. Snapshots that were made with another machine are dropped."""

    def declaration(self) -> Machine:
        """Return the same machine as one of the library `transitions`, to test against."""
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

    def diagram(self, form: Literal["mermaid", "table"] = "mermaid") -> str:
        """Draw the machine: as a Mermaid state diagram, or as a Markdown table.

        The diagram has one arrow for all events between the same two states. The table has one row
        for all states that an event takes to the same state, or leaves as they are.
        """
        return self._mermaid() if form == "mermaid" else self._table()

    def _mermaid(self) -> str:
        arrows: dict[tuple[str, str], list[str]] = {}
        for event, source, target in self._steps():
            arrows.setdefault((source, target), []).append(event)
        lines = [
            f"    {'[*]' if source == ABSENT else source} --> {target}: {'<br/>'.join(events)}"
            for (source, target), events in arrows.items()
        ]
        left = {source for source, target in arrows if source != target}
        ends = [f"    {state} --> [*]" for state in self.states if state not in {ABSENT, *left}]
        return "\n".join(["stateDiagram-v2", *lines, *ends]) + "\n"

    def _table(self) -> str:
        rows: dict[tuple[str, str], list[str]] = {}
        for event, source, target in self._steps():
            rows.setdefault((event, "unchanged" if source == target else target), []).append(source)
        lines = [
            f"| `{event}` | {', '.join(sources)} | {target} |"
            for (event, target), sources in rows.items()
        ]
        return "\n".join(["| event | from | to |", "|---|---|---|", *lines]) + "\n"

    def _steps(self) -> Iterator[tuple[str, str, str]]:
        for step in self.transitions:
            for source in step.sources:
                yield step.event, source, step.target
