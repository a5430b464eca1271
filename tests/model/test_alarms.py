"""Broken variants of the library: the programs must find each of them, or they prove nothing (K5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from eventlog import EventLogError, LeaseLost
from eventlog.session.tasks import commands, state
from eventlog.session.tasks.commands import ClaimTask
from eventlog.session.window import Window
from eventlog.stores.memory import MemoryStore
from eventlog.testing.machine import SessionMachine, TaskMachine
from eventlog.testing.model.backing import Backing, MemoryBacking

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from eventlog.errors import EventLogError as Refused
    from eventlog.identifiers import EventId, IdSource
    from eventlog.records import Append, Appended
    from eventlog.session.state import SessionState
    from eventlog.session.tasks.state import Task
    from eventlog.session.window import Claimed, VersionRange
    from eventlog.testing.model.base_rules import ProgramMachine


@pytest.fixture
def find_the_defect(
    examples: Callable[[int], settings], programs: Counter[str]
) -> Callable[..., None]:
    """Run programs on a store until one fails; fail if none does."""

    def run(
        make_store: Callable[[], MemoryStore] = MemoryStore,
        machine: type[ProgramMachine] = SessionMachine,
    ) -> None:
        class Programs(machine):  # type: ignore[misc, valid-type]  # a class made from another
            def make_backing(self) -> Backing:
                return MemoryBacking(make_store())

        generating = settings(examples(1_000), phases=[Phase.generate])
        with pytest.raises((AssertionError, EventLogError)):
            run_state_machine_as_test(Programs, settings=generating)
        programs["defects found"] += 1
        programs["programs until all were found"] += Programs.ran["programs"] + 1

    return run


def test_a_commit_that_leaves_what_it_took_live_is_found(
    find_the_defect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2: the lost clear, in a fold."""
    archive = Window.archive

    def archive_and_keep(
        self: Window, version: int, taken: Sequence[VersionRange], claimed: Claimed
    ) -> None:
        archive(self, version, [], claimed._replace(retains=self.ranges(version - 1)))

    monkeypatch.setattr(Window, "archive", archive_and_keep)
    find_the_defect()


def test_a_commit_that_drops_what_it_should_retain_is_found(
    find_the_defect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: retained messages are in no archive."""
    archive = Window.archive

    def archive_all(
        self: Window, version: int, taken: Sequence[VersionRange], claimed: Claimed
    ) -> None:
        archive(self, version, self.ranges(version - 1), claimed._replace(retains=[]))

    monkeypatch.setattr(Window, "archive", archive_all)
    find_the_defect()


# ---- tasks ------------------------------------------------------------------------------------


def test_writes_without_a_fence_are_found(
    find_the_defect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P5: a late owner writes as if the task were still its own."""

    def anybody(found: SessionState, task_id: str, fence: int) -> Task:
        task = found.tasks.get(task_id)
        if task is None or task.state != "running":
            raise LeaseLost(task_id, fence, "the task is not running")
        return task

    monkeypatch.setattr(commands, "_owned", anybody)
    find_the_defect(machine=TaskMachine)


def test_claims_of_what_is_in_work_are_found(
    find_the_defect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P5, F2: a lease that has not ended is taken from its owner."""

    def always(self: ClaimTask, task: Task, now: int) -> bool:
        return task.is_open

    monkeypatch.setattr(ClaimTask, "_is_free", always)
    find_the_defect(machine=TaskMachine)


def test_claims_out_of_order_are_found(
    find_the_defect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P5, F1: an archive is taken before those in front of it are done."""
    decide = ClaimTask.decide

    def decide_for_any(self: ClaimTask, found: SessionState, now: int, ids: IdSource) -> Any:
        alone = found.copy()
        task = alone.tasks.get(self.task_id)
        alone.lane = [task.archive] if task is not None and task.archive is not None else []
        alone.failed = []
        return decide(self, alone, now, ids)

    monkeypatch.setattr(ClaimTask, "decide", decide_for_any)
    find_the_defect(machine=TaskMachine)


def test_claims_beyond_the_last_attempt_are_found(
    find_the_defect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P6: a poison archive ends one worker after another."""
    decide = ClaimTask.decide

    def decide_for_ever(self: ClaimTask, found: SessionState, now: int, ids: IdSource) -> Any:
        return decide(replace(self, attempts=1_000), found, now, ids)

    monkeypatch.setattr(ClaimTask, "decide", decide_for_ever)
    find_the_defect(machine=TaskMachine)


def test_crashes_that_are_not_counted_are_found(
    find_the_defect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P6: a poison archive would be tried for ever."""
    advance = state.advance

    def forgetful(task: Task, record: Any, event: Any) -> Task | None:
        moved = advance(task, record, event)
        if moved is not None and record.type == "lease_expired":
            return replace(moved, attempts=moved.attempts - 1)
        return moved

    monkeypatch.setattr("eventlog.session.tasks.folding.advance", forgetful)
    monkeypatch.setattr("eventlog.session.index.advance", forgetful)
    find_the_defect(machine=TaskMachine)


# ---- stores -----------------------------------------------------------------------------------


class ForgetfulStore(MemoryStore):
    """Knows no id that it has stored."""

    def append(self, batch: Sequence[Append]) -> list[Appended | Refused]:
        self._ids.clear()
        return super().append(batch)

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        return {}


class LateIndexStore(MemoryStore):
    """Stores the index entries of an append only with the next one."""

    def __init__(self) -> None:
        super().__init__()
        self._late: list[tuple[str, bytes | None]] = []

    def append(self, batch: Sequence[Append]) -> list[Appended | Refused]:
        self.put_index(self._late)
        self._late = [entry for append in batch for entry in append.entries]
        return super().append([append._replace(entries=()) for append in batch])


class LaxStore(MemoryStore):
    """Appends at the end, whatever version is expected."""

    def append(self, batch: Sequence[Append]) -> list[Appended | Refused]:
        answers: list[Appended | Refused] = []
        for append in batch:
            at_the_end = self.head(append.stream).version
            answers += super().append([append._replace(expected=at_the_end, previous=None)])
        return answers


class LosingStore(MemoryStore):
    """Acknowledges every 7th append without storing it."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0

    def append(self, batch: Sequence[Append]) -> list[Appended | Refused]:
        self._asked += 1
        answers = super().append(batch)
        if self._asked % 7 == 0:
            for append in batch:
                del self._streams[append.stream][-len(append.records) :]
                del self._log[-len(append.records) :]
        return answers


@pytest.mark.parametrize("store", [ForgetfulStore, LateIndexStore, LaxStore, LosingStore])
def test_a_store_that_breaks_its_word_is_found(
    store: type[MemoryStore], find_the_defect: Callable[..., None]
) -> None:
    """P1, P8, L14."""
    find_the_defect(store)
