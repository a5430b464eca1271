"""Following the log: what is there, then what comes, each record once (L5, L6)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

import eventlog
from eventlog import Log, Message, Recorded
from eventlog.records import START


def say(log: Log, *texts: str, name: str = "s") -> None:
    session = log.session(name, create=True)
    for text in texts:
        session.append(Message.user(text, id=text))


def ids(recorded: Iterator[Recorded], count: int) -> list[str]:
    """Return the message ids of the next ``count`` events."""
    return [getattr(entry.event, "message", {"id": ""})["id"] for entry in islice(recorded, count)]


def test_following_begins_with_what_is_there(log: Log) -> None:
    say(log, "a", "b")

    assert ids(log.follow(types=["message_appended"]), 2) == ["a", "b"]


def test_following_goes_on_with_what_comes(log: Log, rival: Log) -> None:
    """L6: from this process or another one."""
    say(log, "a")
    following = log.follow(types=["message_appended"])
    assert ids(following, 1) == ["a"]

    for writer, text in ((log, "b"), (rival, "c"), (log, "d")):
        say(writer, text)
        assert ids(following, 1) == [text]


def test_a_waiting_follower_is_woken(log: Log, rival: Log) -> None:
    say(log, "a")
    following = log.follow(after=log.position())

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, following)
        say(rival, "b")
        assert waiting.result(timeout=60).version == 3


def test_the_checkpoint_is_the_callers(log: Log) -> None:
    """L6: going on after the position of the last event that was dealt with."""
    say(log, "a", "b", "c")
    say(log, "d", name="t")
    everything = list(islice(log.follow(), 6))

    for place, recorded in enumerate(everything[:-1], 1):
        rest = list(islice(log.follow(after=recorded.position), 6 - place))
        assert rest == everything[place:]


def test_events_of_other_types_are_passed_over_without_being_met_again(log: Log) -> None:
    say(log, "a")
    following = log.follow(types=["session_closed"])

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, following)
        say(log, "b", "c")
        log.session("s").close()
        assert waiting.result(timeout=60).version == 5


def test_a_follower_of_many_writers_gets_each_event_once(log: Log, rival: Log) -> None:
    """L5: in the order of the log, none skipped."""
    writers, count = 4, 15
    total = writers * (count + 1)

    def write(number: int) -> None:
        log_of = log if number % 2 else rival
        say(log_of, *(f"{number}-{text}" for text in range(count)), name=f"s{number}")

    with ThreadPoolExecutor(writers + 1) as pool:
        following = pool.submit(lambda: list(islice(log.follow(), total)))
        list(pool.map(write, range(writers)))
        found = following.result(timeout=60)

    assert found == list(log.read_all())
    assert len({entry.event_id for entry in found}) == total


@pytest.mark.parametrize("waiting", [False, True])
def test_following_ends_when_the_log_is_closed(log: Log, waiting: bool) -> None:
    """L6: also while it waits for events."""
    say(log, "a")
    following = log.follow()
    assert len(list(islice(following, 2))) == 2
    if not waiting:
        log.close()
        assert list(following) == []
        return

    begun = threading.Event()
    wait = log.store.wait

    def watched(after: eventlog.Position, timeout: float) -> bool:
        begun.set()
        return wait(after, timeout)

    log.store.wait = watched  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, following)
        assert begun.wait(60)
        log.close()
        assert rest.result(timeout=60) == []


def test_following_is_awaited_in_the_asynchronous_log(log_url: str) -> None:
    async def main() -> list[str]:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            await session.append(Message.user("a", id="a"))
            found: list[str] = []
            async for recorded in log.follow(after=START, types=["message_appended"]):
                found.append(getattr(recorded.event, "message", {})["id"])
                if len(found) == 3:
                    break
                await session.append(Message.user("x", id=f"x{len(found)}"))
            return found

    assert asyncio.run(main()) == ["a", "x1", "x2"]


def test_an_asynchronous_follower_sees_what_others_write(log: Log, rival: Log) -> None:
    say(log, "a")

    async def main() -> str:
        following = eventlog.AsyncLog(log).follow(after=log.position())
        waiting = asyncio.ensure_future(anext(following))
        await asyncio.to_thread(say, rival, "b")
        recorded = await asyncio.wait_for(waiting, 60)
        return recorded.stream + str(recorded.version)

    assert asyncio.run(main()) == "s3"


def test_a_cancelled_follower_leaves_nothing_behind(log_url: str) -> None:
    """L15: the log closes although somebody was waiting."""

    async def main() -> None:
        async with eventlog.open_async(log_url) as log:
            following = asyncio.ensure_future(anext(log.follow()))
            await asyncio.sleep(0)
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following

    asyncio.run(main())
