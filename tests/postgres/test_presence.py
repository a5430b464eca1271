"""Proof of death on PostgreSQL: an advisory lock in a session of its own (F2)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psycopg
import pytest

import eventlog
from eventlog import Finalizer, Message, StoreUnavailable, Summary, SummaryRequest, Worker
from eventlog.engine.owner import fate_of
from eventlog.session.tasks.events import OwnerData, TaskClaimed
from eventlog.stores.postgres import PostgresStore
from eventlog.stores.postgres import presence as module

CONTAINED = Path(__file__).parents[1] / "processes" / "contained.py"


@pytest.fixture
def stores(postgres_url: str) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    """Two stores on one log, as two hosts have them."""
    opened = [cast("PostgresStore", eventlog.open(postgres_url).store) for _ in range(2)]
    yield opened[0], opened[1]
    for store in opened:
        store.close()


def backend(store: PostgresStore) -> int:
    """Return the server's process that has the lock."""
    connection = store._presence._connection
    assert connection is not None
    return connection.info.backend_pid


def test_who_holds_the_lock_lives(stores: tuple[PostgresStore, PostgresStore]) -> None:
    first, second = stores
    name = first.presence()
    assert name is not None
    assert first.presence() == name
    assert second.presence() != name
    assert second.is_gone(name) is False


def test_a_lock_that_stays_away_proves_death(
    stores: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stores
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    name = str(first.presence())
    first.close()

    assert second.is_gone(name) is None, "its owner may be about to take it again"
    now = module.ABSENT_SECONDS - 1
    assert second.is_gone(name) is None
    now = module.ABSENT_SECONDS
    assert second.is_gone(name) is True


def test_a_process_that_lost_its_session_takes_the_lock_again(
    stores: tuple[PostgresStore, PostgresStore], plain: psycopg.Connection[tuple[object, ...]]
) -> None:
    first, second = stores
    name = str(first.presence())
    plain.execute("SELECT pg_terminate_backend(%s, 10000)", (backend(first),))
    assert second.is_gone(name) is None

    first._presence.look()

    assert second.is_gone(name) is False
    assert first.presence() == name


def test_who_cannot_have_its_lock_back_claims_nothing(
    stores: tuple[PostgresStore, PostgresStore],
    plain: psycopg.Connection[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, _ = stores
    first.presence()
    plain.execute("SELECT pg_terminate_backend(%s, 10000)", (backend(first),))

    def refuse() -> psycopg.Connection[tuple[object, ...]]:
        raise StoreUnavailable("no route to host")

    monkeypatch.setattr(first._presence, "_connect", refuse)
    with pytest.raises(StoreUnavailable):
        first.presence()
    first._presence.look()  # The thread only tries again.


@pytest.mark.parametrize(
    "name", ["", "1/2/3", "x", "{server}/", "{server}/-1", "{server}/99999999999999999999"]
)
def test_what_is_no_presence_of_this_server_proves_nothing(
    stores: tuple[PostgresStore, PostgresStore], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a restart of the server, which has other locks and another start."""
    first, second = stores
    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.0)
    server = str(first.presence()).rpartition("/")[0]

    assert second.is_gone(name.format(server=server)) is None


def test_without_the_lock_in_its_own_session_a_process_has_no_name(
    stores: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that changes sessions between transactions."""
    first, _ = stores
    monkeypatch.setattr(module, "_HELD_HERE", "SELECT %s::bigint + %s::bigint < 0")

    assert first.presence() is None


def test_a_task_of_a_killed_process_elsewhere_goes_on_without_its_lease(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def summarize(request: SummaryRequest) -> Summary:
        return Summary(overview="# done", abstract="done")

    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.0)
    with eventlog.open(postgres_url) as log:
        session = log.session("s", create=True)
        session.append(Message.user("hello"))
        session.commit()
        command = [sys.executable, str(CONTAINED), postgres_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline().strip() == "claimed"
            (claimed,) = [each.event for each in log.read("s") if each.type == "task_claimed"]
            assert isinstance(claimed, TaskClaimed)
            # As another host sees it, which cannot look for the process.
            owner: OwnerData = {**claimed.owner, "host": "elsewhere"}
            assert fate_of(owner, log.store) == "alive"
            worker.send_signal(signal.SIGKILL)
            worker.wait(60)
            end = time.monotonic() + 60
            while fate_of(owner, log.store) != "gone":
                assert time.monotonic() < end

        assert Worker(log, Finalizer(summarize)).run_once() == 1
