"""G7: a signal handler that raises while a worker runs in the main thread ends it cleanly.

What was claimed is released or completed, so that the next worker need not wait for a lease.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Final

import pytest

import eventlog
from eventlog import Finalizer, Log, Message, Summary, SummaryRequest, Worker
from eventlog.stores.memory import MemoryStore
from eventlog.testing.interrupting import Interrupter
from eventlog.testing.jumping import JumpingTime

PATIENCE_SECONDS: Final = 30.0
"""How long the other thread may take before it counts as hung."""

MAIN: Final = threading.main_thread().ident or 0

SHARE: Final = 3
"""Every how manyth point is tried, unless all are: see ``--every-interrupt``."""

WAYS: Final[dict[str, Callable[[Worker], object]]] = {
    "run_once": lambda worker: worker.run_once(),
    "run": lambda worker: worker.run(),
}


def prepared(log: Log) -> str:
    """Commit a session; return the id of the task that finalises the archive."""
    session = log.session("s", create=True)
    session.append(Message.user("hello"))
    task_id = session.commit().task_id
    assert task_id is not None
    return task_id


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupt_at_any_point_leaves_the_task_to_the_next_worker(
    way: str, points: Counter[str], request: pytest.FixtureRequest, loop_time: JumpingTime
) -> None:
    step = 1 if request.config.getoption("--every-interrupt") else SHARE
    for at in count(1, step):
        log = eventlog.open("memory:")
        task_id = prepared(log)
        worker = Worker(log, Finalizer(summarizer=lambda _: stopping(worker)))  # noqa: B023
        interrupter = Interrupter(at)
        ended = interrupter.run(lambda: WAYS[way](worker))  # noqa: B023
        if ended:
            points[f"{way} of a worker"] += 1
        in_another_thread(lambda: finish(log, task_id), interrupter.place)  # noqa: B023
        if not ended:
            break
    assert at > 1


def stopping(worker: Worker) -> Summary:
    """Summarise an archive, and end the worker, so that `Worker.run` returns."""
    worker.stop()
    return Summary(overview="hello", abstract="hello")


def finish(log: Log, task_id: str) -> None:
    """Do what was left to do, at once: no lease is in the way."""
    Worker(log).run_once()
    assert log.task(task_id).state == "completed"
    assert log.task(task_id).attempts == 1
    assert log.verify("s") == []
    log.session("s").append(Message.user("more"))
    log.close()


@pytest.mark.parametrize("interrupts", [1, 2])
def test_ctrl_c_releases_what_runs_and_a_second_one_does_not_wait(interrupts: int) -> None:
    """The callable takes its time when it is cancelled; the first interrupt waits for that."""
    store, seen = MemoryStore(), list[str]()
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    async def summarize(_: SummaryRequest) -> Summary:
        seen.append("main" if threading.get_ident() == MAIN else "another thread")
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
            raise AssertionError
        finally:
            seen.append("cancelled")
            if interrupts == 2:
                strike()
            await asyncio.to_thread(may_end.wait, PATIENCE_SECONDS)
            seen.append("ended")
            ended.set()

    def strike() -> None:
        signal.pthread_kill(MAIN, signal.SIGUSR1)

    def interrupt(*_: object) -> None:
        if interrupts == 1:
            may_end.set()
        raise KeyboardInterrupt

    def when_begun() -> None:
        assert begun.wait(PATIENCE_SECONDS)
        strike()

    before = signal.signal(signal.SIGUSR1, interrupt)
    striking = threading.Thread(target=when_begun, daemon=True)
    try:
        with Log(store) as log:
            task_id = prepared(log)
            striking.start()
            with pytest.raises(KeyboardInterrupt):
                Worker(log, Finalizer(summarizer=summarize)).run()
            if interrupts == 2:
                assert seen == ["another thread", "cancelled"]
                may_end.set()
                next(log.follow(types=["task_released"]))
                assert ended.wait(PATIENCE_SECONDS)
            assert seen == ["another thread", "cancelled", "ended"]
            assert log.task(task_id).state == "pending"
            finish(log, task_id)
    finally:
        striking.join(PATIENCE_SECONDS)
        signal.signal(signal.SIGUSR1, before)


def in_another_thread(function: Callable[[], object], where: str) -> None:
    """Call it, wait for it with a bound, and raise what it raised."""
    errors: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive(), f"hung after an interrupt at {where}"
    if errors:
        raise AssertionError(f"refused after an interrupt at {where}") from errors[0]
