"""A state machine of hypothesis that writes programs, with a fault at any step of any command.

Run it on storage of your own::

    class Programs(SessionMachine):
        def make_backing(self) -> Backing:
            return MyBacking()

    run_state_machine_as_test(Programs)

A failing program shrinks to a few rules and is printed as plain Python.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from eventlog.testing.machine_base import actors, places
from eventlog.testing.machine_tasks import TaskRules
from eventlog.testing.programs import By, shown

__all__ = ["SessionMachine"]


class SessionMachine(TaskRules):
    """Programs on one session by two processes, with crashes, cuts and a clock that jumps."""

    @rule(seconds=st.sampled_from([0.5, 1, 5, 31, 299, 301, 7_200, -1, -3_600]))
    def clock_jumps(self, seconds: float) -> None:
        self.program.clock.advance(seconds)

    @rule(place=places)
    def restart(self, place: int) -> None:
        self.program.restart(place)

    @rule(by=actors)
    def read(self, by: By) -> None:
        """Look at the session as a process sees it, folding the other one's news."""
        self.program.run(
            by,
            lambda model: (model.shown()["live"], model.version),
            lambda session: ([shown(message) for message in session.tail()], session.version),
        )

    @rule(by=actors, damaged=st.booleans())
    def snapshot(self, by: By, damaged: bool) -> None:
        """Write a snapshot of what a process has folded; it must never matter (L12)."""
        self.program.write_snapshot(by, damaged=damaged)
