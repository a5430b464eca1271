"""The figures of the stores that are servers; the modules that start them need extras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks import ours
from benchmarks.results import Row, Scale
from benchmarks.workload import Timing, best_of, compared, written

if TYPE_CHECKING:
    from benchmarks import jetstream

__all__ = [
    "jetstream_appends",
    "jetstream_archives",
    "jetstream_killed",
    "postgres_appends",
    "postgres_archives",
    "postgres_failed_over",
    "postgres_feed",
    "postgres_killed",
]


def postgres_appends(scale: Scale) -> Iterator[Row]:
    """Appends."""
    from benchmarks import postgres

    with postgres.server() as server:
        plain = best_of(scale.runs, lambda: postgres.plain_inserts(server, scale.appends))
        mine = best_of(scale.runs, lambda: ours.appends(postgres.new_log(server), scale.appends))
        yield Row("1 session, synchronous", written(mine), {"psycopg": compared(mine, plain)})
        count = scale.many // 4
        plain = best_of(scale.runs, lambda: postgres.best_plain_inserts(server, count, 64))
        mine = best_of(scale.runs, lambda: ours.appends_async(postgres.new_log(server), count, 64))
        yield Row(
            f"64 sessions at once, asyncio; {mine.cpu_microseconds:.1f} µs of CPU each",
            written(mine),
            {"psycopg": compared(mine, plain)},
            "≥ 0.8 × psycopg with 64 connections",
            mine.per_second >= 0.8 * plain.per_second,
        )


def postgres_feed(scale: Scale) -> Iterator[Row]:
    """What followers see."""
    from benchmarks import postgres

    yield Row(f"8 writers on 64 streams for {scale.seconds:g} s", postgres.follow(scale.seconds))


def postgres_killed(scale: Scale) -> Iterator[Row]:
    """A server that is killed."""
    from benchmarks import postgres

    for trial, line in enumerate(postgres.kill_server(scale.trials, scale.writes), 1):
        yield Row(f"server killed under load, trial {trial}", line)


def postgres_failed_over(scale: Scale) -> Iterator[Row]:
    """A primary that is killed."""
    from benchmarks import postgres

    for trial, line in enumerate(postgres.kill_primary(scale.trials, scale.writes), 1):
        yield Row(f"primary killed under load, standby promoted, trial {trial}", line)


def postgres_archives(scale: Scale) -> Iterator[Row]:
    """A worker that is killed."""
    from benchmarks import postgres

    yield Row("two worker processes", postgres.finish_archives(scale.archives))


def jetstream_appends(scale: Scale) -> Iterator[Row]:
    """Appends to one server and to three."""
    from benchmarks import jetstream

    for what, start in (("one server", jetstream.single), ("three servers", jetstream.cluster)):
        with start() as servers:
            yield _jetstream_row(f"{what}, one session", scale.runs, servers, scale.appends // 3, 1)
            many = f"{what}, 64 sessions at once"
            yield _jetstream_row(many, scale.runs, servers, scale.many // 4, 64)


def _jetstream_row(
    what: str, runs: int, servers: jetstream.Servers, count: int, sessions: int
) -> Row:
    from benchmarks import jetstream

    def append() -> Timing:
        url = jetstream.new_log(servers)
        return ours.appends(url, count) if sessions == 1 else ours.appends_async(url, count, 64)

    plain = best_of(runs, lambda: jetstream.plain_publishes(servers, count, sessions))
    mine = best_of(runs, append)
    what = f"{what}; {mine.cpu_microseconds:.0f} µs of CPU each"
    return Row(what, written(mine), {"nats-py": compared(mine, plain)})


def jetstream_killed(scale: Scale) -> Iterator[Row]:
    """A leader that is killed."""
    from benchmarks import jetstream

    for trial, line in enumerate(jetstream.kill_leader(scale.trials, scale.writes), 1):
        yield Row(f"trial {trial}: leader of three killed -9 under load", line)


def jetstream_archives(scale: Scale) -> Iterator[Row]:
    """A worker that is killed."""
    from benchmarks import jetstream

    yield Row("two worker processes", jetstream.finish_archives(scale.archives))
