"""The figures: what is measured, compared with which library, and the goals (B1 to B21)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import contenders, growth, latency, ours, servers, streams, views, wal
from benchmarks.contenders import peer
from benchmarks.results import Figure, Row, Scale, Spread, against, in_turns, rate, spread
from benchmarks.workload import Timing, best_of, compared, quickest, written
from eventlog import Session

__all__ = ["FIGURES", "Figure", "Row", "Scale"]


@contextmanager
def _folder() -> Generator[Callable[[str], Path]]:
    """Lend new database paths; everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="eventlog-bench-") as folder:
        numbers = iter(range(1_000_000))
        yield lambda name: Path(folder) / f"{name}-{next(numbers)}.db"


def _rates(timings: dict[str, list[Timing]]) -> dict[str, Spread]:
    return {
        name: spread([timing.per_second for timing in found]) for name, found in timings.items()
    }


def _cpu(timings: list[Timing]) -> float:
    """Return the median of the CPU time of an operation, in microseconds."""
    return spread([timing.cpu_microseconds for timing in timings]).median


def _compared(
    name: str,
    timings: dict[str, list[Timing]],
    missing: dict[str, str],
    goal: str = "",
    met: Callable[[dict[str, Spread]], bool] | None = None,
) -> Row:
    """Return the line of rates that were measured in turn."""
    found = _rates(timings)
    mine = found["eventlog"]
    others = against(mine, found, missing)
    is_met = None if met is None else met(found)
    return Row(name, rate(mine), others, goal, is_met, "per second", found)


def _times(found: dict[str, Spread], peers: tuple[str, ...]) -> float:
    """Return how many times as fast ours is as the quickest of some peers."""
    best = max((found[name].median for name in peers if name in found), default=0.0)
    return found["eventlog"].median / best if best else float("inf")


_LIBRARIES = ("eventsourcing", "openai_agents", "google_adk", "langgraph")


