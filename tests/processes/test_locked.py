"""Another process holds the write lock: a typed error after the busy timeout, and no harm (P10)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog import Message, StoreUnavailable
from eventlog.testing.model.laws import check_laws

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    Script = Any  # Of this folder's conftest, which cannot be imported from here.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}?busy_timeout=0.01"


def test_a_write_that_waits_in_vain_stores_nothing_and_can_be_repeated(
    url: str, path: Path, start: Callable[..., Script]
) -> None:
    with eventlog.open(url) as log:
        session = log.session("s1", create=True)
        session.append(Message.user("before"))
        holder = start("holder.py", path)
        assert holder.line() == "held"
        message = Message.user("meanwhile")
        with pytest.raises(StoreUnavailable, match="locked"):
            session.append(message)
        with pytest.raises(StoreUnavailable, match="locked"):
            session.commit()
        assert [found.text for found in session.tail()] == ["before"]
        assert session.version == 2
        holder.say("let go")
        assert holder.line() == "released"
        session.append(message)
        assert [found.text for found in session.tail()] == ["before", "meanwhile"]
        assert session.commit().archived == 2
        check_laws(log.store)


def test_all_tasks_that_wait_for_the_lock_are_told(
    url: str, path: Path, start: Callable[..., Script]
) -> None:
    """Each of a batch gets the error, and each may repeat its own."""

    async def append_all(messages: list[Message]) -> list[object]:
        async with eventlog.open_async(url) as log:
            session = await log.session("s1", create=True)
            calls = (session.append(message) for message in messages)
            return list(await asyncio.gather(*calls, return_exceptions=True))

    eventlog.open(url).close()
    holder = start("holder.py", path)
    assert holder.line() == "held"
    messages = [Message.user(f"{number}") for number in range(8)]
    answers = asyncio.run(append_all(messages))
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    holder.say("let go")
    assert holder.line() == "released"
    assert asyncio.run(append_all(messages)) == messages
    with eventlog.open(url) as log:
        assert len(log.session("s1").history()) == 8
        check_laws(log.store)
