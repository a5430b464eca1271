"""A6, R9: the page of a whole store: live, in pieces, with buttons if the server gives them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

import eventlog
from eventlog import InvalidArgument, Log, SessionNotFound
from eventlog.forensics.near_picture import near_picture
from eventlog.forensics.picture import Picture
from eventlog.report.inspector import Inspector
from eventlog.session_face import past_of
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from tests.report.conftest import Shown, say, tell

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from eventlog import Session

ROOT = Path(eventlog.__file__).parents[1]
TOKEN = "a token of the tests"  # noqa: S105 - it opens nothing but the server of these tests


# ---- what the server says ---------------------------------------------------------------------


def test_a_picture_from_near_by_is_the_one_that_a_whole_fold_comes_to(session: Session) -> None:
    past = past_of(session)
    for version in range(session.version + 1):
        near = near_picture(past, version, 1_000, 1_000)
        whole = session.at(version=version).values()
        assert near.left_out == {}
        assert list(near.picture.tail.items()) == list(whole["tail"].items())
        for root in ("archives", "tasks", "turns"):
            assert getattr(near.picture, root) == whole[root]
        assert near.picture.overview == whole["overview"]


def test_a_picture_from_near_by_leaves_out_what_is_old(session: Session) -> None:
    past, version = past_of(session), session.version

    near = near_picture(past, version, 2, 1)

    assert list(near.picture.tail) == [message.id for message in session.tail(2)]
    assert near.left_out == {"tail": len(session.tail()) - 2, "archives": 1}
    assert isinstance(near.picture, Picture)


def asked(inspector: Inspector, path: str, owner: str | None = None, **query: str) -> Any:
    found = inspector.data(path, query, owner)
    return None if found is None else json.loads(found)


def test_the_list_has_filters(log: Log, session: Session) -> None:
    log.session("calm", create=True, owner="ben").append(say("user", "x", "hello"))
    inspector = Inspector(log)

    def ids(**query: str) -> list[str]:
        return [row["session_id"] for row in asked(inspector, "sessions", **query)["sessions"]]

    assert set(ids()) == {"bot-7", "calm"}
    assert ids(state="blocked") == ["bot-7"]
    assert ids(owner="ben") == ["calm"]
    assert ids(text="CAL") == ["calm"]
    assert ids(state="running") == []
    assert ids(state="closed") == []
    assert ids(skip="2") == []


DAMAGES: dict[str, dict[str, bytes | None]] = {
    "an entry that is no JSON": {"session/bot-7": b"{"},
    "one without its fields": {"session/bot-7": b"{}"},
    "none": {"session/bot-7": None},
    "one of a blocked session": {"blocked/bot-7": b"{"},
    "one of a running task": {"task/x": b'{"state":"running"', "task/y": b'{"state":"running"}'},
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("owner", [None, "ada"])
def test_a_damaged_entry_hides_no_other_session(
    log: Log, session: Session, name: str, owner: str | None
) -> None:
    log.session("calm", create=True, owner="ada").append(say("user", "x", "hello"))
    log.store.put_index(list(DAMAGES[name].items()))
    inspector = Inspector(log)

    found = asked(inspector, "sessions", owner)["sessions"]

    rows = {row["session_id"]: row for row in found}
    assert rows["calm"]["status"] == "open"
    assert not rows["calm"]["running"]
    if name != "none" or owner is not None:  # Without a session entry only owners lead to it.
        is_damaged = "session/bot-7" in DAMAGES[name]
        assert rows["bot-7"]["status"] == ("damaged" if is_damaged else "open")
        assert rows["bot-7"]["version"] == session.version
    assert asked(inspector, "sessions/bot-7/about")["head"] == session.version


def test_what_another_owner_has_does_not_exist(log: Log, session: Session) -> None:
    inspector = Inspector(log)

    assert asked(inspector, "sessions", owner="ben")["sessions"] == []
    for path in ("about", "lines", "window", "state", "blame", "found"):
        with pytest.raises(SessionNotFound):
            inspector.data(f"sessions/bot-7/{path}", {}, "ben")
    assert asked(inspector, "sessions/bot-7/about", "ada")["head"] == session.version


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("state", {"version": "999999"}),
        ("state", {"version": "-1"}),
        ("window", {"after": "1e3"}),
        ("blame", {"path": "[[]]"}),
        ("blame", {"path": "{"}),
        ("blame", {"path": '["nothing"]'}),
        ("window", {"after": "999999"}),
        ("lines", {"after": "9" * 40}),
    ],
)
def test_a_query_that_cannot_be_is_refused(
    log: Log, session: Session, path: str, query: dict[str, str]
) -> None:
    with pytest.raises(InvalidArgument):
        Inspector(log).data(f"sessions/bot-7/{path}", query, None)


@pytest.mark.parametrize("path", ["", "sessions/", "sessions/bot-7", "sessions/bot-7/x", "a/b/c/d"])
def test_there_is_nothing_at_other_paths(log: Log, session: Session, path: str) -> None:
    assert Inspector(log).data(path, {}, None) is None


# ---- in the browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server in a process, and the URL of its store."""
    pytest.importorskip("uvicorn")
    folder = tmp_path_factory.mktemp("served")
    store = f"sqlite:///{folder}/agent.db"
    clock = FakeClock()
    with eventlog.open(store, clock=clock, ids=NumberedIds()) as log:
        tell(log, clock)
    process = subprocess.Popen(
        [sys.executable, "-m", "eventlog", "--store", store, "serve", "--port", "0", "--actions"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "EVENTLOG_TOKEN": TOKEN},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.match(r"serving at (http://127\.0\.0\.1:\d+); ", said)
    assert found, said
    yield found[1], store
    process.kill()
    process.communicate()


@pytest.fixture
def visit(browser: Browser, served: tuple[str, str]) -> Iterator[Callable[..., Shown]]:
    """Open an address of the server in a new context, and give the token."""
    shown: list[Shown] = []

    def open_place(place: str = "", **options: Any) -> Shown:
        context = browser.new_context(locale="en-GB", timezone_id="UTC", **options)
        here = Shown(context.new_page())
        here.page.on("pageerror", lambda error: here.problems.append(str(error)))
        here.page.on("request", lambda request: here.requests.append(request.url))
        here.page.goto(f"{served[0]}/{place}")
        here.page.get_by_label("Token").fill(TOKEN)
        here.page.get_by_role("button", name="Show the sessions").click()
        here.page.wait_for_selector(".list, .session")
        shown.append(here)
        return here

    yield open_place
    for here in shown:
        here.page.context.close()
    assert [here.problems for here in shown] == [[]] * len(shown)


def test_the_list_leads_to_a_session_and_back(visit: Callable[..., Shown]) -> None:
    here = visit()
    page = here.page
    row = page.get_by_role("row", name="bot-7")
    assert "open, blocked" in row.inner_text()

    page.get_by_role("combobox", name="State").select_option("closed")
    page.get_by_text("0 sessions").wait_for()
    page.get_by_role("combobox", name="State").select_option("blocked")
    row.get_by_role("link").click()

    page.locator(".bar").get_by_text("blocked by archive_002").wait_for()
    page.get_by_role("link", name="All sessions").click()
    page.get_by_role("heading", name="Sessions").wait_for()


def lists(here: Shown) -> int:
    """Return how often the page has asked for the list."""
    return sum("/inspector/sessions?" in url for url in here.requests)


def test_the_list_goes_on_by_itself_and_asks_once(
    visit: Callable[..., Shown], served: tuple[str, str]
) -> None:
    here = visit()
    here.page.get_by_role("row", name="bot-7").wait_for()
    here.page.get_by_role("link", name="bot-7").focus()
    before = lists(here)

    for number in range(2):
        with eventlog.open(served[1]) as log:
            session = log.session(f"live-{number}", create=True, owner="ben")
            session.append(say("user", "x", "hello"))
        row = here.page.get_by_role("row", name=f"live-{number}")
        row.wait_for()
        assert "ben" in row.inner_text()

    assert lists(here) == before
    first = here.page.locator("tbody tr").first
    assert "live-1" in first.inner_text()
    assert here.page.evaluate("document.activeElement.textContent") == "bot-7"


def test_a_filter_holds_while_sessions_come(
    visit: Callable[..., Shown], served: tuple[str, str]
) -> None:
    here = visit()
    here.page.get_by_label("Search sessions").fill("wanted")
    here.page.get_by_text("No session is like that.").wait_for()

    with eventlog.open(served[1]) as log:
        for name in ("other", "wanted"):
            log.session(name, create=True).append(say("user", "x", "hello"))

    here.page.get_by_role("row", name="wanted").wait_for()
    assert here.page.locator("tbody tr").count() == 1
    here.page.get_by_label("Search sessions").fill("")
    here.page.get_by_role("row", name="other").wait_for()


HIDE = """is_hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => is_hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.mark.parametrize("place", ["", "#bot-7"])
def test_a_hidden_tab_takes_no_connection_and_is_up_to_date_when_it_is_seen(
    visit: Callable[..., Shown], served: tuple[str, str], place: str
) -> None:
    here = visit(place)
    here.page.locator("#panel[data-version]" if place else "tbody tr").first.wait_for()

    with here.page.expect_event("requestfailed") as left:
        here.page.evaluate(HIDE, True)
    assert "/events?" in left.value.url if place else "/inspector/sessions?" in left.value.url
    name = f"unseen{len(place)}"
    with eventlog.open(served[1]) as log:
        log.session(name if not place else "bot-7", create=not place).append(
            say("user", name, "Nobody saw this come.")
        )
    here.page.evaluate(HIDE, False)

    if place:
        here.page.locator(".happened").get_by_text("Nobody saw this come.").wait_for()
    else:
        here.page.get_by_role("row", name=name).wait_for()


def test_a_page_goes_on_when_its_server_is_back(browser: Browser, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/agent.db"
    with eventlog.open(store) as log:
        log.session("before", create=True).append(say("user", "x", "hello"))
    process, url = _serve(store, tmp_path, "0")
    page = browser.new_context().new_page()
    try:
        page.goto(url)
        page.get_by_role("row", name="before").wait_for()
        process.kill()
        process.communicate()
        page.get_by_role("alert").get_by_text("The server is away").wait_for()
        with eventlog.open(store) as log:
            log.session("after", create=True).append(say("user", "x", "hello"))
        process, again = _serve(store, tmp_path, url.rpartition(":")[2])

        page.get_by_role("row", name="after").wait_for()

        assert again == url
        assert not page.get_by_role("alert").is_visible()
    finally:
        page.context.close()
        process.kill()
        process.communicate()


def _serve(store: str, folder: Path, port: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server without a token; return it with its URL."""
    environment = {name: value for name, value in os.environ.items() if name != "EVENTLOG_TOKEN"}
    process = subprocess.Popen(
        [sys.executable, "-m", "eventlog", "--store", store, "serve", "--port", port],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.match(r"serving at (http://127\.0\.0\.1:\d+); ", said)
    assert found, said
    return process, found[1]


def test_a_version_is_shown_as_in_a_report(
    visit: Callable[..., Shown], served: tuple[str, str]
) -> None:
    here = visit("#bot-7@31")
    here.at(31)
    here.panel("Live tail")

    with eventlog.open(f"{served[1]}?mode=ro") as log:
        session = log.session("bot-7", follow_folder=False)
        tail = session.at(version=31).tail()
        change = session.blame("meta.commit_count", 31)
    ids = here.page.locator("#panel .message .id").all_inner_texts()
    assert ids == [message.id for message in tail]
    here.panel("Metadata")
    here.page.get_by_role("row", name="Commit count").get_by_role("button").click()
    assert change is not None
    here.page.locator(".blame").get_by_text(
        f"event {change.version}, {change.event.type}"
    ).wait_for()


def test_what_led_to_an_event_is_the_servers_answer(
    visit: Callable[..., Shown], served: tuple[str, str]
) -> None:
    with eventlog.open(f"{served[1]}?mode=ro") as log:
        session = log.session("bot-7", follow_folder=False)
        version = next(
            event.version for event in session.timeline() if len(session.why(event.version)) == 4
        )
        causes = session.why(version)[1:]
    here = visit(f"#bot-7@{version}")
    here.at(version)
    here.panel("Changes")
    panel = here.page.locator("#panel")
    panel.get_by_text("What led to it").click()
    panel.get_by_role("button", name=f"event {causes[-1].version}", exact=True).click()
    here.at(causes[-1].version)


def test_events_are_shown_as_they_come(
    visit: Callable[..., Shown], served: tuple[str, str]
) -> None:
    here = visit("#bot-7")
    page = here.page
    page.locator("#panel[data-version]").wait_for()

    with eventlog.open(served[1]) as log:
        session = log.session("bot-7")
        session.append(say("user", "news", "This is new."))
        version = session.version

    here.at(version)
    page.locator(".happened").get_by_text("This is new.").wait_for()
    page.get_by_role("option").filter(has_text="This is new.").wait_for()
    assert page.get_by_role("slider").get_attribute("max") == str(version)


def test_an_earlier_version_stays_while_events_come(
    visit: Callable[..., Shown], served: tuple[str, str]
) -> None:
    here = visit("#bot-7@12")
    here.at(12)

    with eventlog.open(served[1]) as log:
        session = log.session("bot-7")
        session.append(say("user", "more", "And more."))
        version = session.version

    here.page.wait_for_selector(f"#slider[max='{version}']")
    assert here.page.get_by_role("spinbutton", name="Version number").input_value() == "12"


@pytest.mark.parametrize("place", ["#nobody", "#%FF%A"])
def test_a_session_that_is_not_there_is_said_to_be_missing_and_others_are_found_after_it(
    visit: Callable[..., Shown], place: str
) -> None:
    here = visit("#bot-7@12")
    here.at(12)

    here.page.evaluate("place => { location.hash = place; }", place)
    here.page.get_by_role("alert").get_by_text("There is no session with this id").wait_for()
    here.go("#bot-7@12")

    here.page.get_by_role("slider").wait_for()
    assert not here.page.get_by_role("alert").is_visible()


def test_a_search_is_the_servers(visit: Callable[..., Shown]) -> None:
    here = visit("#bot-7@12")
    here.at(12)

    here.page.get_by_label("Search events").fill("fare 3")

    row = here.page.get_by_role("option").filter(has_text="What does fare 3 cost?")
    row.wait_for()
    assert here.page.get_by_role("option").and_(here.page.locator(".row")).count() == 1
    row.click()
    here.page.locator(".happened").get_by_text("What does fare 3 cost?").wait_for()


def test_a_button_gives_a_failed_archive_new_attempts(
    visit: Callable[..., Shown], served: tuple[str, str]
) -> None:
    here = visit("#bot-7")
    here.page.locator("#panel[data-version]").wait_for()
    here.page.on("dialog", lambda dialog: dialog.accept())

    here.page.get_by_role("button", name="Retry").click()

    here.page.get_by_text("Retry: accepted").wait_for()
    here.page.locator(".happened").get_by_text("retry requested").wait_for()
    with eventlog.open(f"{served[1]}?mode=ro") as log:
        view = log.session("bot-7", follow_folder=False).archives()[1]
    assert (view.archive_id, view.state) == ("archive_002", "pending")


def test_a_button_stops_the_run_of_a_session_if_there_is_one(visit: Callable[..., Shown]) -> None:
    here = visit("#bot-7")
    here.page.locator("#panel[data-version]").wait_for()
    here.page.on("dialog", lambda dialog: dialog.accept())

    here.page.get_by_role("button", name="Stop").click()

    here.page.get_by_text("No run to stop.").wait_for()


def test_without_actions_there_is_no_button(log: Log) -> None:
    said = [json.loads(re.findall(rb'id="settings">(.*?)</script>', Inspector(log, actions=each).page)[0])
            for each in (False, True)]  # fmt: skip

    assert [each["actions"] for each in said] == [False, True]


def test_the_page_has_no_data_and_the_data_needs_the_token(served: tuple[str, str]) -> None:
    with httpx2.Client(base_url=served[0]) as client:
        page = client.get("/")
        refused = client.get("/inspector/sessions")
        wrong = client.get("/inspector/sessions", headers={"Authorization": "Bearer no"})
        posted = client.post("/inspector/sessions", headers={"Authorization": f"Bearer {TOKEN}"})
        rebound = client.get("/", headers={"Host": "evil.example"})

    assert page.status_code == 200
    assert "bot-7" not in page.text
    assert page.headers["x-frame-options"] == "DENY"
    assert (refused.status_code, wrong.status_code, posted.status_code) == (401, 401, 403)
    assert rebound.status_code == 403


@pytest.mark.parametrize(("width", "looks"), [(400, "light"), (1000, "dark")])
def test_the_inspector_has_no_serious_barrier(
    visit: Callable[..., Shown], width: int, looks: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    here = visit(viewport={"width": width, "height": 900}, color_scheme=looks)
    here.page.get_by_role("row", name="bot-7").wait_for()

    found = axe.Axe().run(here.page).response["violations"]
    here.page.get_by_role("link", name="bot-7").click()
    here.page.locator("#panel[data-version]").wait_for()
    found += axe.Axe().run(here.page).response["violations"]

    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