def _one_session(scale: Scale) -> Iterator[Row]:
    count, few = scale.appends, scale.appends // 10
    with _folder() as new:
        timings, missing = in_turns(
            scale.turns,
            lambda: ours.appends(new("ours"), count),
            sqlite3=lambda: contenders.raw_appends(new("raw"), count),
            eventsourcing=lambda: peer("eventsourcing").appends(new("es"), count // 2),
            openai_agents=lambda: peer("openai_agents").appends(new("agents"), count // 2),
            google_adk=lambda: peer("adk").appends(new("adk"), few),
            langgraph=lambda: peer("checkpoints").appends(new("langgraph"), few),
            plain_file=lambda: contenders.plain_appends(new("plain"), count),
        )
    yield _compared(
        "one session, one append at a time",
        timings,
        missing,
        "≥ 0.65 × sqlite3, ≥ 1.2 × eventsourcing",
        lambda found: (
            _times(found, ("sqlite3",)) >= 0.65 and _times(found, ("eventsourcing",)) >= 1.2
        ),
    )


def _many_sessions(scale: Scale) -> Iterator[Row]:
    for sessions, over_raw, over_peers in ((64, 4.5, 7.0), (256, 5.5, 10.0)):
        yield _many(scale, sessions, over_raw, over_peers)


def _many(scale: Scale, sessions: int, over_raw: float, over_peers: float) -> Row:
    few = max(scale.peer_many // 5, sessions)
    with _folder() as new:
        timings, missing = in_turns(
            scale.runs,
            lambda: ours.appends_async(new("ours"), scale.many, sessions),
            sqlite3=lambda: contenders.raw_appends(new("raw"), scale.appends),
            eventsourcing=lambda: peer("eventsourcing").appends(
                new("es"), scale.peer_many, sessions
            ),
            openai_agents=lambda: peer("openai_agents").appends(
                new("agents"), scale.peer_many, sessions
            ),
            google_adk=lambda: peer("adk").appends(new("adk"), few, sessions),
        )
    cpu = _cpu(timings["eventlog"])
    return _compared(
        f"{sessions} sessions at once, asyncio; {cpu:.1f} µs of CPU each",
        timings,
        missing,
        f"≥ {over_raw} × sqlite3, ≥ {over_peers:g} × each library, ≤ 22 µs",
        lambda found: (
            _times(found, ("sqlite3",)) >= over_raw
            and _times(found, _LIBRARIES) >= over_peers
            and cpu <= 22
        ),
    )


def _replay(scale: Scale) -> Iterator[Row]:
    count = scale.replayed
    with _folder() as new:
        path = new("ours")
        ours.fill(path, count)
        mine = best_of(scale.runs, lambda: ours.replaying(path, count))
        plain = best_of(scale.runs, lambda: ours.replaying(path, count, with_msgspec=False))
        timings, missing = in_turns(
            1,
            lambda: mine,
            eventsourcing=lambda: peer("eventsourcing").replay(new("es"), count // 10),
            openai_agents=lambda: peer("openai_agents").load(new("agents"), count // 10),
        )
        found = {
            name: spread([timing.microseconds for timing in each]) for name, each in timings.items()
        }
        yield Row(
            "read, validate and fold, per event, with msgspec",
            f"{mine.microseconds:.2f} µs",
            missing
            | {
                name.replace("_", "-"): f"{each.median:.2f} µs"
                + (" (plain dicts)" if name == "openai_agents" else "")
                for name, each in found.items()
                if name != "eventlog"
            },
            "≤ 3 µs",
            mine.microseconds <= 3,
            "µs",
            found,
        )
        yield Row(
            "the same without msgspec",
            f"{plain.microseconds:.2f} µs",
            {},
            "≤ 5 µs",
            plain.microseconds <= 5,
        )
        machine = best_of(scale.runs, lambda: ours.state_only(path, count))
        yield Row(
            "state only, per event at hand",
            f"{machine.microseconds:.2f} µs",
            {},
            "≤ 1 µs",
            machine.microseconds <= 1,
        )


def _verify(scale: Scale) -> Iterator[Row]:
    count = scale.replayed
    with _folder() as new:
        path = new("ours")
        ours.fill(path, count)
        # In turn, so that a busy machine slows all of them alike.
        kinds = (ours.reading, ours.verifying, ours.verifying_all)
        rounds = [[measure(path, count) for measure in kinds] for _ in range(scale.runs)]
        reading, chain, everything = (
            min(each.cpu_microseconds for each in timings) for timings in zip(*rounds, strict=True)
        )
        for name, took, goal in (("the chain", chain, 2), ("everything", everything, 8)):
            on_top = took - reading
            yield Row(
                f"verify {name}, per event on top of reading ({reading:.2f} µs)",
                f"{on_top:.2f} µs of CPU",
                {},
                f"≤ {goal} µs",
                on_top <= goal,
            )


def _opening(scale: Scale) -> Iterator[Row]:
    with _folder() as new:
        small = new("small")
        ours.fill(small, 1_000)
        live, archived = new("live"), new("archived")
        ours.fill(live, scale.large)
        ours.fill(archived, scale.large, archive=True)
        for after in ("", ", 128 of them by a process that was killed"):
            if after:
                for path in (small, live, archived):
                    ours.kill_after(path, 128)
            base = ours.openings(small)
            yield Row(f"open a session of 1,000 live messages{after}", f"{base.wall * 1e3:.2f} ms")
            for path, what in ((live, "live"), (archived, "archived")):
                opened = ours.openings(path)
                yield Row(
                    f"open a session of {scale.large:,} {what} messages{after}",
                    f"{opened.wall * 1e3:.2f} ms ({opened.wall / base.wall:.2f}×)",
                    {},
                    "≤ 2 ms, ≤ 1.5 × that of 1,000",
                    opened.wall <= 0.002 and opened.wall <= 1.5 * base.wall,
                )


def _commit(scale: Scale) -> Iterator[Row]:
    for keep_recent in (0, 20, 500, 999):
        with _folder() as new:
            commit, append = ours.commits(new("ours"), 1_000, keep_recent, scale.commits)
            yield Row(
                f"commit 1,000 live messages, keep_recent={keep_recent}",
                f"{commit.wall * 1e6:.0f} µs ({commit.wall / append.wall:.2f} × an append)",
                {},
                "≤ 2 × an append",
                commit.wall <= 2 * append.wall,
            )


def _looking_back(scale: Scale) -> Iterator[Row]:
    with _folder() as new:
        path, events = new("back"), scale.replayed
        ours.fill(path, events)
        for version, again in ((events // 2, None), (events - 1, None), (events - 9, events - 1)):
            timing = ours.looking_back(path, version, again=again)
            name = f"state at version {version:,} of {events:,}{'' if again is None else ', again'}"
            yield Row(name, f"{timing.wall:.3f} s", {}, "≤ 0.5 s", timing.wall <= 0.5)
        timing = ours.bisecting(path, "meta.total_message_count > 9_000_000_000")
        yield Row(
            f"bisect {events:,} events", f"{timing.wall:.2f} s", {}, "≤ 2 s", timing.wall <= 2
        )


def _pages(scale: Scale) -> Iterator[Row]:
    from benchmarks import pages

    if pages.CHROMIUM is None:
        yield Row("not measured", "Chromium is not installed")
        return
    with _folder() as new:
        path, page = new("report"), new("report").with_suffix(".html")
        pages.fill_session(path, scale.reported)
        made = pages.made(path, page)
        what = f"report of {scale.reported:,} events"
        yield Row(f"{what}: CPU to make it", f"{made.cpu:.2f} s", {}, "≤ 5 s", made.cpu <= 5)
        size = made.size / 1_000_000
        yield Row(f"{what}: size", f"{size:.1f} MB", {}, "≤ 10 MB", size <= 10)
        seen = pages.browsed(page, scale.reported)
        for name, wall, cpu, goal in (
            ("ready", seen.ready, seen.ready_cpu, 500),
            ("slider", seen.slider, seen.slider_cpu, 30),
            ("filter", seen.filter, seen.filter_cpu, 150),
        ):
            figure = f"{wall:,.0f} ms ({cpu:,.0f} of CPU)"
            yield Row(f"{what}: {name}", figure, {}, f"≤ {goal} ms", wall <= goal)
    with _folder() as new:
        path = new("inspected")
        pages.fill_session(path, scale.inspected)
        looked = pages.inspected(path, scale.inspected)
        what = f"serve, {scale.inspected:,} events"
        for name, wall in (("list", looked.listed), ("newest events", looked.lines)):
            yield Row(f"{what}: {name}", f"{wall:,.0f} ms", {}, "≤ 1 s", wall <= 1_000)
        heap = looked.heap / 1_000_000
        yield Row(f"{what}: JS heap", f"{heap:.0f} MB", {}, "≤ 200 MB", heap <= 200)


def _files(scale: Scale) -> Iterator[Row]:
    """The files store compared with the least that it could do; there is no goal."""
    for sessions in (1, 64):
        with _folder() as new:
            plain = best_of(
                scale.runs, lambda: contenders.plain_appends(new("plain"), scale.appends)
            )
            if sessions == 1:
                mine = best_of(
                    scale.runs, lambda: ours.appends(f"files:///{new('f')}", scale.appends)
                )
            else:
                mine = best_of(
                    scale.runs, lambda: ours.appends_async(f"files:///{new('f')}", scale.many, 64)
                )
            what = "one session, one append at a time" if sessions == 1 else "64 sessions at once"
            yield Row(
                f"files: {what}; {mine.cpu_microseconds:.1f} µs of CPU each",
                written(mine),
                {"write + fdatasync": compared(mine, plain)},
            )


def _attached(scale: Scale) -> Iterator[Row]:
    count = scale.appends // 4
    with _folder() as new:

        def measure(live: int, *, folder: bool) -> Timing:
            return ours.appends_followed(new("ours"), count, live=live, folder=folder)

        kinds = [(10, False), (10, True), (scale.replayed, True)]
        # In turn, so that a busy disk slows all of them alike.
        rounds = [
            [measure(live, folder=folder) for live, folder in kinds] for _ in range(scale.trials)
        ]
        plain, short, long = (min(timings, key=quickest) for timings in zip(*rounds, strict=True))
        yield Row("append without a folder, 10 live messages", _cost(plain))
        for timing, live in ((short, 10), (long, scale.replayed)):
            ratio = timing.wall / plain.wall
            yield Row(
                f"append with a folder attached, {live:,} live messages",
                f"{_cost(timing)} ({ratio:.2f} × without)",
                {},
                "≤ 1.7 ×",
                ratio <= 1.7,
            )


def _cost(timing: Timing) -> str:
    return f"{timing.microseconds:.0f} µs, {timing.cpu_microseconds:.0f} µs of CPU"


def _tasks(scale: Scale) -> Iterator[Row]:
    at_once = 64
    with _folder() as new:
        timings, missing = in_turns(
            scale.runs,
            lambda: ours.finalised(new("ours"), scale.tasks, at_once),
            dbos=lambda: peer("durable_workflows").workflows(
                new("dbos"), scale.peer_tasks, at_once
            ),
            huey=lambda: peer("queues").tasks(new("huey"), scale.peer_tasks, at_once),
        )
    yield _compared(
        f"{at_once} at once; {_cpu(timings['eventlog']):.0f} µs of CPU each",
        timings,
        missing,
        "≥ 2,000/s, ≥ 5 × dbos",
        lambda found: found["eventlog"].median >= 2_000 and _times(found, ("dbos",)) >= 5,
    )


def _views(scale: Scale) -> Iterator[Row]:
    with _folder() as new:
        lengths = (1_000, scale.replayed)
        paths = [new("live") for _ in lengths]
        for path, count in zip(paths, lengths, strict=True):
            ours.fill(path, count)
        for name, view in views.VIEWS.items():
            short, small = views.viewed(paths[0], view)
            long, large = views.viewed(paths[1], view)
            yield Row(
                f"{name}, {lengths[1]:,} live messages",
                f"{long.wall * 1e3:.2f} ms, {large / 1e3:.0f} kB ({lengths[0]:,} live messages: "
                f"{short.wall * 1e3:.2f} ms, {small / 1e3:.0f} kB)",
                {},
                "≤ 5 ms; ≤ 1.5 × the memory",
                long.wall <= 5e-3 and large <= 1.5 * small,
            )


def _listing(scale: Scale) -> Iterator[Row]:
    for count in (scale.replayed // 100, scale.replayed):
        with _folder() as new:
            path = new("many")
            views.fill_sessions(path, count)
            timing = best_of(scale.runs, partial(views.listed, path, count))
        yield Row(
            f"{count:,} sessions",
            f"{timing.wall:.2f} s, {timing.microseconds:.1f} µs each",
            {},
            "≤ 20 µs each",
            timing.microseconds <= 20,
        )


def _summaries(scale: Scale) -> Iterator[Row]:
    timing = views.summarised(scale.replayed // 10, scale.runs)
    cost = timing.cpu_microseconds
    yield Row("per message", f"{cost:.0f} µs of CPU", {}, "≤ 60 µs", cost <= 60)


def _whole(scale: Scale) -> Iterator[Row]:
    count = scale.replayed
    with _folder() as new:
        path = new("live")
        ours.fill(path, count)
        for name, read in (("tail()", Session.tail), ("history()", Session.history)):
            timing = best_of(scale.runs, partial(views.whole, path, count, read))
            yield Row(
                f"{name} of {count:,} messages, per message",
                f"{timing.microseconds:.1f} µs",
                {},
                "≤ 8 µs",
                timing.microseconds <= 8,
            )


def _streams(scale: Scale) -> Iterator[Row]:
    with _folder() as new:
        timing = streams.streamed(new("streams"), scale.seconds)
        brought = streams.brought(scale.seconds).cpu_microseconds
        cost = timing.cpu_microseconds - brought
        yield Row(
            "a token, 10 messages at once, 150 tokens/s each, on top of the event loop that brings "
            f"them ({brought:.1f} µs)",
            f"{cost:.1f} µs of CPU",
            {},
            "≤ 10 µs",
            cost <= 10,
        )
        for name, view in {
            "tail(last=20)": views.VIEWS["tail(last=20)"],
            "tail()": Session.tail,
        }.items():
            cpu = {}
            for by_chunks in (False, True):
                path, runs = new(f"read-{by_chunks}"), 30 * scale.runs
                timing = streams.read_back(path, 100, view, by_chunks=by_chunks, runs=runs)
                cpu[by_chunks] = timing.cpu
            ratio = cpu[True] / cpu[False]
            yield Row(
                f"{name} after 100 streamed messages, compared with 100 plain ones",
                f"{ratio:.2f} ×",
                {},
                "≤ 1.2 ×",
                ratio <= 1.2,
            )


def _http(scale: Scale) -> Iterator[Row]:
    from benchmarks import http

    with _folder() as new:
        timing = best_of(scale.runs, lambda: http.appends(new("http"), scale.appends, 16))
    cost = timing.cpu_microseconds
    yield Row(
        f"a durable append over HTTP, 16 connections; {cost:.0f} µs of the server's CPU",
        written(timing),
        {},
        "≤ 200 µs",
        cost <= 200,
    )


def _imports(_: Scale) -> Iterator[Row]:
    with ours.installed() as python:
        bare = ours.start_time(python, "-c", "pass")
        pydantic = ours.start_time(python, "-c", "from pydantic import Field, TypeAdapter")
        for name, arguments, limit in (
            ("import eventlog", ("-c", "import eventlog"), 0.150),
            ("eventlog --help", ("-m", "eventlog", "--help"), 0.250),
        ):
            took = ours.start_time(python, *arguments)
            yield Row(
                name,
                f"{took.wall * 1e3:.0f} ms, {took.cpu * 1e3:.0f} of CPU (Python alone "
                f"{bare.cpu * 1e3:.0f}, with pydantic {pydantic.cpu * 1e3:.0f})",
                {},
                f"≤ {limit * 1e3:.0f} ms",
                took.wall <= limit,
            )


def _wal(scale: Scale) -> Iterator[Row]:
    for readers, hold in (("that page through the log", None), ("of 0.1 s each", 0.1)):
        with _folder() as new:
            seen = wal.under_pressure(new("wal"), scale.pressed_seconds, hold)
        bounded = seen.largest_wal <= 64 * 1024 * 1024 and not seen.failed_readers
        yield Row(
            f"64 writers beside 4 readers {readers}, {scale.pressed_seconds:g} s",
            f"{seen.largest_wal / 1024 / 1024:.1f} MiB; {seen.appends_per_second:,.0f}/s, p99 "
            f"{seen.p99 * 1e3:.0f} ms, p99.9 {seen.p999 * 1e3:.0f} ms",
            {},
            "≤ 64 MiB, and no reader fails",
            bounded,
        )


FIGURES = (
    Figure("B1", "one session", _one_session),
    Figure("B2", "many sessions", _many_sessions),
    Figure("B3", "replay", _replay),
    Figure("B4", "opening", _opening),
    Figure("B6", "commit", _commit),
    Figure("B7", "finalising, with a summary that costs nothing", _tasks),
    Figure("B8", "verify", _verify),
    Figure("B9", "PostgreSQL", servers.postgres_appends),
    Figure("B10", "folder attached", _attached),
    Figure("B11", "start-up", _imports),
    Figure("B12", "appends over HTTP", _http),
    Figure("B14", "views of a long session", _views),
    Figure("B13", "streamed messages", _streams),
    Figure("B15", "looking back", _looking_back),
    Figure("B16", "pages in Chromium", _pages),
    Figure("B17", "list of sessions", _listing),
    Figure("B18", "the WAL beside writers and readers", _wal),
    Figure("B19", "summary without a model", _summaries),
    Figure("B20", "whole conversations", _whole),
    Figure("B21", "latency of an append", latency.latency_rows),
    Figure("GROWTH", "what grows with the length of a session", growth.growth_rows),
    Figure("LISTS", "what grows with the number of sessions", growth.list_rows),
    Figure("L5", "PostgreSQL: followers of concurrent writers", servers.postgres_feed),
    Figure("K6", "PostgreSQL: server killed", servers.postgres_killed),
    Figure("K6F", "PostgreSQL: primary killed, standby promoted", servers.postgres_failed_over),
    Figure("P5", "PostgreSQL: worker killed", servers.postgres_archives),
    Figure("L8", "JetStream", servers.jetstream_appends),
    Figure("K6J", "JetStream: leader killed", servers.jetstream_killed),
    Figure("P5J", "JetStream: worker killed", servers.jetstream_archives),
    Figure("FILES", "appends to plain files", _files),
)
