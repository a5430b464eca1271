"""Whatever a public writer acknowledges can be read back equal; all else is a typed error (G1, G2).

Every writer of both twins is given anything: what JSON holds, what it changes, what no reader
takes. After each the session is folded anew from what is stored, read whole, verified and appended
to. With ``HYPOTHESIS_PROFILE=nightly`` there are 20,000 values, drawn anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import EventLogError, Message
from tests.shares import examples
from tests.storable.values import VALUES
from tests.storable.writers import CREATIONS, WRITERS, Sessions

Look: TypeAlias = Callable[..., str | None]


@pytest.fixture(scope="module")
def look() -> Iterator[Callable[..., str | None]]:
    """Call a function with the sessions and what is written to them, in a thread as those of a service.

    A call in the main thread goes to another thread, where no signal handler can interrupt it, and back:
    for the six logs of an example that is a third of the time.
    """
    with ThreadPoolExecutor(1) as thread, asyncio.Runner() as runner:
        sessions = Sessions(runner)

        def in_a_thread(problem: Look, name: str, value: Any, is_twin: bool) -> str | None:
            return thread.submit(problem, sessions, name, value, is_twin).result()

        yield in_a_thread
        thread.submit(runner.close).result()


@examples(150, 20_000)
@given(st.sampled_from(sorted(WRITERS)), VALUES, st.booleans())
def test_what_is_acknowledged_reads_back_equal(
    look: Look, name: str, value: Any, is_twin: bool
) -> None:
    assert look(problem_of, name, value, is_twin) is None


@examples(20, 2_000)
@given(st.sampled_from(CREATIONS), VALUES, st.booleans())
def test_a_session_is_created_with_what_can_be_read_back_or_not_at_all(
    look: Look, name: str, value: Any, is_twin: bool
) -> None:
    assert look(problem_of_creation, name, value, is_twin) is None


def problem_of(  # noqa: C901 - each of the laws once
    sessions: Sessions, name: str, value: Any, is_twin: bool
) -> str | None:
    """Return what is wrong after a writer was given a value; None if nothing is."""
    writer = WRITERS[name]
    session_id = sessions.prepared()
    before = sessions.log.session(session_id).version

    def do(method: str, *args: Any, **named: Any) -> Any:
        return sessions.call(is_twin, session_id, method, *args, **named)

    answer: Any
    try:
        answer = writer.write(do, value)
    except EventLogError as refusal:
        str(refusal).encode()
        if sessions.log.session(session_id).version != before:
            return "refused, and stored all the same"
    except BaseException as error:  # noqa: BLE001 - that is what is looked for
        return f"raised {type(error).__name__}"
    else:
        try:
            session = sessions.reopened(session_id)
            if writer.read is not None:
                read, given_value = writer.read(session, value), value
                if read != given_value:
                    return f"read back as {ascii(read)[:60]}"
            if isinstance(answer, Message) and session.history()[-1] != answer:
                return "read back as another message than was answered"
            if name.endswith("event"):
                answered = answer[-1].event  # pyright: ignore[reportIndexIssue]
                if answered != last_event(sessions, session_id):
                    return "read back as another event than was answered"
            if "payload" in name:
                payload = last_event(sessions, session_id).payload
                given_payload = value if name == "whole payload" else {"a": value}
                if payload != (given_payload or {}):
                    return "the payload reads back as another"
        except Exception as error:  # noqa: BLE001
            return f"unreadable: {type(error).__name__}"
    return problem_afterwards(sessions, session_id)


def problem_of_creation(sessions: Sessions, name: str, value: Any, is_twin: bool) -> str | None:
    """Return what is wrong after a session was created with a value."""
    session_id = sessions.fresh_id()
    try:
        sessions.create(is_twin, session_id, **{name: value})
    except EventLogError:
        if sessions.log.exists(session_id):
            return "refused, and created all the same"
        try:
            sessions.create(is_twin, session_id)
        except Exception as error:  # noqa: BLE001
            return f"refused, and then its id could not be used: {type(error).__name__}"
    except BaseException as error:  # noqa: BLE001
        return f"raised {type(error).__name__}"
    return problem_afterwards(sessions, session_id)


def problem_afterwards(sessions: Sessions, session_id: str) -> str | None:
    """Return what cannot be done any more with a session; None if it is as good as ever."""
    try:
        session = sessions.reopened(session_id)
        session.tail()
        session.history(hydrate=True)
        session.context()
        for entry in sessions.log.read(session_id):
            entry.event.model_dump_json()
        list(sessions.log.tasks(session_id))
        if sessions.log.verify(session_id):
            return f"verify: {sessions.log.verify(session_id)[0]}"
        closed = sessions.log.session(session_id).meta.status != "open"
        if not closed:
            sessions.log.session(session_id).append(Message.user("afterwards"))
            sessions.log.session(session_id).commit()
            if sessions.reopened(session_id).history()[-1].text != "afterwards":
                return "what is appended afterwards is lost"
    except Exception as error:  # noqa: BLE001
        return f"afterwards {type(error).__name__}: {ascii(str(error))[:80]}"
    return None


def last_event(sessions: Sessions, session_id: str) -> Any:
    """Return the newest event of a session, as it is stored."""
    return sessions.reopened(session_id) and list(sessions.log.read(session_id))[-1].event
