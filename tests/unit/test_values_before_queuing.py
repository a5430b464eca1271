"""A large value is stored by its caller before the command is queued, never by who writes (L11).

The thread that writes does so for everybody: a value that is stored there lets all of them wait.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from eventlog import (
    AsyncLog,
    Finalizer,
    Log,
    LogClosed,
    Message,
    SessionClosed,
    TaskRequest,
    ToolOutputPolicy,
    Worker,
)
from eventlog.stores.memory import MemoryStore
from eventlog.testing.inside import core_of
from eventlog.testing.wrapping import Answer, StoreCall, WrappedStore

LARGE = "x" * 30_000
SEVERAL = [f"t{number}" for number in range(8)]


class Watching(WrappedStore):
    """Notes the thread that stores each large value, and whether the committer called for it."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.threads: list[threading.Thread] = []
        self.by_committer: list[str] = []

    def around(self, call: StoreCall, go_on: Callable[[], Answer]) -> Answer:
        if call.verb == "put_blob" and call.arguments[0].startswith("value/"):
            self.threads.append(threading.current_thread())
            self.by_committer += [call.arguments[0]] * _is_in_a_round()
        return go_on()


def _is_in_a_round() -> bool:
    """Return whether the committer is at work in this thread: a caller may lead it itself."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "eventlog.engine.committer":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def called(id: str, *tool_ids: str) -> Message:
    return Message.assistant(
        tools=tuple(Message.call("read", {}, tool_id=tool_id) for tool_id in tool_ids), id=id
    )


def test_the_watcher_sees_a_value_that_the_committer_stores() -> None:
    """Or nothing else here could fail."""
    store = Watching()
    with Log(store) as log:
        session = log.session("s", create=True)
        core = core_of(log, "s")
        clock, core.clock = core.clock, lambda: (core.reader.keep_value(b"late"), clock())[1]
        session.append(Message.user("hello"))

    assert len(store.by_committer) == 1


def test_a_caller_stores_its_values_before_it_leads_or_queues() -> None:
    store = Watching()

    def call() -> threading.Thread:
        with Log(store) as log:
            session = log.session("s", create=True)
            session.append(Message.tool("a", LARGE))
            session.extend([Message.user("hello"), Message.tool("b", LARGE + "b")])
            session.append(called("m", "c", *SEVERAL))
            session.record_tool_result("m", "c", LARGE + "c")
            for name in SEVERAL:  # Together beyond what one message may hold.
                session.record_tool_result("m", name, name * 9_000)

            assert session.tool_output("m", "c").text == LARGE + "c"
            assert session.tool_output("m", "t7").text == "t7" * 9_000
        return threading.current_thread()

    # Calls of the main thread are made for it by another, whatever they do.
    with ThreadPoolExecutor(1) as threads:
        caller = threads.submit(call).result()

    assert len(store.threads) == 6
    assert set(store.threads) == {caller}
    assert store.by_committer == []


def test_the_asynchronous_twin_stores_them_in_its_reading_threads() -> None:
    """Neither the event loop nor the committer waits for them."""
    store = Watching()

    async def main() -> None:
        async with AsyncLog(Log(store)) as log:
            session = await log.session("s", create=True)
            await asyncio.gather(
                session.append(Message.tool("a", LARGE)),
                session.extend([Message.user("hello"), Message.tool("b", LARGE + "b")]),
                session.append(called("m", "c", *SEVERAL)),
                session.record_tool_result("m", "c", LARGE + "c"),
                *(session.record_tool_result("m", name, name * 9_000) for name in SEVERAL),
            )
            assert (await session.tool_output("m", "c")).text == LARGE + "c"

    asyncio.run(main())

    assert len(store.threads) == 6
    assert {thread.name.partition("_")[0] for thread in store.threads} == {"eventlog-reader"}
    assert store.by_committer == []


def test_large_outputs_of_a_worker_s_steps_are_stored_outside_of_rounds_too() -> None:
    store = Watching()

    async def work(request: TaskRequest) -> None:
        await request.step("read", lambda: LARGE * 10)

    with Log(store) as log:
        log.session("s", create=True).queue_task("acme.read", {})
        assert Worker(log, Finalizer(kinds={"acme.read": work})).run_once() == 1

    assert store.threads
    assert store.by_committer == []


@pytest.mark.parametrize("how", ["append", "extend", "record_tool_result"])
def test_another_session_goes_on_while_a_value_is_being_stored(how: str) -> None:
    begun, released = threading.Event(), threading.Event()

    class Slow(WrappedStore):
        def around(self, call: StoreCall, go_on: Callable[[], Answer]) -> Answer:
            if call.verb == "put_blob" and call.arguments[0].startswith("value/"):
                begun.set()
                assert released.wait(60)
            return go_on()

    async def main() -> None:
        async with AsyncLog(Log(Slow(MemoryStore()))) as log:
            slow, other = await log.session("a", create=True), await log.session("b", create=True)
            await slow.append(called("m", "t"))
            doings: dict[str, Callable[[], Any]] = {
                "append": lambda: slow.append(Message.tool("t", LARGE)),
                "extend": lambda: slow.extend([Message.tool("t", LARGE)]),
                "record_tool_result": lambda: slow.record_tool_result("m", "t", LARGE),
            }
            storing = asyncio.create_task(doings[how]())
            await asyncio.to_thread(begun.wait, 60)
            await other.append(Message.user("in the meantime"))
            assert not storing.done()
            assert slow.version == 2
            released.set()
            await storing
            assert slow.version == 3

    asyncio.run(main())


def test_a_session_that_takes_no_writes_stores_no_value() -> None:
    store = Watching()
    with Log(store) as log:
        session = log.session("s", create=True)
        session.append(called("m", "t"))
        session.close()
        with pytest.raises(SessionClosed):
            session.append(Message.tool("t", LARGE))
        with pytest.raises(SessionClosed):
            session.record_tool_result("m", "t", LARGE)

    assert store.threads == []


def test_a_session_that_another_process_closed_refuses_and_leaves_the_value() -> None:
    """Nothing names it, so it does no harm."""
    store = Watching()
    with Log(store) as log, Log(store) as rival:
        session = log.session("s", create=True)
        session.append(called("m", "t"))
        rival.session("s").close()
        with pytest.raises(SessionClosed):
            session.record_tool_result("m", "t", LARGE)
        assert session.refresh().status == "closed"

    assert len(store.threads) == 1


def test_a_closed_log_says_so_before_it_stores_a_value() -> None:
    """Whatever the policy has to say about values that cannot be kept."""
    store = Watching()
    log = Log(store)
    session = log.session("s", create=True, tool_output=ToolOutputPolicy(on_failure="reject"))
    session.append(called("m", "t"))
    log.close()
    with pytest.raises(LogClosed):
        session.append(Message.tool("t", LARGE))
    with pytest.raises(LogClosed):
        session.record_tool_result("m", "t", LARGE)

    assert store.threads == []
