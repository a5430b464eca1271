"""Clients: the names, results and errors of a local log, and requests that are repeated safely (R9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

import eventlog
from eventlog import (
    CommitBlocked,
    ConflictError,
    DuplicateEvent,
    Finalizer,
    Indeterminate,
    InvalidArgument,
    InvalidMessage,
    LeaseLost,
    Message,
    MessageWithdrawn,
    SessionClosed,
    SessionNotFound,
    StoreUnavailable,
    Summary,
    TaskNotFound,
    VersionConflict,
)
from eventlog.http import Client, wire
from tests.http.api import Api


def test_a_client_reads_and_writes_as_a_local_session_does(api: Api) -> None:
    """Whatever it returns is equal to what the local face returns, of the same types."""
    call = Message.call("look", {}, tool_id="t/1")
    with api.client() as client:
        session = client.session("s", create=True, project="p", workspace="w", model="m")
        question = session.append(Message.user("question", mood="curious"))
        session.extend(
            [Message.assistant(tools=(call,), id="a/1"), {"role": "user", "content": "x"}]
        )
        session.record_tool_result("a/1", "t/1", "y" * 21_000, duration_ms=3)
        session.used(["memory://1"], {"uri": "skill://1"})
        result = session.commit(keep_recent=1)
        api.work(Finalizer(lambda request: Summary(overview="# all", abstract="short")))
        local = api.log.session("s", owner="ada")

        assert question == local.history()[0]
        assert session.refresh() == session.meta == local.refresh()
        assert session.version == local.version
        assert session.tail() == local.tail()
        assert session.tail(1) == local.tail(1)
        assert session.context(500) == local.context(500)
        assert session.archives() == local.archives()
        assert session.archive("archive_001") == local.archive("archive_001")
        assert session.tool_output("a/1", "t/1", offset=5, limit=7) == local.tool_output(
            "a/1", "t/1", offset=5, limit=7
        )
        assert result.task_id is not None
        assert client.task(result.task_id) == api.log.task(result.task_id)
        assert [*client.tasks("s", "completed")] == [*api.log.tasks("s", "completed")]
        assert [*client.sessions(workspace="w")] == ["s"]
        assert client.latest_session("w") == "s"
        assert client.latest_session("elsewhere") is None
        assert [client.exists(name) for name in ("s", "t")] == [True, False]
        assert session.retry("archive_001") == "already_completed"
        events = [*client.read("s")]
        assert [entry.event for entry in events] == [entry.event for entry in api.log.read("s")]
        assert [entry.metadata for entry in events] == [it.metadata for it in api.log.read("s")]
        assert [entry.time for entry in events] == [entry.time for entry in api.log.read("s")]
        assert [it.version for it in client.read("s", after=1, until=4, limit=9)] == [2, 3, 4]
        assert [it.version for it in client.read("s", limit=2)] == [1, 2]
        session.close(reason="done")
        assert local.refresh().status == "closed"
        assert [it.version for it in client.follow("s", after=2)] == [*range(3, local.version + 1)]
    with api.client("ops") as client:
        assert client.health() == api.log.health()


def test_the_asynchronous_client_is_its_twin(api: Api) -> None:
    async def main() -> None:
        async with api.async_client() as client:
            session = await client.session("s", create=True)
            message = await session.append({"role": "user", "content": "hi"})
            assert await session.tail() == (message,)
            result = await session.commit()
            assert (await client.task(result.task_id or "")).state == "pending"
            assert [it async for it in client.sessions()] == ["s"]
            assert [it.version async for it in client.read("s")] == [1, 2, 3, 4]
            await session.close()
            assert [it.version async for it in client.follow("s", types=["session_closed"])] == [5]
            assert (await session.refresh()).status == "closed"
            assert repr(session) == "<AsyncClientSession 's' at version 5>"

    asyncio.run(main())


def test_errors_are_those_of_the_library(api: Api) -> None:
    with api.client() as client:
        with pytest.raises(SessionNotFound) as missing:
            client.session("s")
        assert missing.value.session_id == "s"
        with pytest.raises(InvalidArgument):
            client.session()
        session = client.session("s", create=True)
        session.append(Message.user("a", id="m"))
        with pytest.raises(DuplicateEvent):
            session.append(Message.user("b", id="m"))
        session.append({"role": "user", "content": "k"}, idempotency_key="k")
        with pytest.raises(DuplicateEvent):
            session.append({"role": "user", "content": "other"}, idempotency_key="k")
        with pytest.raises(InvalidMessage) as wrong:
            session.extend([{"role": "user", "parts": [{"type": "text", "text": 7}]}])
        assert (wrong.value.index, wrong.value.field) == (0, "parts.0.text.text")
        with pytest.raises(InvalidArgument):
            session.used("memory://1")
        with pytest.raises(TaskNotFound):
            client.retry("01a22c5f-f8d5-7000-91ef-494b2e6c57e4")
        session.close()
        with pytest.raises(SessionClosed) as closed:
            session.append(Message.user("late"))
        assert (closed.value.session_id, closed.value.how) == ("s", "closed")
        with pytest.raises(SessionClosed):
            client.session("s", create=True)
        assert client.session("s").meta.status == "closed"
    with api.client("eve") as client, pytest.raises(ConflictError):
        client.session("s", create=True)
    with api.client("nobody") as client, pytest.raises(eventlog.InvalidError):
        client.exists("s")


def test_a_blocked_commit_is_retried_by_a_client(api: Api) -> None:
    api.block("s")
    with api.client() as client:
        session = client.session("s")
        session.append(Message.user("more"))
        with pytest.raises(CommitBlocked) as blocked:
            session.commit()
        assert (blocked.value.archive_id, blocked.value.attempts) == ("archive_001", 1)
        (task,) = client.tasks(state="failed")
        assert client.retry(task.task_id, reason="shorter") == "accepted"
        assert session.commit().status == "accepted"
        session.abandon("archive_001")
        client.abandon([*client.tasks()][1].task_id)
        assert {archive.state for archive in session.archives()} == {"abandoned"}


def test_a_client_withdraws_what_was_said(api: Api) -> None:
    with api.client() as client:
        session = client.session("s", create=True)
        first = session.append(Message.user("a"), expected=1)
        second = session.append(Message.user("b"))
        assert session.message(second.id) == api.log.session("s").message(second.id)
        with pytest.raises(VersionConflict) as late:
            session.clear(expected=2)
        assert (late.value.session_id, late.value.actual) == ("s", 3)
        assert session.withdraw(message_ids=[second.id]) == (second,)
        with pytest.raises(MessageWithdrawn):
            session.message(second.id)
        with pytest.raises(InvalidMessage):
            session.message("other")
        assert session.replace(after=0, messages=[Message.user("c")]) == (first,)
        assert [message.text for message in session.clear()] == ["c"]


def test_a_client_writes_a_message_while_it_arrives(api: Api) -> None:
    with api.client() as client:
        session = client.session("s", create=True)
        begun = session.begin_message(fields={"mood": "calm"})
        session.append_chunk(begun.message_id, begun.fence, 1, "Hel")
        session.append_chunk(begun.message_id, begun.fence, 2, "lo")
        ended = session.end_message(begun.message_id, begun.fence)
        assert (ended.text, ended.id) == ("Hello", begun.message_id)
        again = session.begin_message(message_id="b")
        call = Message.call("look", {}, tool_id="t")
        session.append_chunk("b", again.fence, 1, [call])
        interrupted = session.interrupt_message("b", again.fence)
        assert interrupted is not None
        assert interrupted.model_extra == {"interrupted": True}
        assert [message.id for message in session.tail()] == [ended.id, "b"]
        with pytest.raises(LeaseLost):
            session.append_chunk("b", again.fence + 1, 2, "late")


def test_without_an_id_a_session_gets_one(api: Api) -> None:
    with api.client() as client:
        assert client.session(create=True).id != client.session(create=True).id


def test_lists_are_read_page_by_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(120):
        api.log.session(f"s{number:03d}", create=True, owner="ada").append(Message.user("a"))
    for number in range(3):
        api.log.session(f"s{number:03d}").commit()
    with api.client() as client:
        assert len([*client.sessions()]) == 120
        assert len([*client.tasks()]) == 3


# ---- requests that are made again -------------------------------------------------------------


class Flaky(httpx2.BaseTransport):
    """Loses requests, or their answers, before and after they reach the server."""

    def __init__(self, transport: Any, *losses: str) -> None:
        self.transport = transport
        self.losses = list(losses)
        self.keys: list[str | None] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.keys.append(request.headers.get("idempotency-key"))
        loss = self.losses.pop(0) if self.losses else ""
        if loss == "refused":
            raise httpx2.ConnectError("nobody listens")
        if loss == "busy":
            return httpx2.Response(503, headers={"Retry-After": "2"})
        response: httpx2.Response = self.transport.handle_request(request)
        if loss == "lost":
            raise httpx2.ReadError("the connection was cut")
        return response


COMMANDS: dict[str, Callable[[Any], Any]] = {
    "append": lambda session: session.append(Message.user("x")),
    "append chat": lambda session: session.append({"role": "user", "content": "x"}),
    "append keyed": lambda session: session.append(Message.user("x"), idempotency_key="k"),
    "extend": lambda session: session.extend([Message.user("x"), {"role": "user", "content": "y"}]),
    "result": lambda session: session.record_tool_result("c", "t", "found"),
    "used": lambda session: session.used(["memory://1"]),
    "commit": lambda session: session.commit(),
    "withdraw": lambda session: session.withdraw(last=1),
    "clear": lambda session: session.clear(),
    "close": lambda session: session.close(),
}


@pytest.mark.parametrize("loss", ["refused", "busy", "lost"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_made_again_is_recorded_once(api: Api, name: str, loss: str) -> None:
    def prepare(session: str) -> None:
        local = api.log.session(session, create=True, owner="ada")
        local.append(Message.assistant(tools=(Message.call("look", {}, tool_id="t"),), id="c"))

    pauses: list[float] = []
    types = []
    for session, losses in (("plain", ()), ("flaky", (loss, loss))):
        prepare(session)
        opened = api.client().session(session)
        transport = Flaky(api.transport, *losses)
        with api.client(transport=transport, sleep=pauses.append) as client:
            opened._connection = client._connection
            COMMANDS[name](opened)
        assert len(set(transport.keys)) == 1
        types.append([entry.type for entry in api.log.read(session)])
    assert types[0] == types[1]
    assert len(pauses) == 2
    assert all(pause >= (2 if loss == "busy" else 0.1) for pause in pauses)


def test_a_session_that_is_created_again_is_created_once(api: Api) -> None:
    transport = Flaky(api.transport, "", "lost")
    with api.client(transport=transport, sleep=lambda _: None) as client:
        session = client.session("s", create=True, project="p")
    assert (session.version, session.meta.project) == (1, "p")


def test_clients_that_create_one_session_at_once_share_it(api: Api) -> None:
    class Racing(httpx2.BaseTransport):
        """Has another client create the session between the look and the creation."""

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.method == "POST":
                api.log.session("s", create=True, owner=owner).ensure_created()
            response: httpx2.Response = api.transport.handle_request(request)
            return response

    owner = "ada"
    with api.client(transport=Racing()) as client:
        assert client.session("s", create=True).version == 1
        api.log.session("t", create=True, owner="eve").ensure_created()
        with pytest.raises(ConflictError):
            client.session("t", create=True)


def test_what_gets_no_answer_is_an_error_of_the_library(api: Api) -> None:
    api.append("s", "hi")
    losses = ["lost"] * 10
    pauses: list[float] = []
    transport = Flaky(api.transport)
    with api.client(transport=transport, sleep=pauses.append, attempts=3) as client:
        session = client.session("s")
        transport.losses = losses
        with pytest.raises(Indeterminate):
            session.append(Message.user("x"))
        with pytest.raises(StoreUnavailable):
            session.tail()
        transport.losses = ["refused"] * 3
        with pytest.raises(StoreUnavailable):
            session.commit()
        transport.losses = ["busy"] * 3
        with pytest.raises(eventlog.UnavailableError):
            session.commit()
    assert len(pauses) == 8
    assert api.log.session("s").version == 3


def test_pauses_grow_and_have_an_end() -> None:
    pauses = [wire.try_again_after(attempt, 99, None, lambda: 1.0) for attempt in range(1, 12)]
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert max(pause or 0 for pause in pauses) == 10
    for status, again in ((200, False), (404, False), (500, False), (429, True), (503, True)):
        found = wire.try_again_after(1, 2, httpx2.Response(status))
        assert (found is not None) == again
    endless = httpx2.Response(503, headers={"Retry-After": "9" * 400})
    assert (wire.try_again_after(1, 2, endless) or 0) < 21


def test_a_client_has_its_token_and_its_time() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"sessions": [], "next": None})

    transport = httpx2.MockTransport(answer)
    client = Client("http://h:1/logs/", token="a token", transport=transport)  # noqa: S106
    assert [*client.sessions(workspace="a b", newest_first=True)] == []
    assert seen[0].headers["authorization"] == "Bearer a token"
    assert str(seen[0].url) == "http://h:1/logs/api/v1/sessions?workspace=a+b&newest_first=true"


def test_a_client_queues_messages_for_runs_and_stops_them(api: Api) -> None:
    with api.client() as client:
        session = client.session("s", create=True)
        message = Message.user("question")
        first = session.enqueue(message)
        assert session.enqueue(message) == first
        second = session.enqueue({"role": "user", "content": "x"}, idempotency_key="k")
        assert [run.run_id for run in client.runs()] == [first, second]
        assert [*client.runs("s", "idle")] == [*api.log.runs("s", "idle")]
        assert session.stop_run(first, reason="not needed") == first
        assert session.stop_run() is None
        assert [run.run_id for run in client.runs(state="cancelled")] == [first]
        assert [*api.client("eve").runs()] == []
        assert session.stop_run("01a22c5f-f8d5-7000-91ef-494b2e6c57e4") is None
