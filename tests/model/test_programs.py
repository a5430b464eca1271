"""Random programs of commands against the model, with a fault at any step (P1 to P8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis.stateful import run_state_machine_as_test

from eventlog.testing.backing import Backing, MemoryBacking
from eventlog.testing.machine import SessionMachine, TaskMachine
from eventlog.testing.sqlite import SQLiteBacking

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from hypothesis import settings


class MemoryPrograms(SessionMachine):
    """Programs on the memory store: a fault strikes between its calls."""

    def make_backing(self) -> Backing:
        return MemoryBacking()


def test_programs_on_memory_do_what_the_model_does(
    examples: Callable[[int], settings], programs: Counter[str]
) -> None:
    """P1 to P8, whatever is said, committed, worked on, cut and killed in whatever order."""
    run_state_machine_as_test(MemoryPrograms, settings=examples(500))
    programs.update({f"memory {what}": count for what, count in MemoryPrograms.ran.items()})


class MemoryTasks(TaskMachine):
    """Programs about tasks, on the memory store."""

    def make_backing(self) -> Backing:
        return MemoryBacking()


def test_tasks_keep_every_law_at_each_step(
    examples: Callable[[int], settings], programs: Counter[str]
) -> None:
    """P4 to P7: late and lost workers, retries, abandons, crashes, and a clock that jumps."""
    run_state_machine_as_test(MemoryTasks, settings=examples(40))
    programs.update({f"task {what}": count for what, count in MemoryTasks.ran.items()})


def test_programs_on_sqlite_do_what_the_model_does(
    examples: Callable[[int], settings],
    programs: Counter[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on memory, but a fault also strikes between the statements of a transaction.

    Records are merged into the index tables after every few, not after thousands, so that programs
    of a few commands cross that too.
    """
    for module in ("sqlite", "sqlite_lookup"):
        monkeypatch.setattr(f"eventlog.stores.{module}.MERGE_AT", 5)

    class SQLitePrograms(SessionMachine):
        def make_backing(self) -> Backing:
            for path in tmp_path.iterdir():
                path.unlink()
            return SQLiteBacking(tmp_path / "log.db")

    run_state_machine_as_test(SQLitePrograms, settings=examples(150))
    programs.update({f"SQLite {what}": count for what, count in SQLitePrograms.ran.items()})
