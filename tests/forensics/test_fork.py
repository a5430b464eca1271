"""Forks: what would have been, had an event been another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import Finalizer, Message, Worker
from eventlog.errors import HistoryConflict, InvalidArgument
from eventlog.forensics.paths import differences, format_path
from eventlog.projections import Archives, LiveTail
from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from eventlog import Log, Session


def moved(values: Any, origin: Session, fork: Session) -> Any:
    """Return values as if they were the fork's: its name, its tasks."""
    tasks = dict(
        zip(
            origin.at(version=origin.version).values()["tasks"],
            fork.at(version=fork.version).values()["tasks"],
            strict=False,
        )
    )

    def move(value: Any) -> Any:
        if isinstance(value, str):
            for old, new in tasks.items():
                value = value.replace(old, new)
            return value.replace(origin.id, fork.id)
        if isinstance(value, dict):
            return {move(name): move(each) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [move(each) for each in value]
        return value

    return move(values)


def comparable(values: Any) -> dict[str, Any]:
    return {name: value for name, value in dict(values).items() if name != "version"}


def test_a_fork_without_edits_is_the_same_session_under_another_name(
    log: Log, session: Session
) -> None:
    before = list(log.read(session.id))
    fork = session.fork("what-if", actor="ada")
    assert list(log.read(session.id)) == before  # The original is untouched.
    records = list(log.read("what-if"))
    assert [each.type for each in records] == [each.type for each in before] + ["session_forked"]
    assert [each.time for each in records[:-1]] == [each.time for each in before]
    for version in range(1, session.version + 1):
        original, copied = session.at(version=version), fork.at(version=version)
        assert moved(comparable(original.values()), session, fork) == moved(
            comparable(copied.values()), session, fork
        )
        assert original.was_live == copied.was_live
    assert log.verify("what-if") == []
    origin: Any = records[-1].event
    assert (origin.origin, origin.origin_version, records[-1].metadata.actor) == (
        session.id,
        12,
        "ada",
    )
    assert origin.origin_hash == before[-1].record.hash.hex()


def test_of_a_fork_with_one_message_edited_that_differs_and_nothing_else(
    log: Log, session: Session
) -> None:
    edited = Message.model_validate(
        {"id": "m-5", "role": "user", "parts": [{"type": "text", "text": "short"}]}
    )
    fork = session.fork("what-if", edit={12: edited})
    left = moved(comparable(session.at(version=12).values()), session, fork)
    right = moved(comparable(fork.at(version=12).values()), session, fork)
    paths = {format_path(path) for path, _, _ in differences(left, right)}
    assert paths == {
        "tail[m-5].parts[text].text",
        "tail[m-5].created_at",
    }
    assert log.verify("what-if") == []
    event: Any
    (event,) = [each.event for each in log.read("what-if") if each.type == "session_forked"]
    assert (event.edited, event.dropped, event.inserted) == ([12], [], [])


def test_a_fork_ends_at_its_version(log: Log, session: Session) -> None:
    fork = session.fork("what-if", version=6)
    assert [message.id for message in fork.tail()] == ["m-1", "m-2", "m-3", "m-4"]
    fork.append(Message.user("and now something else"))
    fork.commit()
    assert Worker(log, Finalizer()).run_once() == 1
    assert log.verify("what-if") == []
    assert log.verify(session.id) == []
    assert len(session.archives()) == 1


def test_events_are_dropped_and_inserted_on_the_way(log: Log, session: Session) -> None:
    """Ranges of versions follow, and commits count what they take."""

    def edit(recorded: Recorded) -> Any:
        if recorded.version == 5:
            return None
        if recorded.version == 4:
            put_in = Message.model_validate(
                {"id": "new", "role": "assistant", "parts": [{"type": "text", "text": "n" * 40}]}
            )
            return [recorded, put_in]
        return recorded

    fork = session.fork("what-if", edit=edit)
    assert log.verify("what-if") == []
    (archive,) = log.project("what-if", Archives())
    assert archive.message_ids == ("m-1", "m-2", "new")
    assert archive.archive.message_count == 3
    assert [message.id for message in fork.tail()] == ["m-4", "m-5"]
    assert fork.tail() == log.project("what-if", LiveTail())
    event: Any
    (event,) = [each.event for each in log.read("what-if") if each.type == "session_forked"]
    assert (event.edited, event.dropped, event.inserted) == ([], [5], [4])


def test_what_could_not_have_been_is_refused_and_nothing_written(
    log: Log, session: Session
) -> None:
    with pytest.raises(InvalidArgument, match="version 9, a task_claimed"):
        session.fork("what-if", edit={8: None})
    assert not log.exists("what-if")
    with pytest.raises(InvalidArgument, match="another id"):
        session.fork(session.id)
    with pytest.raises(InvalidArgument):
        session.fork("what-if", version=0)
    with pytest.raises(InvalidArgument, match="no version 99"):
        session.fork("what-if", version=99)
    with pytest.raises(InvalidArgument, match="give an event"):
        session.fork("what-if", edit={3: "text"})  # type: ignore[dict-item]


def test_a_fork_made_again_is_the_same_one(log: Log, session: Session) -> None:
    session.fork("what-if", version=6)
    records = list(log.read("what-if"))
    session.fork("what-if", version=6)
    assert list(log.read("what-if")) == records
    with pytest.raises(HistoryConflict, match="fork into another id"):
        session.fork("what-if", version=5)
    log.session("taken", create=True).append(Message.user("mine"))
    with pytest.raises(HistoryConflict):
        session.fork("taken")


def test_repeated_messages_and_results_are_known_in_a_fork(log: Log, session: Session) -> None:
    """P8: ids follow from the messages' ids, and from idempotency keys."""
    first = session.commit(idempotency_key="k-1")
    fork = session.fork("what-if")
    version = fork.version
    fork.append(
        Message.model_validate(
            {
                "id": "m-5",
                "role": "user",
                "parts": [{"type": "text", "text": "x" * 20_000}],
                "created_at": session.history()[4].created_at,
            }
        )
    )
    assert fork.commit(idempotency_key="k-1").archive_id == first.archive_id
    fork.record_tool_result("m-2", "call-1", "in the attic")
    assert fork.version == version


def test_large_outputs_are_the_forks_own(log: Log, session: Session) -> None:
    part = {"type": "tool", "tool_id": "big", "tool_name": "f", "tool_status": "completed"}
    session.append(
        Message.model_validate(
            {"id": "m-8", "role": "assistant", "parts": [{**part, "tool_output": "z" * 50_000}]}
        )
    )
    fork = session.fork("what-if")
    assert fork.tool_output("m-8", "big").text == "z" * 50_000
    assert log.verify("what-if") == []
    part_of_fork: Any = fork.tail()[-1].parts[0]
    assert "what-if" in part_of_fork.tool_output_ref


def test_a_fork_of_thousands_of_events_is_written_in_parts() -> None:
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        session.extend([Message.user(str(number)) for number in range(1_200)])
        session.commit(keep_recent=5)
        fork = session.fork("f")
        assert fork.version == session.version + 1
        assert log.verify("f") == []


def test_random_programs_fork_at_every_version(log: Log, session: Session) -> None:
    """A fork at any version is sound, and the state is the original's."""
    for version in range(1, session.version + 1):
        fork = session.fork(f"at-{version}", version=version)
        assert log.verify(fork.id) == []
        assert fork.tail() == session.at(version=version).tail()
