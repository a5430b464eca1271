"""Nothing of one owner is visible to another one, in any path, also by guessing ids (R9, M12)."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import Log, Message
from eventlog.http.application import ROUTES
from eventlog.http.routing import Operation
from eventlog.stores.memory import MemoryStore
from eventlog.testing import FakeClock
from tests.http.api import Api, Loop
from tests.shares import examples

BODIES: dict[str, Any] = {
    "create_session": {"session_id": "taken"},
    "append_message": {"role": "user", "content": "mine"},
    "append_batch": {"messages": [{"role": "user", "content": "mine"}]},
    "record_result": {"tool_id": "t", "output": "mine"},
    "withdraw": {"last": 1},
    "append_chunk": {"fence": 0, "sequence": 1, "content": "mine"},
    "end_message": {"fence": 0},
    "record_step": {"output": "mine"},
    "enqueue": {"role": "user", "content": "mine"},
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
    session.enqueue(Message.user(SECRET))
    with session.turn("done") as turn:
        turn.end(SECRET)
    turn = session.begin_turn("turn", resume=True)
    turn.record_step("step", SECRET)
    begun = turn.begin_message(message_id="written")
    turn.append_chunk("written", begun.fence, 1, SECRET)
    return api


def paths_of(api: Api) -> dict[str, str]:
    return {
        "session_id": "taken",
        "archive_id": "archive_001",
        "message_id": "c",
        "tool_id": "t",
        "turn_id": "turn",
        "step": "step",
        "task_id": next(api.log.tasks()).task_id,
    }


CREATING = (
    *("create_session", "append_message", "append_batch"),
    *("begin_message", "begin_turn", "enqueue"),
)


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
    if operation.fenced:
        fence = api.log.session("taken").streams()[0].fence - 2
        options["headers"] = {"Eventlog-Fence": str(fence)}
    found = api(operation.method, operation.path[1:].format(**known), who="eve", **options)
    missing = api(operation.method, operation.path[1:].format(**unknown), who="eve", **options)
    after = [*api.log.read("taken")]
    api.log.close()

    assert SECRET not in found.text
    assert '"ada"' not in found.text
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

FEW = st.sampled_from(["a", "b", "c"])
"""Ids that both draw, so that each guesses the other's."""

NUMBERS = st.integers(1, 12)
"""Fences, sequence numbers and versions: those of the first events of a session."""


class Step(NamedTuple):
    """One request of one of the two."""

    who: str
    operation: Operation
    session: str
    message: str
    turn: str
    number: int
    fence: int | None


STEPS = st.builds(
    Step,
    who=st.sampled_from(["ada", "eve"]),
    operation=st.sampled_from([it for it in ROUTES.operations if it.name != "get_health"]),
    session=FEW,
    message=FEW,
    turn=FEW,
    number=NUMBERS,
    fence=st.none() | NUMBERS,
)


def request_of(step: Step, tasks: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the path of a step, and what is sent."""
    operation = step.operation
    values = {
        "session_id": step.session,
        "archive_id": "archive_001",
        "message_id": step.message,
        "tool_id": "t",
        "turn_id": step.turn,
        "step": "x",
        "task_id": tasks[step.number % len(tasks)] if tasks else "none",
    }
    text = f"said by {step.who}"
    call = {"type": "tool", "tool_id": "t", "tool_name": "look", "tool_status": "pending"}
    said = {
        "id": step.message,
        "role": "assistant",
        "parts": [call, {"type": "text", "text": text}],
    }
    bodies: dict[str, Any] = {
        "create_session": {"session_id": step.session, "project": text},
        "append_message": said,
        "append_batch": {"messages": [said]},
        "record_result": {"tool_id": "t", "output": text},
        "withdraw": {"last": 1},
        "begin_message": {"message_id": step.message, "fields": {"mood": text}},
        "append_chunk": {"fence": step.number, "sequence": 1, "content": text},
        "end_message": {"fence": step.number},
        "begin_turn": {"resume": True},
        "enqueue": said,
        "record_step": {"output": text},
        "end_turn": {"result": text},
        "replace": {"after": 0, "messages": [{"role": "user", "content": text}]},
    }
    sent: dict[str, Any] = {"json": bodies.get(operation.name, {})} if operation.body else {}
    if operation.fenced == "must" or (operation.fenced and step.fence):
        sent["headers"] = {"Eventlog-Fence": str(step.fence or step.number)}
    return operation.path[1:].format(**values), sent


@examples(40, nightly=2_000)
@given(st.lists(STEPS, max_size=30))
def test_two_owners_never_meet(steps: list[Step]) -> None:
    """Whatever they do with the same few ids, each sees and changes what is its own alone."""
    clock = FakeClock()
    api = Api(Log(MemoryStore(), clock=clock), clock, LOOP)
    owner: dict[str, str] = {}
    tasks: list[str] = []
    for step in steps:
        path, sent = request_of(step, tasks)
        before = {session: len([*api.log.read(session)]) for session in owner}
        answer = api(step.operation.method, path, who=step.who, **sent)
        other = "eve" if step.who == "ada" else "ada"
        assert answer.status_code < 500, answer.text
        assert f"said by {other}" not in answer.text
        assert f'"owner":"{other}"' not in answer.text
        if answer.is_success and step.operation.name in CREATING:
            assert owner.setdefault(step.session, step.who) == step.who
        for session, length in before.items():
            grown = len([*api.log.read(session)]) > length
            assert not grown or owner[session] == step.who
        tasks = [task.task_id for task in api.log.tasks()]
    for session, who in owner.items():
        stored = b"".join(entry.record.data for entry in api.log.read(session))
        assert api.log.session(session).meta.owner == who
        assert f"said by {'eve' if who == 'ada' else 'ada'}".encode() not in stored
    api.log.close()


LOOP = Loop()
"""One for all examples."""
