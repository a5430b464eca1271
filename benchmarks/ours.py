"""The same work done with eventlog."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import eventlog
from benchmarks.workload import Timing, messages, timed
from eventlog import AsyncWorker, Finalizer, Summary, SummaryRequest
from eventlog.audit.verify import verify_chain, verify_session
from eventlog.projection import replay
from eventlog.session.appended import appended_fold_reader
from eventlog.session.machine import SESSION_MACHINE
from eventlog.session.projection import SessionFold
from eventlog.store import Store

__all__ = [
    "appends",
    "appends_async",
    "appends_followed",
    "commits",
    "fill",
    "finalised",
    "installed",
    "kill_after",
    "openings",
    "reading",
    "replaying",
    "start_time",
    "state_only",
    "verifying",
    "verifying_all",
]


def _url(place: Path | str) -> str:
    """Return the URL of a log: in a SQLite file, unless it is a URL already."""
    return place if isinstance(place, str) else f"sqlite:///{place}"


def settings(path: Path) -> str:
    """Return the settings that the store has read back."""
    with eventlog.open(_url(path)) as log:
        found = log.store.settings()
    return f"{found['journal_mode']}, synchronous={found['synchronous']}, {log.durability}"


def appends(path: Path | str, count: int) -> Timing:
    """One session, one synchronous append at a time."""
    with eventlog.open(_url(path)) as log:
        session = log.session("chat", create=True)
        payload = messages(count)
        with timed(count) as result:
            for message in payload:
                session.append(message)
    return result()


def appends_followed(path: Path, count: int, *, live: int, folder: bool) -> Timing:
    """Append to a session of ``live`` messages, with or without a folder that follows it."""
    with eventlog.open(_url(path)) as log:
        session = log.session("chat", create=True)
        session.extend(messages(live))
        if folder:
            session.attach_folder(path.with_suffix(""))
        payload = messages(count)
        os.sync()  # Write the prepared data back before measuring.
        with timed(count) as result:
            for message in payload:
                session.append(message)
    return result()


def appends_async(path: Path | str, count: int, sessions: int) -> Timing:
    """Many sessions at once, each one append at a time, from asyncio."""

    async def run() -> Timing:
        async with eventlog.open_async(_url(path)) as log:
            opened = [await log.session(f"chat-{n}", create=True) for n in range(sessions)]
            payload = [messages(count // sessions) for _ in range(sessions)]

            async def append_all(number: int) -> None:
                session = opened[number]
                for message in payload[number]:
                    await session.append(message)

            with timed(count) as result:
                await asyncio.gather(*(append_all(number) for number in range(sessions)))
        return result()

    return asyncio.run(run())


def fill(path: Path, count: int, *, archive: bool = False, batch: int = 500) -> None:
    """Write one session with a number of messages, live or nearly all archived."""
    with eventlog.open(_url(path) + "?synchronous=off") as log:
        session = log.session("chat", create=True)
        for done in range(0, count, batch):
            session.extend(messages(batch))
            if archive and (done // batch) % 20 == 19:
                session.commit()
        if archive:
            session.commit()
            eventlog.Worker(log).run_once()


def kill_after(path: Path, count: int) -> None:
    """Append messages to the session one by one, and end without closing the log."""
    log = eventlog.open(_url(path) + "?synchronous=off")
    session = log.session("chat")
    for message in messages(count):
        session.append(message)
    log.store.close()


def openings(path: Path, runs: int = 30) -> Timing:
    """Open a session whose log is open, as a service does for each request: the best of many."""
    best = 1e9
    for _ in range(runs):
        with eventlog.open(_url(path)) as log:
            log.store.head("another")
            begun = time.perf_counter()
            log.session("chat")
            best = min(best, time.perf_counter() - begun)
    return Timing(1, best, best)


def reading(path: Path, count: int) -> Timing:
    """Read the records without decoding them."""
    with eventlog.open(_url(path)) as log, timed(count) as result:
        read = sum(1 for _ in log.store.read("chat"))
    assert read >= count
    return result()


def replaying(path: Path, count: int, *, with_msgspec: bool = True) -> Timing:
    """Read, validate and fold from the first record on, without a snapshot."""
    appended_fold_reader.cache_clear()
    with _msgspec(there=with_msgspec):
        appended_fold_reader()
    try:
        return _replaying(path, count)
    finally:
        appended_fold_reader.cache_clear()


@contextmanager
def _msgspec(*, there: bool) -> Generator[None]:
    """Let msgspec be found as it is, or be missing."""
    kept = {name: sys.modules.get(name) for name in ("msgspec", "msgspec.json")}
    if not there:
        sys.modules |= dict.fromkeys(kept)  # type: ignore[arg-type]  # None bars an import.
    try:
        yield
    finally:
        for name, module in kept.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def _replaying(path: Path, count: int) -> Timing:
    with eventlog.open(_url(path)) as log, timed(count) as result:
        state = replay(log.store.read("chat"), SessionFold("chat"))
    assert state.total_message_count >= count
    return result()


def state_only(path: Path, count: int) -> Timing:
    """Run the session's machine over records in memory, by their types alone."""
    with eventlog.open(_url(path)) as log:
        records = list(log.store.read("chat"))
    table = SESSION_MACHINE.table
    with timed(count) as result:
        state = "absent"
        for record in records:
            state = table.get((state, record.type), state)
    assert state == "open"
    return result()


