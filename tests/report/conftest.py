"""A session with much in it, its report, and a real Chromium to look at it with."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import Finalizer, Message, RetryableError, RetryPolicy, Worker
from eventlog.report import write_report
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from tests.account import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from eventlog import Log, Session

HOSTILE = "</script><img src=x onerror=document.title=1><!-- \u202egnp.exe\u202c \x1b[2J \u2028"
"""Text that would be markup, turn other text around, or clear a terminal."""

LANGUAGES = "结账服务怎么样 · مرحبا، كيف الحال · שלום · 👨‍👩‍👧 · नमस्ते"


def say(role: str, id_: str, text: str) -> Message:
    part = {"type": "text", "text": text}
    return Message.model_validate({"id": id_, "role": role, "parts": [part]})


def data_in(text: str) -> dict[str, Any]:
    """Return the data of a session in a report, put together from its parts."""
    head, packed_list, *packed = text.split("\n")
    document: dict[str, Any] = {**json.loads(head), "windows": [], "values": [], "paths": []}
    listed = _unpacked(packed_list)
    for place, (changes, values) in enumerate(zip(packed[::2], packed[1::2], strict=True)):
        patches = _unpacked(changes)
        assert document["starts"][place] == [len(document["values"]), len(document["paths"])]
        document["paths"] += patches.pop("paths")
        document["values"] += _unpacked(values)
        if patches:
            for pairs in [patches["whole"], *patches["changes"]]:
                for at in range(0, len(pairs), 2):  # Those of live messages are below zero.
                    is_of_tail = pairs[at] < 0
                    pairs[at] = ~pairs[at] if is_of_tail else pairs[at]
                    assert (document["paths"][pairs[at]][0] == "tail") == is_of_tail
            document["windows"].append({**listed["windows"][place], **patches})
    assert len(document["windows"]) == len(listed["windows"])
    document["causes"] = listed["causes"]
    names = {int(place): name for place, name in listed["names"].items()}
    assert names == {place: document["values"][place] for place in names}
    return document


def _unpacked(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text, validate=True)))


def sessions_in(page: str) -> list[dict[str, Any]]:
    """Return the data of each session in a report."""
    pattern = r'<script type="text/plain" class="session-data">([^<]*)</script>'
    return [data_in(text) for text in re.findall(pattern, page)]


def said_in(page: str) -> str:
    """Return all that a report says: what is written in it, and what is packed."""
    return page + json.dumps(sessions_in(page), ensure_ascii=False)


def _refuse(request: object) -> Any:
    raise RetryableError("connection reset by peer")


def tell(log: Log, clock: FakeClock) -> Session:
    """Tell a story of tool calls, turns, a withdrawal, commits, and an archive that fails for good."""
    session = log.session("bot-7", create=True, owner="ada", workspace="shop")
    worker = Worker(log, Finalizer())
    for number in range(6):
        clock.advance(60)
        with session.turn(f"turn-{number}") as turn:
            session.append(
                say("user", f"u-{number}", f"What does fare {number} cost?"), actor="ada"
            )
            call = Message.call("list_fares", {"from": "today", "number": number})
            asked = session.append(Message.assistant("I look it up.", tools=(call,)))
            clock.advance(2)
            output = "Monday 355 EUR\n" * (300 if number == 4 else 2)
            session.record_tool_result(asked.id, call.tool_id, output, actor="fares")
            session.append(say("assistant", f"a-{number}", f"It costs {300 + number} EUR."))
            turn.end({"answer": f"a-{number}"})
        if number == 1:
            session.append(say("user", "oops", "Forget this."))
            session.withdraw(message_ids=["oops"])
        if number == 2:
            session.context(record=True, actor="ada")
            session.commit(keep_recent=2)
            worker.run_once()
            session.context(record=True)
    for attempt in range(3):
        with pytest.raises(RuntimeError), session.turn("loop", resume=True):
            raise RuntimeError(f"provider died, attempt {attempt}")
    session.commit(keep_recent=3)
    poor = Worker(log, Finalizer(_refuse), retry=RetryPolicy(attempts=3, base_seconds=1))
    for _ in range(3):
        poor.run_once()
        clock.advance(100)
    session.extend([say("user", "hostile", HOSTILE), say("assistant", "languages", LANGUAGES)])
    session.append(say("user", "secret", "my key is sk-abcdefghijklmnop1234, keep it"))
    return session


def refund_twice(log: Log, clock: FakeClock) -> Session:
    """Tell of a turn that dies after its tool did something, and whose next attempt does it again."""
    session = log.session("refunds", create=True, owner="shop")
    session.append(say("user", "u-1", "Please refund order 4471, 40 EUR."))
    for attempt in (1, 2):
        with suppress(ConnectionError), session.turn("refund-4471", resume=True) as turn:
            call = Message.call("refund", {"order": "4471", "amount": "40 EUR"})
            asked = session.append(Message.assistant("I refund it.", tools=(call,)))
            session.record_tool_result(asked.id, call.tool_id, "refunded 40 EUR", actor="payments")
            if attempt == 1:
                raise ConnectionError("the model went away")
            turn.end({})
        clock.advance(61)
    session.append(say("user", "u-2", "You refunded me twice?!"))
    return session


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(clock: FakeClock) -> Iterator[Log]:
    with eventlog.open("memory:", clock=clock, ids=NumberedIds()) as opened:
        yield opened


@pytest.fixture
def session(log: Log, clock: FakeClock) -> Session:
    return tell(log, clock)


@pytest.fixture
def report(log: Log, session: Session, tmp_path: Path) -> Path:
    path = tmp_path / "case.html"
    write_report(log, [session.id], path)
    return path


# ---- the browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium, once a module: its event loop would be in the way of other tests' loops.

    Without one it is a failure in CI; elsewhere the run says so at its end.
    """
    path = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        path = None
    if path is None:
        if os.environ.get("CI"):
            raise RuntimeError("install chromium and playwright: .ci/run does")
        missing["Chromium"] = "apt-get install chromium, pip install playwright"
        pytest.skip(missing["Chromium"])
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"]
    quiet += ["--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=quiet)
        yield started
        started.close()


@dataclass
class Shown:
    """A page that is shown, and what went wrong in it."""

    page: Page
    problems: list[str] = field(default_factory=list[str])
    requests: list[str] = field(default_factory=list[str])

    def go(self, place: str) -> None:
        """Follow an address, and wait until the state there is shown."""
        self.page.evaluate("place => { location.hash = place; }", place)
        self.at(int(place.rpartition("@")[2]))

    def at(self, version: int) -> None:
        self.page.wait_for_selector(f"#panel[data-version='{version}']")

    def panel(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()
        known = {"Live tail": "tail", "Metadata": "meta"}
        id_ = f"tab-{known.get(name, name.lower())}"
        self.page.wait_for_selector(f"#panel[aria-labelledby='{id_}']")

    def text(self) -> str:
        return self.page.locator("#panel").inner_text()


@pytest.fixture
def show(browser: Browser) -> Iterator[Callable[..., Shown]]:
    """Show a file in a new context; the test fails if a script fails or another file is asked for."""
    contexts: list[BrowserContext] = []
    shown: list[Shown] = []

    def open_file(path: Path, place: str = "", **options: Any) -> Shown:
        settings: dict[str, Any] = {"locale": "en-GB", "timezone_id": "UTC", **options}
        context = browser.new_context(**settings)
        contexts.append(context)
        here = Shown(context.new_page())
        here.page.on("pageerror", lambda error: here.problems.append(str(error)))
        here.page.on(
            "console",
            lambda said: here.problems.append(said.text) if said.type == "error" else None,
        )
        here.page.on("request", lambda request: here.requests.append(request.url))
        here.page.goto(path.as_uri() + place)
        here.page.wait_for_selector("html[data-ready]")
        shown.append(here)
        return here

    yield open_file
    for context in contexts:
        context.close()
    assert [here.problems for here in shown] == [[]] * len(shown)
    asked = [[url for url in here.requests if not url.startswith("data:")] for here in shown]
    assert [len(urls) for urls in asked] == [1] * len(shown)
