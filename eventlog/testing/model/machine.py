"""Hypothesis state machines that generate programs, with a fault at any step of any command.

Run them on your own storage::

    class Programs(SessionMachine):
        def make_backing(self) -> Backing:
            return MyBacking()

    run_state_machine_as_test(Programs)

A failing program shrinks to a few rules and is printed as plain Python.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from eventlog.testing.model.base_rules import ProgramMachine, actors, places
from eventlog.testing.model.message_rules import MessageRules
from eventlog.testing.model.programs import By, shown
from eventlog.testing.model.task_rules import TaskRules

__all__ = ["SessionMachine", "TaskMachine"]


class ProcessRules(ProgramMachine):
    """What happens to processes whatever they do: clock jumps, ends and starts."""

    @rule(seconds=st.sampled_from([0.5, 1, 5, 31, 299, 301, 7_200, -1, -3_600]))
    def clock_jumps(self, seconds: float) -> None:
        self.program.clock.advance(seconds)

    @rule(place=places)
    def restart(self, place: int) -> None:
        self.program.restart(place)

    @rule(by=actors)
    def read(self, by: By) -> None:
        """Read the session in a process, which folds the other one's new records."""
        self.program.run(
            by,
            lambda model: (model.shown()["live"], model.version),
            lambda session: ([shown(message) for message in session.tail()], session.version),
        )

    @rule(by=actors, damaged=st.booleans())
    def snapshot(self, by: By, damaged: bool) -> None:
        """Write a snapshot of a process's state; this must change nothing."""
        self.program.write_snapshot(by, damaged=damaged)


class SessionMachine(TaskRules, MessageRules, ProcessRules):
    """Programs on one session by two processes, with crashes, cuts and a clock that jumps."""


class TaskMachine(TaskRules, ProcessRules):
    """Programs about tasks only, with archives from the start; every law is checked at each step.

    Here a few steps reach what workers and operators may do at a wrong moment; programs that also hold
    a conversation reach it only now and then.
    """

    @initialize(failed_archives=st.sampled_from(["block", "skip"]), rounds=st.integers(1, 4))
    def begin(self, failed_archives: Any, rounds: int) -> None:
        super().begin(failed_archives, rounds)

    @rule(by=actors)
    def commit(self, by: By) -> None:
        """Append one more message and archive it."""
        name = f"more{len(self.model.said)}"
        self.program.append(by, [{"id": name, "role": "user", "parts": []}])
        self.program.commit(by)

    @invariant()
    def laws_hold(self) -> None:
        if hasattr(self, "program"):
            self.program.check()
