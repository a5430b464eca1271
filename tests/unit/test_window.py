"""The live tail as ranges and sums, compared with a plain list of live messages (C1, C3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from eventlog.session.window import KEEP_LIMIT, Claimed, Retention, VersionRange, Window
from tests.shares import examples


@dataclass
class Entry:
    """A live message of the model."""

    version: int
    tokens: int
    turn: int


@dataclass
class Model:
    """The live tail in its plainest form: a list, and which calls await their results."""

    live: list[Entry] = field(default_factory=list[Entry])
    pending: dict[str, Entry] = field(default_factory=dict[str, Entry])
    turn: int = 0

    def append(self, version: int, tokens: int, *, begins_round: bool) -> None:
        if begins_round or not self.live:
            self.turn = version
        self.live.append(Entry(version, tokens, self.turn))

    def retained(self, keep_recent: int, budget: int | None) -> list[Entry]:
        turns = {entry.turn for entry in self.pending.values()}
        if budget is None:
            newest = self.live[max(0, len(self.live) - keep_recent) :]
        else:
            newest = self._newest_turns(budget)
        kept = set(versions(newest))
        return [entry for entry in self.live if entry.version in kept or entry.turn in turns]

    def _newest_turns(self, budget: int) -> list[Entry]:
        newest: list[Entry] = []
        for turn in sorted({entry.turn for entry in self.live}, reverse=True):
            whole = [entry for entry in self.live if entry.turn == turn]
            budget -= sum(entry.tokens for entry in whole)
            if budget < 0:
                break
            newest += whole
        return newest


class Pair:
    """A window and its model: the same commands must give the same answers."""

    def __init__(self) -> None:
        self.window = Window()
        self.model = Model()
        self.head = 0
        self.calls = 0
        self.archived: set[int] = set()

    def message(
        self, tokens: int = 1, *, begins_round: bool = False, calls: int = 0, gap: int = 0
    ) -> None:
        self.head += 1 + gap
        self.window.append(self.head, tokens, begins_round=begins_round)
        self.model.append(self.head, tokens, begins_round=begins_round)
        for _ in range(calls):
            self.calls += 1
            self.window.call(f"call-{self.calls}", "m", self.head)
            self.model.pending[f"call-{self.calls}"] = self.model.live[-1]

    def answer(self, tool_id: str, tokens: int) -> None:
        self.head += 1
        waiting = self.model.pending.pop(tool_id, None)
        if waiting is not None:
            waiting.tokens += tokens
        assert self.window.answer(tool_id, tokens) is (waiting is not None)

    def commit(self, keep_recent: int = 0, budget: int | None = None) -> Retention:
        plan = self.window.retention(self.head, keep_recent, budget)
        retained = self.model.retained(keep_recent, budget)
        kept = set(versions(retained))
        taken = [entry for entry in self.model.live if entry.version not in kept]
        assert plan.taken_count == len(taken)
        assert plan.taken_tokens == sum(entry.tokens for entry in taken)
        assert plan.retained_count == len(retained)
        assert not plan.taken_count or self._within(plan.takes) == versions(taken)
        assert self._within(plan.retains) == versions(retained)
        if plan.taken_count:
            self.head += 1
            claimed = Claimed(plan.retains, plan.taken_count, plan.taken_tokens)
            self.window.archive(self.head, plan.takes, claimed)
            self.model.live = retained
            self.archived |= set(versions(taken))
            self.head += 1
        return plan

    def _within(self, ranges: list[VersionRange]) -> list[int]:
        """Return the versions of all messages ever, live or archived, that lie in ranges."""
        ever = sorted(self.archived | set(versions(self.model.live)))
        return [version for version in ever if any(a <= version <= b for a, b in ranges)]

    def check(self) -> None:
        window, live = self.window, self.model.live
        assert self._within(window.ranges(self.head)) == versions(live)
        assert window.count == len(live)
        assert window.tokens == sum(entry.tokens for entry in live)
        for keep in (0, 1, 3, len(live), len(live) + 1):
            older = live[: max(0, len(live) - keep)]
            assert window.tokens_before(keep) == sum(entry.tokens for entry in older)
        restored = TypeAdapter(Window).validate_json(TypeAdapter(Window).dump_json(window))
        restored.unpack(memoryview(window.packed()))
        assert restored == window


def versions(entries: list[Entry]) -> list[int]:
    return [entry.version for entry in entries]


_messages = st.tuples(
    st.just("message"), st.integers(0, 9), st.booleans(), st.integers(0, 1), st.integers(0, 1)
)
_answers = st.tuples(st.just("answer"), st.integers(1, 20), st.integers(0, 9))
_commits = st.tuples(st.just("commit"), st.integers(0, 4))
_turn_commits = st.tuples(st.just("turns"), st.integers(0, 30))
_steps = st.integers(0, 9).flatmap(
    lambda die: (
        _messages if die < 6 else _answers if die < 7 else _commits if die < 9 else _turn_commits
    )
)


@examples(50, 4_000)
@given(st.lists(_steps, max_size=40))
def test_a_window_says_what_a_list_of_messages_says(program: list[tuple[Any, ...]]) -> None:
    pair = Pair()
    for step in program:
        match step:
            case ("message", tokens, begins_round, calls, gap):
                pair.message(tokens, begins_round=bool(begins_round), calls=calls, gap=gap)
            case ("answer", number, tokens):
                pair.answer(f"call-{number}", tokens)
            case ("commit", keep_recent):
                pair.commit(keep_recent)
            case _:
                pair.commit(0, step[1])
        pair.check()


def test_two_held_turns_stay_two_ranges_at_the_next_commit() -> None:
    """P2: what was archived between them must not come back to life."""
    pair = Pair()
    pair.message(begins_round=True, calls=1)
    pair.message(begins_round=True)
    pair.message(begins_round=True, calls=1)
    pair.commit()
    pair.message(begins_round=True)

    plan = pair.commit()

    assert plan.retains == [(1, 1), (3, 3)]
    pair.check()


@pytest.mark.parametrize("begins", [1, 3, 7_001])
@pytest.mark.parametrize("keep_recent", [0, 1, KEEP_LIMIT - 1, KEEP_LIMIT])
def test_messages_that_are_not_known_one_by_one_are_archived_all_the_same(
    keep_recent: int, begins: int
) -> None:
    """More than 20,000 live ones, of which an early turn is held; a turn begins now and then."""
    pair = Pair()
    for number in range(45):
        pair.message(number, begins_round=number % 5 == 0, calls=int(number in (11, 32)))
    for number in range(2 * KEEP_LIMIT + 3_000):
        pair.message(number % 7, begins_round=number % begins == 0)
    assert len(pair.window.versions) < 2 * KEEP_LIMIT
    before = len(pair.model.live)

    plan = pair.commit(keep_recent)

    assert plan.taken_count == before - keep_recent - 10
    assert plan.retained_count == keep_recent + 10
    assert len(plan.retains) == 2 + (keep_recent > 0)
    pair.answer("call-1", 3)
    pair.message(2, begins_round=True)
    pair.commit(keep_recent=1)
    assert versions(pair.model.live)[0] == 31
    assert len(pair.model.live) == 6


def test_a_commit_of_nothing_but_held_turns_takes_nothing() -> None:
    pair = Pair()
    pair.message(begins_round=True, calls=1)
    pair.message()

    assert pair.commit().taken_count == 0
    pair.answer("call-1", 2)
    assert pair.commit().taken_tokens == 4


@pytest.mark.parametrize("tokens", [65_536, 1 << 40])
def test_tokens_may_be_as_many_as_an_estimator_says(tokens: int) -> None:
    pair = Pair()
    pair.message(tokens - 1, begins_round=True, calls=1)
    pair.answer("call-1", 1)
    pair.message(tokens, begins_round=True)
    pair.message(1)
    pair.check()

    assert pair.commit(keep_recent=2).taken_tokens == tokens
    pair.check()


def test_a_copy_goes_its_own_way() -> None:
    window = Window()
    window.append(1, 5, begins_round=True)
    copied = window.copy()

    copied.call("c", "m", 1)
    copied.append(2, 5, begins_round=False)
    copied.archive(3, [(1, 1)], Claimed([(2, 2)], 1, 5))

    assert (window.count, window.tokens, list(window.pending), list(window.versions)) == (
        1,
        5,
        [],
        [1],
    )
