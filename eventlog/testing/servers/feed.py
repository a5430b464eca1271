"""Writers and readers of the whole log on PostgreSQL: does a reader miss a record? (L5)

One reader follows with `read_all`. The other, the canary, wrongly assumes that positions are in the
order of commits: it reads what comes after the highest position that it has seen. It must lose records
as soon as transactions overlap; if it does not, the run proves nothing about the first reader.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from eventlog.engine.opening import open_store
from eventlog.store import START, Appended
from eventlog.stores.postgres.connections import split_conninfo
from eventlog.stores.postgres.store import PostgresStore
from eventlog.testing.conformance.base import draft

if TYPE_CHECKING:
    from eventlog.store import Position

__all__ = ["Competition", "compete"]


class Competition(NamedTuple):
    """The result of a run."""

    written: int
    missed: int
    """Records that the follower did not see."""
    missed_naively: int
    """Records that the canary did not see."""
    disordered: int
    """Records that the follower saw before one of an earlier version of their stream."""
    seconds: float


def compete(
    url: str, *, writers: int, streams: int, records: int = 1 << 62, seconds: float = 3_600.0
) -> Competition:
    """Let several stores write, each to its own streams, until there are enough records."""
    done = threading.Event()
    begin = time.monotonic()
    with (
        closing(open_store(url)) as store,
        ThreadPoolExecutor(writers + 2) as pool,
    ):
        assert isinstance(store, PostgresStore)
        follower = pool.submit(_follow, store, done)
        canary = pool.submit(_follow_naively, url, store.schema, done)
        writing = [
            pool.submit(
                _write,
                url,
                [f"stream-{number}" for number in range(place, streams, writers)],
                records // writers,
                begin + seconds,
            )
            for place in range(writers)
        ]
        try:
            written = sum(future.result() for future in writing)
        finally:
            done.set()
        seen, naive = follower.result(), canary.result()
    newest: dict[str, int] = {}
    disordered = 0
    for stream, version in seen:
        disordered += version != newest.get(stream, 0) + 1
        newest[stream] = version
    return Competition(
        written=written,
        missed=written - len(set(seen)),
        missed_naively=written - len(naive),
        disordered=disordered,
        seconds=time.monotonic() - begin,
    )


def _write(url: str, streams: list[str], records: int, until: float) -> int:
    """Append to each stream in turn, as a separate process would; some batches have several streams."""
    written = 0
    with closing(open_store(url)) as store:
        versions = dict.fromkeys(streams, 0)
        while written < records and time.monotonic() < until:
            count = 1 + written % 3
            batch = [draft(name, 1, expected=versions[name]) for name in streams[:count]]
            batch = batch[: records - written]
            for append, answer in zip(batch, store.append(batch), strict=True):
                assert isinstance(answer, Appended), answer
                versions[append.stream] += 1
                written += 1
            streams = streams[1:] + streams[:1]
    return written


def _follow(store: PostgresStore, done: threading.Event) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []
    after: Position = START
    last = False
    while not last:
        last = done.is_set()
        for record in store.read_all(after=after):
            seen.append((record.stream, record.version))
            after = record.position
    return seen


def _follow_naively(url: str, schema: str, done: threading.Event) -> set[int]:
    """Read what is committed after the highest position seen."""
    query = f'SELECT position FROM "{schema}".records WHERE position > %s ORDER BY 1'.encode()
    seen: set[int] = set()
    highest = 0
    last = False
    with psycopg.connect(split_conninfo(url)[0], autocommit=True) as connection:
        while not last:
            last = done.is_set()
            for (position,) in connection.execute(query, (highest,)):
                seen.add(position)
                highest = position
    return seen
