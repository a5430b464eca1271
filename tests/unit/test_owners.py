"""A session is its owner's: whoever names another one neither reads it nor writes to it (M12)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import eventlog
from eventlog import AsyncLog, Log, Message, OwnerMismatch, SessionNotFound
from eventlog.log import engine_of
from eventlog.stores.memory import MemoryStore
from eventlog.testing import FakeClock


def test_a_session_of_another_owner_is_refused(log: Log) -> None:
    log.session("s", create=True, owner="ada").append(Message.user("mine"))

    for create in (False, True):
        with pytest.raises(OwnerMismatch) as refused:
            log.session("s", create=create, owner="eve")
    assert (refused.value.session_id, refused.value.owner) == ("s", "eve")
    assert "ada" not in str(refused.value)
    assert log.session("s", owner="ada").tail()[0].text == "mine"
    assert log.session("s").meta.owner == "ada"


def test_a_session_without_an_owner_is_nobodys(log: Log) -> None:
    log.session("s", create=True).append(Message.user("a"))

    with pytest.raises(OwnerMismatch):
        log.session("s", create=True, owner="ada")


def test_whose_a_closed_session_is_comes_before_that_it_is_closed(log: Log) -> None:
    session = log.session("s", create=True, owner="ada")
    session.append(Message.user("a"))
    session.close()

    with pytest.raises(OwnerMismatch):
        log.session("s", create=True, owner="eve")


def test_who_writes_first_is_the_owner(log: Log) -> None:
    """Two owners open a session that does not exist yet; nothing of it is stored then."""
    eve = log.session("s", create=True, owner="eve")
    ada = log.session("s", create=True, owner="ada")
    ada.append(Message.user("mine"))

    for call in (lambda: eve.append(Message.user("x")), eve.tail, eve.refresh, eve.context):
        with pytest.raises(OwnerMismatch):
            call()
    assert [message.text for message in ada.tail()] == ["mine"]
    assert log.session("s").meta.owner == "ada"
    assert log.session("s", owner="ada").version == ada.version


def test_the_owner_is_compared_before_the_first_write_of_another_process_is_folded(
    log: Log, rival: Log
) -> None:
    eve = rival.session("s", create=True, owner="eve")
    nobody = rival.session("s")
    log.session("s", create=True, owner="ada").append(Message.user("mine"))

    for call in (lambda: eve.append(Message.user("x")), eve.tail, eve.commit):
        with pytest.raises(OwnerMismatch):
            call()
    with pytest.raises(OwnerMismatch):
        nobody.tail()  # It was opened on what eve was going to create.
    assert rival.session("s").tail()[0].text == "mine"
    assert engine_of(rival).core("s").refresh().owner == "ada"


def test_the_twin_says_the_same(log: Log) -> None:
    async def run() -> None:
        twin = AsyncLog(log)
        session = await twin.session("s", create=True, owner="ada")
        await session.append(Message.user("mine"))
        with pytest.raises(OwnerMismatch):
            await twin.session("s", create=True, owner="eve")
        assert [each async for each in twin.sessions(owner="ada")] == ["s"]

    asyncio.run(run())


def test_lists_are_of_an_owner_a_workspace_or_a_time(log: Log, clock: FakeClock) -> None:
    places = [("c", "ada", "w"), ("a", "eve", "w"), ("b", "ada", None), ("d", "ada/x", "w")]
    for name, owner, workspace in places:
        session = log.session(name, create=True, owner=owner, workspace=workspace)
        session.append(Message.user(name))
        clock.advance(60)
    middle = datetime.fromtimestamp(clock() / 1_000_000, UTC) - timedelta(seconds=150)

    assert list(log.sessions(owner="ada")) == ["b", "c"]
    assert list(log.sessions(owner="ada/x")) == ["d"]
    assert list(log.sessions(owner="ada", workspace="w")) == ["c"]
    assert list(log.sessions(owner="bob")) == []
    assert list(log.sessions(newest_first=True)) == ["d", "b", "a", "c"]
    assert list(log.sessions(owner="ada", newest_first=True)) == ["b", "c"]
    assert list(log.sessions(updated_after=middle)) == ["b", "d"]
    assert list(log.sessions(updated_after=middle.isoformat(), owner="ada")) == ["b"]
    log.session("c").append(Message.user("again"))
    assert log.latest_session("w") == "c"
    with pytest.raises(eventlog.InvalidArgument):
        log.sessions(updated_after="yesterday")


class Tenants(RuleBasedStateMachine):
    """Two owners and their processes on one store, and a model of whose each session is."""

    OWNERS = ("ada", "eve")

    @initialize()
    def begin(self) -> None:
        store = MemoryStore()
        self.logs = [Log(store), Log(store)]
        self.handles: dict[tuple[int, str, str], eventlog.Session] = {}
        self.owner: dict[str, str] = {}
        self.texts: dict[str, list[str]] = {}

    @rule(at=st.integers(0, 1), owner=st.sampled_from(OWNERS), name=st.sampled_from("xy"))
    def open(self, at: int, owner: str, name: str) -> None:
        if self.owner.get(name, owner) != owner:
            with pytest.raises(OwnerMismatch):
                self.logs[at].session(name, create=True, owner=owner)
        else:
            self.handles[at, owner, name] = self.logs[at].session(name, create=True, owner=owner)

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        if not self.handles:
            return
        _, owner, name = key = data.draw(st.sampled_from(sorted(self.handles)))
        text = f"{owner} {len(self.texts.get(name, ()))}"
        if self.owner.setdefault(name, owner) == owner:
            self.handles[key].append(Message.user(text))
            self.texts.setdefault(name, []).append(text)
        else:
            with pytest.raises(OwnerMismatch):
                self.handles[key].append(Message.user(text))

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        if not self.handles:
            return
        _, owner, name = key = data.draw(st.sampled_from(sorted(self.handles)))
        if self.owner.get(name, owner) == owner:
            assert [each.text for each in self.handles[key].tail()] == self.texts.get(name, [])
        else:
            with pytest.raises(OwnerMismatch):
                self.handles[key].tail()

    @rule(at=st.integers(0, 1), name=st.sampled_from("xy"))
    def look(self, at: int, name: str) -> None:
        """A reader that names no owner sees the session, whoever waits to create it."""
        if name not in self.owner:
            return
        try:
            seen = self.logs[at].session(name)
        except SessionNotFound:
            raise AssertionError(name) from None
        assert [each.text for each in seen.tail()] == self.texts[name]

    @rule(at=st.integers(0, 1))
    def list(self, at: int) -> None:
        for owner in self.OWNERS:
            own = sorted(name for name, whose in self.owner.items() if whose == owner)
            assert [*self.logs[at].sessions(owner=owner)] == own


TestTenants = Tenants.TestCase
