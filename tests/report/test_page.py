"""A6: the page in a real browser: what it shows, and that it can be used by everybody."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eventlog import Log, Session
from eventlog.report import write_report
from eventlog.testing.clock import FakeClock
from tests.report.conftest import LANGUAGES, Shown, refund_twice, say

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Show = Callable[..., Shown]

AT_EACH = """async ([session, versions]) => {
  const shown = [];
  document.getElementById("tab-tail").click();
  for (const version of versions) {
    location.hash = `#${session}@${version}`;
    const panel = document.getElementById("panel");
    while (panel.dataset.version !== String(version)) await new Promise((go) => setTimeout(go, 1));
    document.querySelector(".earlier")?.click();
    shown.push([...panel.querySelectorAll(".message")].map((message) => [
      message.querySelector(".role").textContent,
      message.querySelector(".id").textContent,
      message.querySelector(".text")?.textContent ?? "",
    ]));
  }
  return shown;
}"""


def test_the_tail_at_fifty_versions_is_what_the_session_was(
    report: Path, session: Session, show: Show
) -> None:
    here = show(report)
    draw = random.Random(21)
    versions = [draw.randint(0, session.version) for _ in range(50)]

    shown = here.page.evaluate(AT_EACH, [session.id, versions])

    for version, messages in zip(versions, shown, strict=True):
        tail = session.at(version=version).tail()
        assert [(role, id_) for role, id_, _ in messages] == [(m.role, m.id) for m in tail]
        for (_, id_, text), message in zip(messages, tail, strict=True):
            if id_ not in ("hostile", "secret"):
                first: Any = message.parts[0]
                assert text == first.text


def test_the_slider_and_the_keys_go_through_the_versions(
    report: Path, session: Session, show: Show
) -> None:
    here = show(report)
    page = here.page
    here.at(session.version)

    page.get_by_role("slider", name="version").fill("12")
    here.at(12)
    page.mouse.click(700, 880)
    for key, version in [
        ("ArrowRight", 13),
        ("ArrowLeft", 12),
        ("Shift+ArrowRight", 22),
        ("Home", 0),
        ("End", session.version),
        ("k", session.version - 1),
    ]:
        page.keyboard.press(key)
        here.at(version)
    assert page.get_by_role("slider").get_attribute("aria-valuetext", timeout=1000) is not None
    page.get_by_role("listbox", name="Events").focus()
    page.keyboard.press("ArrowUp")
    here.at(session.version - 2)
    page.get_by_role("button", name="One event back").click()
    here.at(session.version - 3)


def test_an_address_leads_to_a_version_and_back_leads_to_where_one_was(
    report: Path, session: Session, show: Show
) -> None:
    here = show(report, "#bot-7@17")
    here.at(17)

    here.page.get_by_role("spinbutton", name="Version number").fill("23")
    here.page.keyboard.press("Enter")
    here.at(23)

    assert here.page.url.endswith("#bot-7@23")
    here.page.go_back()
    here.at(17)


def test_an_address_of_a_version_that_is_not_there_says_so(
    report: Path, session: Session, show: Show
) -> None:
    here = show(report, "#bot-7@9999")

    here.at(session.version)

    note = here.page.get_by_role("status").filter(has_text="There is no version 9,999")
    assert "this is the last one" in note.inner_text()
    here.page.get_by_role("button", name="One event back").click()
    here.at(session.version - 1)
    assert not note.is_visible()


def test_a_file_that_was_damaged_says_so(report: Path, tmp_path: Path, browser: Browser) -> None:
    text = report.read_text("utf-8")
    place = text.index('class="session-data"') + 14_000
    damaged = tmp_path / "damaged.html"
    damaged.write_text(text[:place] + "AAAA" + text[place + 40 :], "utf-8")
    page = browser.new_context().new_page()

    page.goto(damaged.as_uri())

    page.get_by_role("alert").get_by_text("the file is damaged").wait_for()
    page.context.close()


def test_a_filter_chooses_events_and_changes_no_state(
    report: Path, session: Session, show: Show
) -> None:
    here = show(report, "#bot-7@20")
    page = here.page
    here.panel("Metadata")
    before = here.text()

    page.get_by_role("combobox", name="Type of event").select_option("message_appended")
    rows = page.get_by_role("option").filter(has_text="message appended")
    assert rows.count() == page.get_by_role("option").and_(page.locator(".row")).count() > 0
    page.get_by_role("combobox", name="Actor").select_option("ada")
    wanted = len(session.timeline(types=["message_appended"], actor="ada"))
    assert page.locator(".count").inner_text().startswith(f"{wanted} of ")

    assert here.text() == before


def test_search_finds_the_events_that_the_library_finds(
    report: Path, session: Session, show: Show
) -> None:
    here = show(report)
    here.page.keyboard.press("/")

    for text in ("FARE 3", "monday 355", "shop", "provider died", "no such text"):
        here.page.keyboard.press("Control+a")
        here.page.keyboard.type(text)
        found = len(session.timeline(text=text))
        here.page.wait_for_function(
            "wanted => document.querySelector('.count').textContent.startsWith(wanted)",
            arg=f"{found} of {session.version} events",
        )


def test_a_click_on_a_value_shows_the_event_that_set_it(
    report: Path, session: Session, show: Show
) -> None:
    here = show(report)
    page = here.page
    here.panel("Metadata")
    change = None
    for field in ("pending_tokens", "commit_count", "owner", "last_message_at"):
        row = page.get_by_role("row", name=field.replace("_", " ").capitalize())
        row.get_by_role("button").first.click()
        note = page.locator(".blame")
        note.get_by_text(f"meta.{field}", exact=True).wait_for()
        change = session.blame(f"meta.{field}")
        assert change is not None
        assert f"event {change.version}, {change.event.type}" in note.inner_text()

    assert change is not None
    page.locator(".blame").get_by_role("button", name="event").click()
    here.at(change.version)


def test_what_led_to_an_event_is_one_click_away(report: Path, session: Session, show: Show) -> None:
    version = next(
        event.version for event in session.timeline() if len(session.why(event.version)) == 4
    )
    causes = session.why(version)[1:]
    here = show(report)
    here.go(f"#bot-7@{version}")
    here.panel("Changes")
    panel = here.page.locator("#panel")

    panel.get_by_text("What led to it").click()
    panel.get_by_role("listitem").last.wait_for()
    said = panel.get_by_role("listitem").all_inner_texts()
    assert [text for text in said if text.startswith("event")] == [
        f"event {cause.version} {cause.event.type}: {cause.reason}" for cause in causes
    ]
    panel.get_by_role("button", name=f"event {causes[-1].version}", exact=True).click()
    here.at(causes[-1].version)
    assert here.problems == []


def test_a_click_on_a_tools_output_shows_the_result_and_not_the_call(
    report: Path, session: Session, show: Show
) -> None:
    here = show(report, "#bot-7@10")
    here.panel("Live tail")

    here.page.locator(".tool .text").first.click()

    here.page.locator(".blame").get_by_text("tool_result_recorded").wait_for()
    here.page.locator(".message .text").first.click()
    here.page.locator(".blame").get_by_text("message_appended").wait_for()


def test_two_versions_stand_side_by_side(report: Path, session: Session, show: Show) -> None:
    here = show(report, "#bot-7@20")
    here.page.keyboard.press("c")
    here.go("#bot-7@31")

    table = here.page.get_by_role("table", name="Differences")
    table.wait_for()
    shown = {
        row.get_by_role("rowheader").inner_text(): row.get_by_role("cell").all_inner_texts()
        for row in table.locator("tbody tr").all()
    }
    changes = {
        change.path: change for change in session.diff(20, 31) if change.path.startswith("meta.")
    }
    assert {path for path in shown if path.startswith("meta.")} == {
        path for path in changes if path.count(".") == 1
    }
    for path, change in changes.items():
        if path.count(".") == 1 and isinstance(change.after, int):
            cells = shown[path]
            assert cells == [str(change.before), str(change.after), str(change.version)]


def test_an_incident_is_found_with_the_mouse_alone(
    report: Path, session: Session, show: Show
) -> None:
    """Commits wait: for which archive, since when, and why?"""
    here = show(report)
    page = here.page
    assert "blocked by archive_002" in page.locator(".bar").inner_text()

    page.get_by_role("list", name="Findings").get_by_role("button").first.click()
    page.locator(".happened").get_by_text("archive failed").wait_for()
    assert "connection reset by peer" in page.locator(".happened").inner_text()

    page.get_by_role("tab", name="Machines").click()
    drawing = page.get_by_role("img", name="archive_002").first
    drawing.wait_for()
    assert (drawing.get_attribute("aria-label") or "").count("running") == 3
    drawing.locator(".box", has_text="preparing").click()
    page.locator(".happened").get_by_text("commit prepared").wait_for()
    page.get_by_role("tab", name="Changes").click()
    page.get_by_text("messages left the live tail").click()
    assert page.locator(".went .message").first.is_visible()


def test_who_did_something_twice_is_found_with_the_mouse_alone(
    log: Log, clock: FakeClock, tmp_path: Path, show: Show
) -> None:
    """A customer was refunded twice: by which calls, and why?"""
    session = refund_twice(log, clock)
    path = tmp_path / "refunds.html"
    write_report(log, [session.id], path)
    page = show(path).page

    findings = page.get_by_role("list", name="Findings").get_by_role("listitem")
    finding = findings.filter(has_text="called refund again with the input of attempt 1")
    finding.get_by_role("button").click()
    page.locator(".happened").get_by_text('refund(order="4471"').wait_for()
    page.get_by_role("combobox", name="Type of event").select_option("tool_result_recorded")
    assert page.get_by_role("option").and_(page.locator(".row")).count() == 2
    page.get_by_role("combobox", name="Type of event").select_option("turn_failed")
    page.locator(".row").click()
    page.locator(".happened").get_by_text("the model went away").wait_for()
    page.get_by_role("tab", name="Turns").click()
    turn = page.get_by_role("table", name="refund-4471")
    turn.wait_for()
    assert "the model went away" in turn.get_by_role("row", name="Error").inner_text()


def test_what_a_model_was_given_is_shown_to_the_letter(
    report: Path, session: Session, show: Show
) -> None:
    here = show(report)
    here.panel("Contexts")

    assert "as it was given, to the letter" in here.text()
    assert "where a turn began, as today's code builds it" in here.text()


def test_text_never_becomes_markup_and_hidden_characters_are_seen(report: Path, show: Show) -> None:
    here = show(report)
    here.panel("Live tail")

    text = here.text()

    assert "</script><img src=x onerror=document.title=1>" in text
    for escape in (r"\u202e", r"\u202c", r"\x1b[2J", r"\u2028"):
        assert escape in text
    assert here.page.title() == "bot-7 · eventlog"
    assert here.page.locator("img").count() == 0
    assert "[redacted]" in text
    assert "sk-abc" not in text


def test_a_script_in_a_page_that_was_tampered_with_does_not_run(
    report: Path, show: Show, tmp_path: Path
) -> None:
    text = report.read_text("utf-8")
    bad = tmp_path / "bad.html"
    bad.write_text(
        text.replace("<noscript>", "<script>document.title = 'run'</script><noscript>"), "utf-8"
    )

    here = show(bad)

    assert here.page.title() == "bot-7 · eventlog"
    assert "Content Security Policy" in here.problems.pop()


def test_texts_of_all_scripts_are_drawn_in_their_direction(report: Path, show: Show) -> None:
    here = show(report)
    here.panel("Live tail")

    text = here.page.locator("#panel").get_by_text(LANGUAGES)
    box = text.bounding_box()

    assert box is not None
    assert box["width"] > 200
    assert text.get_attribute("dir") == "auto"
    assert "👨‍👩‍👧" in text.inner_text()


@pytest.mark.parametrize(("width", "looks"), [(400, "dark"), (1000, "light")])
def test_a_page_has_no_serious_barrier(report: Path, show: Show, width: int, looks: str) -> None:
    axe_playwright_python = pytest.importorskip("axe_playwright_python.sync_playwright")
    here = show(report, viewport={"width": width, "height": 900}, color_scheme=looks)

    # The whole page once; then the panel, which is all that another tab changes.
    looked_at: list[tuple[str, str | None]] = [("Changes", None)]
    looked_at += [
        (name, "#panel") for name in ("Live tail", "Archives", "Machines", "Compare", "Contexts")
    ]
    for panel, place in looked_at:
        here.panel(panel)
        found = axe_playwright_python.Axe().run(here.page, place).response["violations"]
        serious = [
            (each["id"], [node["html"][:200] for node in each["nodes"][:3]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_nothing_is_wider_than_the_page(report: Path, show: Show) -> None:
    here = show(report)

    for panel in ("Changes", "Live tail", "Metadata", "Archives", "Machines", "Compare"):
        here.panel(panel)
        for width in (400, 1000, 1600):
            here.page.set_viewport_size({"width": width, "height": 900})
            assert here.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_prints_the_events_and_the_state(
    report: Path, session: Session, show: Show
) -> None:
    here = show(report)
    here.panel("Live tail")
    here.page.emulate_media(media="print")
    here.page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert here.page.locator(".row").count() == session.version
    assert not here.page.get_by_role("slider").is_visible()
    assert here.page.locator(".message").first.is_visible()
    assert here.page.pdf()[:5] == b"%PDF-"


def test_a_page_has_several_sessions_and_each_is_read_when_it_is_chosen(
    log: Log, session: Session, clock: FakeClock, tmp_path: Path, show: Show
) -> None:
    other = log.session("what-if/@2", create=True)
    other.append(say("user", "x", "What if?"))
    path = tmp_path / "two.html"
    write_report(log, [session.id, other.id], path)

    here = show(path)
    here.page.get_by_role("combobox", name="Session").select_option("what-if/@2")

    here.at(other.version)
    assert here.page.url.endswith("#what-if%2F%402@2")
    here.panel("Live tail")
    assert "What if?" in here.text()


def test_a_wide_session_has_few_rows_in_the_page(log: Log, tmp_path: Path, show: Show) -> None:
    session = log.session("long", create=True)
    session.extend([say("user", f"m-{number}", f"message {number}") for number in range(1_200)])
    path = tmp_path / "long.html"
    write_report(log, ["long"], path)

    here = show(path)

    assert here.page.locator(".row").count() < 60
    here.go("#long@600")
    assert here.page.locator(".row[aria-selected=true]").inner_text().startswith("600")
    here.panel("Live tail")
    assert here.page.locator(".message").count() == 30
    here.page.get_by_role("button", name="Show 30 of 569 earlier").click()
    assert here.page.locator(".message").count() == 60