def verifying(path: Path, count: int) -> Timing:
    """Read and verify the hash chain."""
    with eventlog.open(_url(path)) as log:
        store: Store = log.store
        with timed(count) as result:
            finding = verify_chain(store.read("chat"))
    assert finding is None
    return result()


def verifying_all(path: Path, count: int) -> Timing:
    """Read and verify all that follows from the events of a session, but not its index."""
    with eventlog.open(_url(path)) as log:
        store: Store = log.store
        with timed(count) as result:
            verified = verify_session(store, "chat")
    assert not verified.findings
    return result()


def looking_back(path: Path, version: int, *, again: int | None = None) -> Timing:
    """See the state at a version: the first time, or after another one was looked at."""
    with eventlog.open(_url(path)) as log:
        session = log.session("chat")
        if again is not None:
            session.at(version=again).meta  # noqa: B018 - it is folded for that
        with timed(1) as result:
            assert session.at(version=version).meta.total_message_count <= version
    return result()


def bisecting(path: Path, expression: str) -> Timing:
    """Look at every event for one after which an expression holds that never does."""
    with eventlog.open(_url(path)) as log:
        session = log.session("chat")
        with timed(1) as result:
            assert session.bisect(expression) is None
    return result()


def commits(path: Path, live: int, keep_recent: int, runs: int) -> tuple[Timing, Timing]:
    """Commit a live tail; return its time, and that of one append for comparison."""
    best = append = 1e9
    with eventlog.open(_url(path)) as log:
        session = log.session("chat", create=True)
        for _ in range(runs):
            session.extend(messages(live - session.meta.message_count))
            (message,) = messages(1)
            begun = time.perf_counter()
            session.append(message)
            append = min(append, time.perf_counter() - begun)
            begun = time.perf_counter()
            session.commit(keep_recent=keep_recent)
            best = min(best, time.perf_counter() - begun)
    return Timing(1, best, best), Timing(1, append, append)


def finalised(path: Path, count: int, at_once: int) -> Timing:
    """Finalise waiting archives of several sessions at once, with a summary that costs nothing."""

    async def summarize(request: SummaryRequest) -> Summary:
        return Summary(overview="overview", abstract="abstract")

    async def run() -> Timing:
        async with eventlog.open_async(_url(path)) as log:
            worker = AsyncWorker(log, Finalizer(summarize), concurrency=at_once)
            with timed(count) as result:
                assert await worker.run_once() == count
        return result()

    with eventlog.open(_url(path) + "?synchronous=off") as log:
        for number in range(at_once):
            session = log.session(f"chat-{number}", create=True)
            for message in messages(count // at_once):
                session.append(message)
                session.commit()
    return asyncio.run(run())


@contextmanager
def installed() -> Generator[Path]:
    """Lend a Python that has the package as users have it: built, compiled, and not editable.

    What it depends on comes from where this Python has it, without the hooks that stand there.
    """
    with tempfile.TemporaryDirectory(prefix="eventlog-bench-") as folder:
        venv.create(folder, symlinks=True)
        python = Path(folder, "bin", "python")
        (packages,) = Path(folder, "lib").glob("python*/site-packages")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(packages)]
        offline = ["--no-deps", "--no-build-isolation", "--no-index"]
        tree = Path(__file__).parents[1]
        copy = Path(folder, "tree")
        shutil.copytree(tree, copy, symlinks=True, ignore=shutil.ignore_patterns(".git", "tests"))
        subprocess.run([*pip, *offline, str(copy)], check=True)
        found = [path for path in sys.path if path.endswith("site-packages")]
        (packages / "dependencies.pth").write_text("\n".join(found))
        yield python


def start_time(python: Path, *arguments: str, runs: int = 15) -> Timing:
    """Start a new interpreter with these arguments: the best of several."""
    environment = {"PATH": os.environ["PATH"]}  # Nothing that keeps it from using what is compiled.
    wall = cpu = 1e9
    for _ in range(runs):
        begun, cpu_begun = time.perf_counter(), _cpu_of_children()
        subprocess.run(
            [python, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=python.parent,
            env=environment,
        )
        wall = min(wall, time.perf_counter() - begun)
        cpu = min(cpu, _cpu_of_children() - cpu_begun)
    return Timing(1, wall, cpu)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def as_json(timing: Timing) -> str:
    """Write a timing for machines."""
    return json.dumps(timing._asdict())
