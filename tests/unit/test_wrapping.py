"""Stores around another store: what users test their own code with."""

from __future__ import annotations

import pytest

from eventlog import Log, Message, StoreUnavailable
from eventlog.stores.memory import MemoryStore
from eventlog.testing import CrashingStore, FakeClock, FaultyStore, RecordingStore, SlowStore, Steps


def test_a_faulty_store_fails_as_often_as_it_was_told_to() -> None:
    faulty = FaultyStore(MemoryStore())
    session = Log(faulty).session("chat", create=True)
    faulty.fail("append", StoreUnavailable("away"), times=2)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="away"):
            session.append(Message.user("hello"))

    session.append(Message.user("hello"))

    assert len(session.history()) == 1


def test_an_append_whose_answer_is_lost_is_found_and_not_repeated() -> None:
    """L4, P8: the session looks its ids up."""
    faulty = FaultyStore(RecordingStore(MemoryStore()))
    session = Log(faulty).session("chat", create=True)
    faulty.lose_answer("append")

    message = session.append(Message.user("hello"))

    assert [found.id for found in session.history()] == [message.id]
    assert session.version == 2


def test_a_slow_store_takes_its_time() -> None:
    clock = FakeClock()
    began = clock.now
    store = SlowStore(MemoryStore(), 0.5, sleep=clock.advance)
    Log(store, clock=clock).session("chat", create=True).append(Message.user("hello"))

    assert clock.now >= began + 500_000


def test_a_recording_store_notes_each_call() -> None:
    recording = RecordingStore(MemoryStore())
    session = Log(recording).session("chat", create=True)
    recording.calls.clear()
    session.append(Message.user("hello"))

    assert recording.verbs() == ["append"]
    (call,) = recording.calls
    assert call.writes
    assert [record.type for record in call.arguments[0].records] == [
        "session_created",
        "message_appended",
    ]


def test_a_store_that_is_full_stores_nothing_and_says_so() -> None:
    steps = Steps()
    session = Log(CrashingStore(MemoryStore(), steps)).session("chat", create=True)
    steps.fail(steps.count + 1, "full")

    with pytest.raises(StoreUnavailable):
        session.append(Message.user("hello"))
    assert session.append(Message.user("hello")).text == "hello"
