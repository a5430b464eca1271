"""Tasks of kinds that users define: the same machine, worker, commands and guarantees (L16)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import eventlog
from eventlog import (
    AsyncWorker,
    Finalizer,
    IllegalTransition,
    InvalidArgument,
    Log,
    Message,
    NonRetryableError,
    RetryableError,
    Summary,
    SummaryRequest,
    TaskNotFound,
    TaskRequest,
    Worker,
)
from eventlog.session.tasks.commands import ClaimTask
from eventlog.session.tasks.events import OwnerData
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import execute

ELSEWHERE = OwnerData(host="elsewhere", boot="", pid=1, started="")


def work(log: Log, kinds: Any, **options: Any) -> int:
    options.setdefault("draw", lambda: 1.0)
    return Worker(log, Finalizer(kinds=kinds), **options).run_once()


def queued(log: Log, payload: dict[str, Any] | None = None) -> str:
    return log.session("s", create=True).queue_task("acme.index", payload)


@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_task_is_done_by_the_callable_of_its_kind(log: Log, style: str) -> None:
    requests: list[TaskRequest] = []

    def index(request: TaskRequest) -> dict[str, int]:
        requests.append(request)
        return {"pages": 3}

    async def index_later(request: TaskRequest) -> dict[str, int]:
        return index(request)

    task_id = queued(log, {"uri": "doc://1"})

    assert work(log, {"acme.index": index if style == "plain" else index_later}) == 1

    (request,) = requests
    assert (request.session_id, request.task_id, request.kind) == ("s", task_id, "acme.index")
    assert (request.payload, request.attempt) == ({"uri": "doc://1"}, 1)
    assert request.idempotency_key == task_id
    view = log.task(task_id)
    assert (view.state, view.status, view.result) == ("completed", "completed", {"pages": 3})
    assert view.finished_at != ""


@pytest.mark.parametrize("result", [None, 7, "text", [1, {"a": None}], {"memories_extracted": 1}])
def test_a_result_is_whatever_json_can_hold(log: Log, result: object) -> None:
    task_id = queued(log)

    assert work(log, {"acme.index": lambda request: result}) == 1

    assert log.task(task_id).result == result
    assert log.session("s").meta.memories_extracted == {"total": 0}
    assert log.verify("s") == []


def test_a_result_that_json_cannot_hold_is_a_failure(log: Log) -> None:
    task_id = queued(log)

    assert work(log, {"acme.index": lambda request: {"what": object()}}) == 0

    view = log.task(task_id)
    assert view.state == "terminal_failed"
    assert "the result of acme.index cannot be stored as JSON" in (view.error or "")


def test_a_kind_has_retries_with_the_same_key(log: Log, clock: FakeClock) -> None:
    keys: list[tuple[int, str]] = []

    def index(request: TaskRequest) -> None:
        keys.append((request.attempt, request.idempotency_key))
        if len(keys) < 3:
            raise RetryableError("not yet")

    task_id = queued(log)
    for _ in range(3):
        work(log, {"acme.index": index})
        clock.advance(60)

    assert keys == [(1, task_id), (2, task_id), (3, task_id)]
    assert log.task(task_id).state == "completed"


def test_a_kind_whose_worker_is_lost_is_taken_over(log: Log, clock: FakeClock) -> None:
    """P5, P6."""
    task_id = queued(log)
    execute(log, "s", ClaimTask(task_id, "lost", ELSEWHERE, 300_000_000, 3))

    assert work(log, {"acme.index": lambda request: None}) == 0
    clock.advance(300)
    assert work(log, {"acme.index": lambda request: None}) == 1

    assert log.task(task_id).attempts == 2


@pytest.mark.parametrize("by", ["log", "session"])
def test_a_kind_that_failed_for_good_blocks_nothing_and_is_run_again_by_hand(
    log: Log, by: str
) -> None:
    broken = [True]

    def index(request: TaskRequest) -> str:
        if broken[0]:
            raise NonRetryableError("the index is closed")
        return "done"

    task_id = queued(log)
    session = log.session("s")
    session.append(Message.user("hello"))
    session.commit()
    assert work(log, {"acme.index": index}) == 1  # The archive.
    assert log.task(task_id).error == "NonRetryableError: the index is closed"
    session.append(Message.user("more"))
    assert session.commit().status == "accepted"

    broken[0] = False
    target = log if by == "log" else session
    assert target.retry(task_id, actor="ops", reason="it is open again") == "accepted"
    assert work(log, {"acme.index": index}) == 2

    view = log.task(task_id)
    assert (view.state, view.generation, view.result) == ("completed", 2, "done")
    assert target.retry(task_id) == "already_completed"
    with pytest.raises(IllegalTransition, match="'completed'"):
        target.abandon(task_id)


@pytest.mark.parametrize("by", ["log", "session"])
def test_a_kind_is_given_up_by_its_id(log: Log, by: str) -> None:
    task_id = queued(log)
    target = log if by == "log" else log.session("s")

    target.abandon(task_id, reason="not needed")

    assert (log.task(task_id).state, log.task(task_id).error) == ("abandoned", "not needed")
    target.abandon(task_id)
    with pytest.raises(IllegalTransition, match="'abandoned'"):
        target.retry(task_id)
    assert work(log, {"acme.index": lambda request: None}) == 0


def test_a_session_knows_no_task_of_another_one(log: Log) -> None:
    task_id = queued(log)
    other = log.session("other", create=True)
    other.append(Message.user("hello"))

    for act in (other.retry, other.abandon):
        with pytest.raises(TaskNotFound):
            act(task_id)
    assert log.task(task_id).state == "pending"


def test_kinds_are_not_in_the_way_of_archives_nor_of_each_other(log: Log) -> None:
    """F1: of two kinds one hangs until the other and the archive are done."""
    session = log.session("s", create=True)
    for kind in ("acme.slow", "acme.quick"):
        session.queue_task(kind)
    session.append(Message.user("hello"))
    session.commit()
    both = asyncio.Barrier(3)

    async def meet(request: object) -> None:
        async with asyncio.timeout(60):
            await both.wait()

    async def summarize(request: SummaryRequest) -> Summary:
        await meet(request)
        return Summary(overview="overview", abstract="")

    finalizer = Finalizer(summarize, kinds={"acme.slow": meet, "acme.quick": meet})
    assert Worker(log, finalizer).run_once() == 3


def test_a_kind_waits_for_a_worker_that_can_do_it(log: Log) -> None:
    """L14: and a thousand of another kind are not even seen."""
    task_ids = [log.session("s", create=True).queue_task("acme.other") for _ in range(100)]
    mine = queued(log)

    assert work(log, {"acme.index": lambda request: None}) == 1

    assert log.task(mine).state == "completed"
    assert {log.task(task_id).state for task_id in task_ids} == {"pending"}


def test_a_kind_with_a_slash_is_a_kind_of_its_own(log: Log) -> None:
    session = log.session("s", create=True)
    task_ids = [session.queue_task(kind) for kind in ("acme.a", "acme.a/b", "acme.a%2Fb")]

    assert work(log, {"acme.a/b": lambda request: request.kind}) == 1

    assert [log.task(task_id).result for task_id in task_ids] == [None, "acme.a/b", None]


@pytest.mark.parametrize("kind", ["index", "finalise", "memories"])
def test_a_kind_without_a_prefix_is_the_librarys(kind: str) -> None:
    with pytest.raises(InvalidArgument, match=f"such as 'acme.{kind}'"):
        Finalizer(kinds={kind: lambda request: None})


def test_side_effects_of_one_name_are_refused() -> None:
    """Only the first one would ever be run."""
    with pytest.raises(InvalidArgument, match="must have different names"):
        Finalizer(side_effects=(lambda request: None, lambda request: None))


def test_the_asynchronous_twin_does_users_kinds(log_url: str) -> None:
    async def index(request: TaskRequest) -> int:
        doubled: int = await request.step("double", lambda: request.payload["n"] * 2)
        return doubled

    async def main() -> tuple[Any, str, Any]:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            task_id = await session.queue_task("acme.index", {"n": 4})
            assert await AsyncWorker(log, Finalizer(kinds={"acme.index": index})).run_once() == 1
            view = await log.task(task_id)
            return view.result, view.stage, await session.retry(task_id)

    assert asyncio.run(main()) == (8, "double", "already_completed")


def test_a_callable_that_exits_has_failed_and_ends_nothing(log: Log) -> None:
    def leave(request: TaskRequest) -> None:
        raise SystemExit(3)

    async def leave_later(request: TaskRequest) -> None:
        raise SystemExit(3)

    session = log.session("s", create=True)
    task_ids = [session.queue_task(kind) for kind in ("acme.plain", "acme.async")]

    work(log, {"acme.plain": leave, "acme.async": leave_later})

    errors = {log.task(task_id).error for task_id in task_ids}
    assert errors == {"RuntimeError: the callable raised SystemExit(3)"}


def test_an_unreadable_session_is_not_in_the_way_of_others(log: Log, rival: Log) -> None:
    """F1: a task that cannot be claimed is reported and left alone."""
    for name in ("bad", "good"):
        session = log.session(name, create=True)
        session.append(Message.user("hello"))
        session.commit()

    read = rival.store.read

    def broken(stream: str, **options: Any) -> Any:
        if stream == "bad":
            raise eventlog.CorruptLog("session 'bad', version 1: damaged")
        return read(stream, **options)

    rival.store.read = broken  # type: ignore[method-assign]

    assert Worker(rival).run_once() == 1

    assert [task.session_id for task in log.tasks(state="completed")] == ["good"]
