"""Searches: whatever a snapshot has forgotten, and whatever a commit says, no message vanishes (C1, A1)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventlog import Log, Message, Worker
from eventlog.stores.memory import MemoryStore
from tests.shares import examples
from tests.unit.test_derived_state import (
    KEY,
    append_commit,
    everywhere,
    forge_snapshot,
    talk,
    texts,
)


@examples(30, 1_000)
@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 3), st.booleans())
def test_what_a_snapshot_has_forgotten_no_commit_takes_away(
    count: int, first: int, last: int, keep: int, commits_first: bool
) -> None:
    """It knows a part of the live messages only; the library's own commits are decided on that."""
    log = Log(MemoryStore())
    session = talk(log, count)
    if commits_first:
        session.commit(keep_recent=1)
    known = _Known(min(first, count), last)
    forge_snapshot(log, known.forget)
    misled = Log(log.store).session("s")
    misled.append(Message.user("one more"))
    misled.commit(keep_recent=keep)
    Worker(Log(log.store)).run_once()

    log.store.put_blob(KEY, b"dropped")
    everyone = sorted([*(f"text {number}" for number in range(count)), "one more"])
    assert sorted(everywhere(log)) == everyone
    Log(log.store).session("s").commit()
    Worker(Log(log.store)).run_once()
    assert sorted(everywhere(log)) == everyone


class _Known:
    """The part of the live messages that a forged snapshot still knows, with figures that fit."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def forget(self, state: Any) -> None:
        window = state.window
        first = min(self.first, len(window.versions))
        last = max(first, len(window.versions) - self.last)
        if first:
            window.since = window.versions[first - 1]
            window.closed = []
        for name in ("versions", "rounds", "weights"):
            setattr(window, name, getattr(window, name)[first:last])
        window.count, window.tokens = len(window.versions), sum(window.weights)


RANGE = st.tuples(st.integers(0, 11), st.integers(0, 11)).map(list)
RANGES = st.lists(RANGE, max_size=3)


@examples(40, 2_000)
@given(RANGES, RANGES, st.integers(0, 9), st.integers(0, 9))
def test_a_forged_commit_takes_what_it_says_and_nothing_else(
    takes: list[list[int]], retains: list[list[int]], taken: int, retained: int
) -> None:
    """And it is a finding wherever the two are no partition of what was live."""
    log = Log(MemoryStore())
    talk(log)
    append_commit(log, takes=takes, retains=retains, message_count=taken, retained_count=retained)

    session = Log(log.store).session("s")
    times_taken = Counter(
        version for version in range(2, 10) for low, high in takes if low <= version <= high
    )
    live = [f"text {version - 2}" for version in range(2, 10) if not times_taken[version]]
    assert texts(session.tail()) == live
    assert session.meta.message_count == len(live)
    kept = Counter(
        version for version in range(2, 10) for low, high in retains if low <= version <= high
    )
    is_sound = (
        all(bool(times_taken[version]) != bool(kept[version]) for version in range(2, 10))
        and taken == 8 - len(live)
        and retained == len(live)
    )
    found = {finding.kind for finding in Log(log.store).verify("s")}
    assert is_sound or "commit" in found
    session.commit()
    assert set(live) <= set(texts(Log(log.store).session("s").history()))
