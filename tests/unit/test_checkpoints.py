"""Followers continue where they were, or get an error if this is not the log they followed (G8)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice

import pytest

import eventlog
from eventlog import AsyncLog, InvalidArgument, Log, Message, Position, Recorded
from eventlog.copying import copy_log
from eventlog.records import START
from eventlog.stores.memory import MemoryStore
from tests.shares import on_two_stores


def say(log: Log, *texts: str) -> None:
    session = log.session("s", create=True)
    for text in texts:
        session.append(Message.user(text, id=text))


def ids(recorded: Iterator[Recorded], count: int) -> list[str]:
    return [getattr(entry.event, "message", {"id": ""})["id"] for entry in islice(recorded, count)]


def test_following_goes_on_from_a_checkpoint(log: Log, rival: Log) -> None:
    say(log, "a", "b", "c")
    everything = list(islice(log.follow(), 4))

    assert ids(rival.follow(after=log.checkpoint(everything[1])), 2) == ["b", "c"]
    checkpoint = log.checkpoint()
    say(log, "d")
    assert ids(rival.follow(after=checkpoint), 1) == ["d"]


def test_a_checkpoint_of_an_empty_log_is_its_beginning(log: Log) -> None:
    checkpoint = log.checkpoint()
    say(log, "a")

    assert ids(log.follow(after=checkpoint), 2) == ["", "a"]


def test_a_position_beyond_the_end_is_refused(log: Log) -> None:
    """It was followed once: the log has lost what came after, and would skip what comes next."""
    say(log, "a", "b")
    beyond = Position(log.position() + 1)

    with pytest.raises(InvalidArgument, match="ends at position"):
        next(iter(log.follow(after=beyond)))


def test_a_position_at_the_end_is_none_beyond_it(log: Log) -> None:
    say(log, "a")
    following = log.follow(after=log.position())
    say(log, "b")

    assert ids(following, 1) == ["b"]


def test_a_copy_refuses_the_checkpoints_of_its_original(log: Log) -> None:
    say(log, "a", "b")
    copied = MemoryStore()
    copy_log(log.store, copied)
    checkpoint = log.checkpoint()

    with pytest.raises(InvalidArgument, match="belongs to the log"):
        Log(copied).follow(after=checkpoint)
    assert Log(copied).checkpoint() != checkpoint
    assert ids(Log(copied).follow(after=START), 3) == ["", "a", "b"]


def test_a_log_that_was_restored_and_has_grown_anew_is_noticed() -> None:
    """Its end is beyond the checkpoint again, and its id is the same."""
    store = MemoryStore()
    log = Log(store)
    say(log, "a")
    log.checkpoint()
    backup = deepcopy(store)
    say(log, "b", "c")
    checkpoint = log.checkpoint()

    restored = Log(backup)
    with pytest.raises(InvalidArgument, match="ends at position"):
        restored.follow(after=checkpoint)
    say(restored, "x", "y", "z")
    with pytest.raises(InvalidArgument, match="restored from an older copy"):
        restored.follow(after=checkpoint)


@on_two_stores
@pytest.mark.parametrize("after", ["", "7", "x/1/", -1, 1.5, True, b"1"])
def test_what_is_no_checkpoint_is_refused(log: Log, after: object) -> None:
    with pytest.raises(InvalidArgument):
        log.follow(after=after)  # type: ignore[arg-type]


def test_an_event_of_another_log_has_no_checkpoint_here(log: Log) -> None:
    other = eventlog.open("memory:")
    say(other, "a", "b", "c")
    *_, last = other.read_all()

    with pytest.raises(InvalidArgument, match="there is no record at position"):
        log.checkpoint(last)


def test_the_asynchronous_log_has_the_same_checkpoints(log: Log) -> None:
    say(log, "a")

    async def main() -> tuple[str, str]:
        outer = AsyncLog(log)
        checkpoint = await outer.checkpoint()
        say(log, "b")
        found = await anext(outer.follow(after=checkpoint))
        with pytest.raises(InvalidArgument):
            await anext(outer.follow(after=Position(log.position() + 1_000_000_000_000)))
        return checkpoint, found.event.message["id"]  # type: ignore[attr-defined]

    checkpoint, found = asyncio.run(main())
    assert found == "b"
    assert ids(log.follow(after=checkpoint), 1) == ["b"]
