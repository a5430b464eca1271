"""The PostgreSQL store: its speed compared with the plain driver, and what survives failures.

Each figure starts a new server, of the newest version in the test extra, on the disk.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count as numbers

import psycopg

import eventlog
from benchmarks.contenders import PAYLOAD
from benchmarks.workload import Timing, timed
from eventlog.testing.servers.archives import check_finished, leave_archives
from eventlog.testing.servers.feed import compete
from eventlog.testing.servers.outage import write_through
from eventlog.testing.servers.postgres import VERSIONS, PostgresPair, PostgresServer

__all__ = [
    "best_plain_inserts",
    "finish_archives",
    "finish_archives_on",
    "follow",
    "kill_primary",
    "kill_server",
    "new_log",
    "plain_inserts",
    "server",
]

_INSERT = "INSERT INTO message (session, data) VALUES (%s, %s)"
_names = numbers(1)


def server() -> PostgresServer:
    """Start a server on the disk, with default settings."""
    return PostgresServer(VERSIONS[-1], disk=True)


def new_log(server: PostgresServer) -> str:
    """Return the URL of an empty log."""
    return server.url(schema=f"log-{next(_names)}")


def _empty_table(server: PostgresServer) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS message")
        connection.execute(
            "CREATE TABLE message (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
            "session text, data text)"
        )


def plain_inserts(server: PostgresServer, count: int) -> Timing:
    """One connection, one row per statement and transaction: the least that an append can cost."""
    _empty_table(server)
    with (
        psycopg.connect(server.url(), autocommit=True) as connection,
        timed(count) as result,
    ):
        for _ in range(count):
            connection.execute(_INSERT, ("chat", PAYLOAD))
    return result()


def best_plain_inserts(server: PostgresServer, count: int, connections: int) -> Timing:
    """As many connections as sessions, from asyncio or from threads, whichever is quicker."""
    return min(
        asyncio.run(_async_inserts(server, count, connections)),
        _threaded_inserts(server, count, connections),
        key=lambda timing: timing.wall,
    )


async def _async_inserts(server: PostgresServer, count: int, connections: int) -> Timing:
    _empty_table(server)
    opened = [
        await psycopg.AsyncConnection.connect(server.url(), autocommit=True)
        for _ in range(connections)
    ]

    async def insert(connection: psycopg.AsyncConnection[object], session: str) -> None:
        for _ in range(count // connections):
            await connection.execute(_INSERT, (session, PAYLOAD))

    with timed(count) as result:
        await asyncio.gather(
            *(insert(connection, f"chat-{place}") for place, connection in enumerate(opened))
        )
    for connection in opened:
        await connection.close()
    return result()


def _threaded_inserts(server: PostgresServer, count: int, connections: int) -> Timing:
    _empty_table(server)
    opened = [psycopg.connect(server.url(), autocommit=True) for _ in range(connections)]

    def insert(connection: psycopg.Connection[object], session: str) -> None:
        for _ in range(count // connections):
            connection.execute(_INSERT, (session, PAYLOAD))

    with ThreadPoolExecutor(connections) as pool, timed(count) as result:
        for future in [
            pool.submit(insert, connection, f"chat-{place}")
            for place, connection in enumerate(opened)
        ]:
            future.result()
    for connection in opened:
        connection.close()
    return result()


def follow(seconds: float) -> str:
    """L5: run writers and followers for some seconds; return what each follower missed."""
    with server() as started:
        result = compete(new_log(started), writers=8, streams=64, seconds=seconds)
    assert result.missed == result.disordered == 0
    return (
        f"{result.written:,} records written, {result.missed} missed by the follower, "
        f"{result.missed_naively:,} by the naive one"
    )


def kill_server(trials: int, writes: int) -> Iterator[str]:
    """K6: kill the server under load and start it again; return what was lost or doubled."""
    for _ in range(trials):
        with server() as started:

            def strike(started: PostgresServer = started) -> None:
                started.kill()
                started.start()

            yield str(write_through(started.url(), strike, writers=16, before=writes, after=writes))


def kill_primary(trials: int, writes: int) -> Iterator[str]:
    """K6: kill the primary under load and promote its standby; return what was lost or doubled."""
    for _ in range(trials):
        with PostgresPair(VERSIONS[-1], disk=True) as pair:
            yield str(
                write_through(pair.url(), pair.fail_over, writers=16, before=writes, after=writes)
            )


def finish_archives(archives: int, per_session: int = 10) -> str:
    """P5: two worker processes finish archives, and one is killed on the way."""
    with server() as started:
        return finish_archives_on(new_log(started), archives, per_session)


def finish_archives_on(url: str, archives: int, per_session: int = 10) -> str:
    """Let two worker processes finish the archives of a log, and kill one of them."""
    sessions = archives // per_session
    leave_archives(url, sessions, per_session)
    command = [sys.executable, "-m", "eventlog", "--store", url, "work"]
    workers = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    try:
        with eventlog.open(url) as log:
            for done, _ in enumerate(log.follow(types=["archive_finalized"]), 1):
                if done == archives // 4:
                    workers[0].kill()
                if done == archives:
                    break
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    check_finished(url, sessions, per_session, attempts=9)
    return (
        f"{archives:,} archives finished in the order of each session, each summary recorded once, "
        "a worker killed on the way"
    )
