"""Defects that random programs have found, each as the few lines to which it shrank."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from eventlog import DuplicateEvent, InvalidMessage, Log, Message, SessionClosed
from eventlog.engine.owner import this_process
from eventlog.identifiers import draw_id
from eventlog.session.tasks.commands import ClaimTask, FailAttempt
from eventlog.stores.memory import MemoryStore
from eventlog.stores.sqlite import SQLiteStore
from eventlog.testing.inside import execute
from eventlog.testing.model.laws import check_laws

if TYPE_CHECKING:
    from pathlib import Path

    from eventlog import Session
    from eventlog.identifiers import EventId
    from eventlog.store import Store

CHAT = "chat"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def _open(store: Store) -> Session:
    """Open the session as another process would."""
    return Log(store).session(CHAT, create=True)


def test_two_processes_may_both_be_the_first_to_write(store: MemoryStore) -> None:
    one, other = _open(store), _open(store)
    one.append(Message.user("first"))
    other.append(Message.user("second"))
    assert [message.text for message in other.tail()] == ["first", "second"]
    check_laws(store)


def test_another_process_may_repeat_what_created_the_session(store: MemoryStore) -> None:
    """P8: the repetition would create the session too, under another id."""
    one, other = _open(store), _open(store)
    message = one.append(Message.user("first"))
    assert other.append(message) == message
    assert len(other.tail()) == 1


def test_a_commit_takes_what_another_process_has_appended_meanwhile(store: MemoryStore) -> None:
    """A decision to record nothing is taken on the log as it is, like any other."""
    one = _open(store)
    one.append(Message.user("first"))
    other = _open(store)
    other.commit()
    one.append(Message.user("second"))
    assert other.commit().archived == 1


def test_a_commit_is_not_blocked_by_a_failure_that_another_process_has_settled(
    store: MemoryStore,
) -> None:
    one, log = _open(store), Log(store)
    one.append(Message.user("first"))
    task_id = one.commit().task_id
    assert task_id is not None
    fence = execute(log, CHAT, ClaimTask(task_id, "w", this_process(), 10**9, attempts=1)).fence
    execute(log, CHAT, FailAttempt(task_id, fence, "broken", fatal=True, attempts=1, delay=0))
    one.refresh()
    log.session(CHAT).abandon("archive_001")
    log.session(CHAT).append(Message.user("second"))
    assert one.commit().archived == 1


@pytest.mark.parametrize("end", ["close", "delete"])
def test_other_content_under_a_known_id_is_refused_by_an_ended_session(
    store: MemoryStore, end: str
) -> None:
    """L3: only the same content is a repetition, whatever became of the session."""
    session = _open(store)
    original = session.append(Message.user("original", id="m1"))
    getattr(session, end)()
    assert session.append(original).text == "original"
    with pytest.raises((DuplicateEvent, SessionClosed)):
        session.append(Message.user("other", id="m1"))


def test_another_result_for_a_known_call_is_refused_by_a_closed_session(
    store: MemoryStore,
) -> None:
    session = _open(store)
    session.append(Message.assistant(tools=(Message.call("look", {}, tool_id="c"),), id="m1"))
    session.record_tool_result("m1", "c", "found")
    session.close()
    session.record_tool_result("m1", "c", "found")
    with pytest.raises((DuplicateEvent, SessionClosed)):
        session.record_tool_result("m1", "c", "nothing found")


@pytest.mark.parametrize("message_id", ["m2", "nobody"])
def test_a_result_for_a_message_without_that_call_is_refused(
    store: MemoryStore, message_id: str
) -> None:
    """M4: else the call would count as answered, and no message would ever show the result."""
    session = _open(store)
    session.append(Message.assistant(tools=(Message.call("look", {}, tool_id="c"),), id="m1"))
    session.append(Message.user("hello", id="m2"))
    with pytest.raises(InvalidMessage):
        session.record_tool_result(message_id, "c", "found")
    session.commit()
    assert [message.id for message in session.tail()] == ["m1"]


def test_a_call_waits_for_its_result_although_another_has_the_same_tool_id(
    store: MemoryStore,
) -> None:
    """C3: providers number the calls of a message, so ids come again in the next one."""
    session = _open(store)
    for number in (1, 2):
        session.append(Message.user(f"question {number}"))
        part = Message.call("look", {}, tool_id="call_0")
        session.append(Message.assistant(tools=(part,), id=f"a{number}"))
    session.record_tool_result("a2", "call_0", "found")
    session.commit()
    assert "a1" in [message.id for message in session.tail()]
    check_laws(store)


def test_a_message_that_is_folded_during_a_decision_is_not_lost(store: MemoryStore) -> None:
    """P1: a reader folds another process's message between a commit's plan and its record."""
    writer = Log(store)
    meanwhile: list[threading.Thread] = []

    def ids() -> EventId:
        if session.version and not meanwhile:
            writer.session(CHAT).append(Message.user("meanwhile"))
            reader = threading.Thread(target=session.refresh)
            meanwhile.append(reader)
            reader.start()
            reader.join(0.2)  # Where readers wait for the decision, it waits for none of them.
        return draw_id()

    session = Log(store, ids=ids).session(CHAT, create=True)
    session.append(Message.user("first"))
    session.commit()
    for reader in meanwhile:
        reader.join()
    assert meanwhile
    check_laws(store)
    assert [message.text for message in session.context().messages] == ["first", "meanwhile"]


def test_a_process_that_looks_seldom_sees_what_another_has_merged_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: its tail is renewed, but no head of a stream is older than the tail's beginning."""
    for module in ("store", "lookup"):
        monkeypatch.setattr(f"eventlog.stores.sqlite.{module}.MERGE_AT", 5)
    writer, looker = (SQLiteStore(tmp_path / "log.db", synchronous="off") for _ in range(2))
    session = _open(writer)
    for number in range(40):
        session.append(Message.user(f"{number}"))
        if number <= 10 or number % 10 == 8:
            assert looker.head(CHAT).version == session.version
            assert len(list(looker.read(CHAT))) == session.version
    for store in (writer, looker):
        store.close()
