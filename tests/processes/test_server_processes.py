"""Real processes on one log of a server: forked, killed, and sharing the work (F12, L15, K4)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog.testing.model.laws import check_laws
from eventlog.testing.servers.archives import check_finished, leave_archives
from tests.shares import rounds

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    Script = Any  # Of this folder's conftest, which cannot be imported from here.

SESSIONS = 12
ARCHIVES = 4


@pytest.fixture(params=["PostgreSQL", "JetStream"])
def server(request: pytest.FixtureRequest) -> str:
    """The server that has the log."""
    return str(request.param)


@pytest.fixture
def url(
    server: str,
    request: pytest.FixtureRequest,
    postgres_schema: Callable[[str, object], str],
    tmp_path: Path,
) -> str:
    if server == "JetStream":
        return str(request.getfixturevalue("nats_url"))
    return postgres_schema(request.getfixturevalue("newest_postgres"), tmp_path)


@pytest.mark.parametrize("how", ["idle", "busy"])
def test_parent_and_children_write_to_a_server_without_losing_a_message(
    how: str, server: str, url: str, start: Callable[..., Script], account: Counter[str]
) -> None:
    """P1, L15: a child has its own connections, and leaves the parent's alone."""
    family = start("forked.py", url, how)
    acknowledged = family.rest()
    assert family.process.returncode == 0
    with eventlog.open(url) as log:
        stored = [message.id for message in log.session("s1").history()]
        assert sorted(stored) == sorted(acknowledged)
        check_laws(log.store)
    account[f"forks of a {server} log that was {how}"] += 3


def test_writers_to_a_server_that_are_killed_lose_nothing_that_was_acknowledged(
    server: str, url: str, start: Callable[..., Script], account: Counter[str]
) -> None:
    """P1, P8: each begins again with the last number that was heard of, which it may repeat."""
    steady = start("writer.py", url, "steady", 1, 1_000_000)
    highest = 0
    for _ in range(rounds(2, 15)):
        victim = start("writer.py", url, "victim", max(1, highest), 1_000_000)
        heard = victim.lines(15) + victim.kill()
        highest = max([highest, *map(int, heard)])
        account[f"writers to {server} killed"] += 1
    steady_told = len(steady.lines(1)) + len(steady.kill())
    with eventlog.open(url) as log:
        for name, acknowledged in (("victim", highest), ("steady", steady_told)):
            stored = sorted(
                int(message.id.partition("-")[2])
                for session in ("s1", "s2", "s3")
                for message in log.session(session).history()
                if message.id.startswith(f"{name}-")
            )
            assert stored == list(range(1, len(stored) + 1))
            assert len(stored) - acknowledged in (0, 1), "at most the last was not acknowledged"
        check_laws(log.store)


def test_two_workers_on_a_server_finish_all_archives_in_order_though_one_is_killed(
    server: str, url: str, start: Callable[..., Script], account: Counter[str]
) -> None:
    """P5, F1, F12; two_hosts.py does it with 2,000 archives and hosts that share nothing."""
    leave_archives(url, SESSIONS, ARCHIVES)
    victim = start("worker.py", url, "wait")
    begun = victim.line().split()[0]
    survivor = start("worker.py", url)
    assert survivor.line().split()[0] != begun, "what another one owns is left alone"
    victim.kill()
    account[f"workers on {server} killed"] += 1

    with eventlog.open(url) as log:
        finalized = log.follow(types=["archive_finalized"])
        assert len(list(islice(finalized, SESSIONS * ARCHIVES))) == SESSIONS * ARCHIVES

    survivor.kill()
    check_finished(url, SESSIONS, ARCHIVES, attempts=1_000)


def test_a_log_that_is_copied_from_store_to_store_comes_back_as_it_was(
    start: Callable[..., Script], tmp_path: Path
) -> None:
    """L9: by the command line, on a terminal; run by itself the script copies 100,000 records."""
    script = start("copied_round.py", tmp_path, rounds(300, 1_500), "--quick")
    lines = script.rest()
    assert script.process.returncode == 0
    assert [line.partition(":")[0] for line in lines[:-1]] == [
        "SQLite → PostgreSQL",
        "PostgreSQL → files",
        "files → JetStream",
        "JetStream → SQLite",
    ]
    assert lines[-1].endswith("every copy has the same versions, times, ids and hashes")
