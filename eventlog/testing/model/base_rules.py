"""The base of the rules of `eventlog.testing.model.machine`: one program and its processes."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from eventlog.testing.model.backing import Backing
from eventlog.testing.model.programs import By, Program
from eventlog.testing.model.session import SessionModel

__all__ = ["ProgramMachine", "actors", "picks"]

faults = st.sampled_from(["power", "power", "cut"])
places = st.integers(0, 1)

actors = (
    st.builds(By, places)
    | st.builds(By, places)
    | st.builds(By, places, after=st.integers(1, 8), fault=faults)
)
"""The process that runs a command, and the fault that interrupts it; mostly there is none."""

picks = st.integers(0, 1_000)
"""Chooses one of the existing things, by number modulo their count."""


class ProgramMachine(RuleBasedStateMachine):
    """A program without rules."""

    ran: ClassVar[Counter[str]] = Counter()
    """The figures of all programs of this class."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.ran = Counter()

    def make_backing(self) -> Backing:
        """Return empty storage for one program."""
        raise NotImplementedError

    @initialize(failed_archives=st.sampled_from(["block", "skip"]), rounds=st.integers(0, 3))
    def begin(self, failed_archives: Any, rounds: int) -> None:
        """Begin with nothing, or with some archives that wait for a worker and a live message."""
        self.program = Program(self.make_backing(), failed_archives)
        for number in range(rounds):
            names = [f"given{number}a", f"given{number}b"]
            messages: list[dict[str, Any]] = [
                {"id": name, "role": "user", "parts": []} for name in names
            ]
            self.program.append(By(0), messages)
            self.program.commit(By(0))
        if rounds:
            self.program.append(By(0), [{"id": "given", "role": "user", "parts": []}])

    def teardown(self) -> None:
        if not hasattr(self, "program"):
            return
        self.program.end()
        type(self).ran.update(programs=1, **self.program.ran)

    def archive(self, pick: int) -> int:
        """Return the index of one of the archives."""
        return pick % len(self.model.archives) + 1

    @property
    def model(self) -> SessionModel:
        return self.program.model

    @property
    def now(self) -> int:
        return self.program.clock.now
