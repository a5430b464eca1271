"""Two supervisors that share a log, on every store, with agents that break in every way."""

from __future__ import annotations

import asyncio
from collections import Counter

import eventlog
from eventlog import Log, Message, ProviderGone, RestartPolicy, RetryableError, Run, Supervisor
from tests.runs.driving import check

SESSIONS = ("a", "a/b", "🧑‍🚀")
ITEMS = 3
POLICY = RestartPolicy(delays=(0,))


def test_two_supervisors_do_each_item_once_and_in_order_whatever_its_agent_does(
    log_url: str,
) -> None:
    """R1, R3, R4, R5: each item breaks in another way at its first attempt, in one session or the
    other."""
    finished: list[tuple[str, str]] = []
    paid: Counter[str] = Counter()

    async def agent(run: Run) -> str:
        session, item = run.session.id, run.prompt.id

        def pay() -> int:
            paid[f"{session} {item}"] += 1
            return 1

        await run.step("pay", pay)
        if run.attempt == 1:
            await _break(run, SESSIONS.index(session) + int(item[1:]))
        async with run.stream("answer", message_id=f"{item} answered") as out:
            if not out.done:
                await out.write(f"about {run.prompt.text}")
        finished.append((session, item))
        return item

    with eventlog.open(log_url) as log, _beside(log, log_url) as rival:
        for session in SESSIONS:
            of = log.session(session, create=True)
            for number in range(ITEMS):
                of.enqueue(Message.user(f"{session} {number}", id=f"m{number}"))

        async def main() -> list[int]:
            supervisors = [Supervisor(each, agent, restarts=POLICY) for each in (log, rival)]
            return await asyncio.gather(*(each.run_once() for each in supervisors))

        assert sum(asyncio.run(main())) == len(SESSIONS) * ITEMS

        items = [f"m{number}" for number in range(ITEMS)]
        assert set(paid.values()) == {1}
        for session in SESSIONS:
            assert [item for of, item in finished if of == session] == items
            tail = [(each.id, each.text) for each in log.session(session).tail()]
            assert tail == _expected(session, items)
            check(log, session)
        assert {(run.state, run.attempt) for run in log.runs()} == {("completed", 2)}


def _expected(session: str, items: list[str]) -> list[tuple[str, str]]:
    """Return what the tail has: each message and its answer, in order."""
    told: list[tuple[str, str]] = []
    for number, item in enumerate(items):
        told += [(item, f"{session} {number}"), (f"{item} answered", f"about {session} {number}")]
    return told


async def _break(run: Run, how: int) -> None:
    match how % 5:
        case 0:
            raise RetryableError("it broke")
        case 1:
            raise ExceptionGroup("g", [ConnectionResetError("reset"), ProviderGone("gone")])
        case 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(60)
        case 3:
            async with run.stream("thoughts") as out:
                await out.write("half")
                raise ConnectionResetError("reset in the middle")
        case _:
            raise StopAsyncIteration


def _beside(log: Log, url: str) -> Log:
    """Return a log on the same storage, as another process has it; one in memory has one process."""
    return Log(log.store) if url == "memory:" else eventlog.open(url)
