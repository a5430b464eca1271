"""Nothing of one owner is visible to another one, in any path, also by guessing ids (R9, M12)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlog import Log, Message
from eventlog.http.application import ROUTES
from eventlog.http.routing import Operation
from eventlog.stores.memory import MemoryStore
from eventlog.testing import FakeClock
from tests.http.api import Api, Loop

BODIES: dict[str, Any] = {
    "create_session": {"session_id": "taken"},
    "append_message": {"role": "user", "content": "mine"},
    "append_batch": {"messages": [{"role": "user", "content": "mine"}]},
    "record_result": {"tool_id": "t", "output": "mine"},
    "withdraw": {"last": 1},
    "append_chunk": {"fence": 0, "sequence": 1, "content": "mine"},
    "end_message": {"fence": 0},
    "replace": {"after": 0, "messages": [{"role": "user", "content": "mine"}]},
}

SECRET = "ada's secret"  # noqa: S105 - a text to look for


def with_a_secret(loop: Loop) -> Api:
    """Return an API with a session of ada's that has something of everything."""
    clock = FakeClock()
    api = Api(Log(MemoryStore(), clock=clock), clock, loop)
    session = api.log.session("taken", create=True, owner="ada", workspace="shared")
    session.append(Message.user(SECRET, id="m"))
    call = Message.call("look", {"for": SECRET}, tool_id="t")
    session.append(Message.assistant(tools=(call,), id="c"))
    session.record_tool_result("c", "t", SECRET * 2_000)
    session.commit()
    api.work()
    session.append(Message.user(SECRET))
    return api


def paths_of(api: Api) -> dict[str, str]:
    return {
        "session_id": "taken",
        "archive_id": "archive_001",
        "message_id": "c",
        "tool_id": "t",
        "task_id": next(api.log.tasks()).task_id,
    }


CREATING = ("create_session", "append_message", "append_batch", "begin_message")


@pytest.mark.parametrize("operation", ROUTES.operations, ids=lambda it: it.name)
def test_another_owners_session_answers_as_one_that_does_not_exist(
    loop: Loop, operation: Operation
) -> None:
    api = with_a_secret(loop)
    before = [*api.log.read("taken")]
    known = paths_of(api)
    unknown = {**known, "session_id": "none", "task_id": "01a22c5f-f8d5-7000-91ef-494b2e6c57e4"}
    body = BODIES.get(operation.name, {})
    options: dict[str, Any] = {"json": body} if operation.body else {}
    found = api(operation.method, operation.path[1:].format(**known), who="eve", **options)
    missing = api(operation.method, operation.path[1:].format(**unknown), who="eve", **options)
    after = [*api.log.read("taken")]
    api.log.close()

    assert SECRET not in found.text
    assert "ada" not in found.text
    assert after == before
    if operation.name in CREATING:
        assert (found.status_code, found.json()["error"]["details"]) == (409, {})
        return
    text = found.text
    for name, value in unknown.items():
        text = text.replace(known[name], value)
    assert (found.status_code, text) == (missing.status_code, missing.text)


def test_a_stranger_cannot_tell_whose_id_is_taken(loop: Loop) -> None:
    api = with_a_secret(loop)
    api("POST", "sessions", who="eve", json={"session_id": "eve's"})
    refused = [
        api("POST", "sessions", who="eve", json={"session_id": session})
        for session in ("taken", "eve's")
    ]
    api.log.close()
    assert refused[0].status_code == 409
    assert refused[0].content == refused[1].content


# ---- two owners at once -----------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "c"])
STEPS = st.tuples(
    st.sampled_from(["ada", "eve"]),
    st.sampled_from([it for it in ROUTES.operations if it.name != "get_health"]),
    IDS,
)


@settings(max_examples=25)
@given(st.lists(STEPS, max_size=25))
def test_two_owners_never_meet(steps: list[tuple[str, Operation, str]]) -> None:
    """Whatever they do with the same few ids, each sees and changes what is its own alone."""
    loop = LOOP
    clock = FakeClock()
    api = Api(Log(MemoryStore(), clock=clock), clock, loop)
    owner: dict[str, str] = {}
    tasks: list[str] = []
    for number, (who, operation, session) in enumerate(steps):
        values = {"session_id": session, "archive_id": "archive_001", "message_id": "m"}
        values |= {"tool_id": "t", "task_id": tasks[number % len(tasks)] if tasks else "none"}
        said = {"role": "user", "content": f"said by {who}"}
        bodies: dict[str, Any] = {
            "create_session": {"session_id": session, "project": f"said by {who}"},
            "append_message": said,
            "append_batch": {"messages": [said]},
            "record_result": {"tool_id": "t", "output": f"said by {who}"},
            "withdraw": {"last": 1},
            "append_chunk": {"fence": 2, "sequence": 1, "content": f"said by {who}"},
            "end_message": {"fence": 2},
            "replace": {"after": 0, "messages": [said]},
        }
        options: dict[str, Any] = {"json": bodies.get(operation.name, {})} if operation.body else {}
        answer = api(operation.method, operation.path[1:].format(**values), who=who, **options)
        other = "eve" if who == "ada" else "ada"
        assert answer.status_code < 500, answer.text
        assert f"said by {other}" not in answer.text
        assert f'"owner":"{other}"' not in answer.text
        if answer.is_success and operation.name in CREATING:
            assert owner.setdefault(session, who) == who
        tasks = [task.task_id for task in api.log.tasks()]
    for session, who in owner.items():
        stored = b"".join(entry.record.data for entry in api.log.read(session))
        assert api.log.session(session).meta.owner == who
        assert f"said by {'eve' if who == 'ada' else 'ada'}".encode() not in stored
    api.log.close()


LOOP = Loop()
"""One for all examples."""
