"""Pages in a real Chromium: a report, and the inspector of a server. See `Browsing`."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import eventlog
from benchmarks.workload import messages
from eventlog.report import write_report

__all__ = ["Browsing", "Inspecting", "Made", "browsed", "fill_session", "inspected", "made"]

CHROMIUM = shutil.which("chromium")

QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")

STEPS = 40
"""Versions that the slider goes to, here and there."""

SEARCHED = ("message", "deploy", "nothing says this")

MOVED = """async (version) => {
  const slider = document.getElementById("slider");
  const begun = performance.now();
  slider.value = String(version);
  slider.dispatchEvent(new Event("input"));
  await new Promise((go) => requestAnimationFrame(() => setTimeout(go, 0)));
  return performance.now() - begun;
}"""

FILTERED = """async (text) => {
  const input = document.querySelector(".filters input");
  const begun = performance.now();
  input.value = text;
  input.dispatchEvent(new Event("input"));
  await new Promise((go) => requestAnimationFrame(() => setTimeout(go, 0)));
  return performance.now() - begun;
}"""


class Made(NamedTuple):
    """What a report costs: seconds of CPU and bytes."""

    cpu: float
    size: int


class Browsing(NamedTuple):
    """A report in the browser, in milliseconds: by the clock, and of CPU in the page's thread.

    ``ready`` is from the beginning of its navigation to the state at the last version; ``slider`` and
    ``filter`` are medians, from the input to the frame after it.
    """

    ready: float
    ready_cpu: float
    slider: float
    slider_cpu: float
    filter: float
    filter_cpu: float


class Inspecting(NamedTuple):
    """The inspector with a long session: milliseconds to its list and to its newest events, and the
    bytes of the JavaScript heap after looking around."""

    listed: float
    lines: float
    heap: float


def fill_session(path: Path, events: int) -> None:
    """Fill a session with messages, and commit now and then."""
    with eventlog.open(f"sqlite:///{path}") as log:
        session = log.session("long", create=True)
        written = messages(events)
        for start in range(0, events, 500):
            session.extend(written[start : start + 500])
            if start % 2_500 == 0:
                session.commit(keep_recent=20)


def made(path: Path, page: Path) -> Made:
    """Make a report."""
    with eventlog.open(f"sqlite:///{path}") as log:
        begun = time.process_time()
        summary = write_report(log, ["long"], page)
        return Made(time.process_time() - begun, summary.bytes)


@contextmanager
def _page() -> Generator[tuple[Any, Any]]:
    """Lend a page of a new browser, and its metrics."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_context(viewport={"width": 1600, "height": 900}).new_page()
        metrics = page.context.new_cdp_session(page)
        metrics.send("Performance.enable", {"timeDomain": "threadTicks"})

        def read() -> dict[str, float]:
            found: list[Any] = metrics.send("Performance.getMetrics")["metrics"]
            return {each["name"]: each["value"] for each in found}

        yield page, read
        browser.close()


def browsed(file: Path, versions: int) -> Browsing:
    """Open a report, move its slider, and search it."""
    with _page() as (page, metrics):
        page.set_default_timeout(300_000)
        page.goto(file.as_uri(), timeout=300_000)
        page.wait_for_selector("html[data-ready]")
        ready = page.evaluate("Number(document.documentElement.dataset.ready)")
        ready_cpu = metrics()["TaskDuration"] * 1_000
        steps = _spread(versions, STEPS)
        slider = list(_timed(page, metrics, MOVED, steps))
        found = list(_timed(page, metrics, FILTERED, SEARCHED))
    return Browsing(
        ready,
        ready_cpu,
        *(statistics.median(each[place] for each in slider) for place in (0, 1)),
        *(statistics.median(each[place] for each in found) for place in (0, 1)),
    )


def _spread(versions: int, count: int) -> list[int]:
    """Return versions over the whole session, neighbours far from each other."""
    return [1 + (place * 7_919 * versions // count) % versions for place in range(count)]


def _timed(page: Any, metrics: Any, script: str, given: Any) -> Iterator[tuple[float, float]]:
    for each in given:
        before = metrics()["TaskDuration"]
        took = page.evaluate(script, each)
        yield took, (metrics()["TaskDuration"] - before) * 1_000


def inspected(path: Path, versions: int) -> Inspecting:
    """Serve a log in a process of its own, and look at its long session."""
    command = [
        sys.executable,
        "-m",
        "eventlog",
        "--store",
        f"sqlite:///{path}",
        "serve",
        "--port",
        "0",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "EVENTLOG_TOKEN"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stderr is not None
            found = re.search(r"http://[\d.]+:\d+", server.stderr.readline())
            assert found is not None
            with _page() as (page, metrics):
                return _looked_around(page, metrics, f"{found[0]}/", versions)
        finally:
            server.terminate()


def _looked_around(page: Any, metrics: Any, url: str, versions: int) -> Inspecting:
    page.set_default_timeout(300_000)
    begun = time.perf_counter()
    page.goto(url)
    page.wait_for_selector("html[data-ready]")
    listed = time.perf_counter() - begun
    begun = time.perf_counter()
    page.get_by_role("link", name="long").click()
    page.wait_for_selector(".row .line:not(:empty)")
    lines = time.perf_counter() - begun
    for version in _spread(versions, 6):
        page.evaluate("place => { location.hash = place; }", f"#long@{version}")
        page.wait_for_selector(f"#panel[data-version='{version}']")
    heap = metrics()["JSHeapTotalSize"]
    return Inspecting(listed * 1_000, lines * 1_000, heap)
