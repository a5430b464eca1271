"""A6: what a page shows at a version is what the library folds, and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import eventlog.report.session
from eventlog import (
    InvalidArgument,
    Log,
    Message,
    PlainRun,
    RestartPolicy,
    Session,
    SessionNotFound,
    Supervisor,
)
from eventlog.forensics.picture import ROOTS
from eventlog.report import report_pieces, write_report
from eventlog.report.document import MODULES, page_script
from eventlog.report.drawing import drawings
from eventlog.report.film import BY_FIELD
from eventlog.report.session import SessionReport
from eventlog.report.tables import json_text, shortened
from eventlog.session.messages import message_data
from eventlog.session_face import past_of
from eventlog.testing.clock import FakeClock
from tests.report.conftest import data_in, refund_twice, said_in, say, sessions_in

Flat = dict[tuple[str, ...], Any]

PAGE = Path(eventlog.report.__file__).parent / "page"


def data_of(session: Session, **options: Any) -> dict[str, Any]:
    return data_in("".join(SessionReport(past_of(session), **options).pieces()))


def shown_at(document: dict[str, Any], version: int) -> Flat:
    """Apply the patches as the page does."""
    window = next(
        each
        for each in reversed(document["windows"])
        if each["after"] < version or each["after"] == document["after"]
    )
    state: Flat = {}
    for pairs in [window["whole"], *window["changes"][: version - window["after"]]]:
        for path, value in zip(pairs[::2], pairs[1::2], strict=True):
            name = tuple(document["paths"][path])
            if value < 0:
                del state[name]
            else:
                state[name] = document["values"][value]
    return state


def folded_at(session: Session, version: int) -> Flat:
    """Return the same from the library's own face."""
    values = session.at(version=version).values()
    found: Flat = {("meta", name): value for name, value in values["meta"].items()}
    found["status",] = values["status"]
    for root in ("tail", *BY_FIELD):
        for key, entry in values[root].items():
            if root == "tail":
                found[root, key] = entry
            else:
                found.update({(root, key, name): value for name, value in entry.items()})
    if values["overview"]:
        found["overview",] = values["overview"]
    for finding in values["findings"]:
        at, _, why = finding.partition(": ")
        found["findings", at] = why
    return {path: json.loads(json_text(shortened(value))) for path, value in found.items()}


def order_of(state: Flat, root: str) -> list[str]:
    return list(dict.fromkeys(path[1] for path in state if path[0] == root))


@pytest.mark.parametrize("window", [1, 7, 500])
def test_the_patches_come_to_what_the_library_folds_at_every_version(
    session: Session, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(eventlog.report.session, "WINDOW", window)
    document = data_of(session, redaction=None)

    for version in range(session.version + 1):
        shown, folded = shown_at(document, version), folded_at(session, version)
        assert shown == folded
        for root in ("tail", "archives", "tasks", "turns"):
            assert order_of(shown, root) == order_of(folded, root)


def test_the_state_is_what_the_readers_of_a_session_say_of_that_moment(session: Session) -> None:
    """They read the store and its index, and fold no picture."""
    document = data_of(session, redaction=None)

    for version in range(1, session.version + 1):
        shown, moment = shown_at(document, version), session.at(version=version)
        tail = [shortened(message_data(message)) for message in moment.tail()]
        assert [value for path, value in shown.items() if path[0] == "tail"] == tail
        for root, views in (("tasks", moment.tasks()), ("turns", moment.turns())):
            known = {getattr(view, f"{root[:-1]}_id"): view for view in views}
            assert set(order_of(shown, root)) == set(known)
            for key, view in known.items():
                fields = json.loads(json_text(shortened(view._asdict())))
                assert {path[2]: shown[path] for path in shown if path[:2] == (root, key)} == fields


def test_runs_are_shown_with_the_path_that_they_took(
    log: Log, session: Session, clock: FakeClock
) -> None:
    def agent(run: PlainRun) -> str:
        if run.attempt == 1:
            raise RuntimeError("provider died")
        return "done"

    session.enqueue(say("user", "queued", "In the queue."))
    restarts = RestartPolicy(delays=(1,))
    for _ in range(3):
        asyncio.run(Supervisor(log, agent, restarts=restarts).run_once())
        clock.advance(30)
    document = data_of(session, redaction=None)

    for version in range(session.version + 1):
        assert shown_at(document, version) == folded_at(session, version)
    shown = shown_at(document, session.version)
    for view in log.runs(session.id):
        fields = {
            path[2]: value for path, value in shown.items() if path[:2] == ("runs", view.run_id)
        }
        assert fields == json.loads(json_text(shortened(view._asdict())))
    path = document["paths"].index(["runs", view.run_id, "state"])
    states = [
        document["values"][pairs[place + 1]]
        for window in document["windows"]
        for pairs in window["changes"]
        for place in range(0, len(pairs), 2)
        if pairs[place] == path
    ]
    assert states == ["idle", "running", "backing_off", "running", "completed"]


def causes_in(document: dict[str, Any], version: int) -> list[tuple[int, str]]:
    """Follow the causes of an event as the page does."""
    found: list[tuple[int, str]] = []
    while version > document["after"]:
        place = 2 * (version - document["after"] - 1)
        version, reason = document["causes"][place : place + 2]
        if not document["values"][reason]:
            break
        found.append((version, document["values"][reason]))
    return found


def test_the_causes_of_each_event_are_in_the_data(session: Session) -> None:
    session.append(say("user", "late", "of elsewhere"), causation_id="elsewhere")
    document = data_of(session)

    for version in range(1, session.version):
        causes = [(cause.version, cause.reason) for cause in session.why(version)[1:]]
        assert causes_in(document, version) == causes
    assert any(len(causes_in(document, version)) > 3 for version in range(session.version))
    outside = [(0, "event elsewhere, which is not here")]
    assert causes_in(document, session.version) == outside
    part = data_of(session, after=20)
    assert causes_in(part, session.version) == outside


def test_a_part_of_a_session_begins_with_the_state_before_it(session: Session) -> None:
    document = data_of(session, after=20, until=30, redaction=None)

    assert [len(window["type"]) for window in document["windows"]] == [10]
    for version in range(20, 31):
        assert shown_at(document, version) == folded_at(session, version)


def test_every_root_of_paths_is_in_the_data_or_known_to_be_left_out(session: Session) -> None:
    """What is added to what paths lead to is shown without a change here."""
    session.enqueue(Message.user("And one in the queue."))
    roots = {path[0] for path in data_of(session)["paths"]}

    assert roots | {"version", "findings"} == set(ROOTS)


def test_the_machines_of_the_session_and_of_its_entries_are_drawn() -> None:
    names = {drawing["root"]: drawing["name"] for drawing in drawings()}

    assert names["status"] == "session"
    assert names["tasks"] == "task"
    assert names["turns"] == "turn"
    assert names["runs"] == "run"
    for drawing in drawings():
        places = [(state["column"], state["row"]) for state in drawing["states"]]
        assert len(set(places)) == len(places)
        known = {state["name"] for state in drawing["states"]}
        assert {arrow[end] for arrow in drawing["arrows"] for end in ("from", "to")} <= known


def test_the_same_records_give_the_same_bytes(log: Log, session: Session) -> None:
    first, second = ("".join(report_pieces(log, [session.id])[0]) for _ in range(2))

    assert first == second


def test_what_is_wrong_comes_first(session: Session) -> None:
    findings = data_of(session)["findings"]

    assert findings[0]["source"] == "failed for good"
    assert "connection reset by peer" in findings[0]["detail"]
    sources = [finding["source"] for finding in findings]
    assert "again and again" in sources
    assert "first_error" in sources
    wrong = [finding["is_wrong"] for finding in findings]
    assert wrong == sorted(wrong, reverse=True)


def test_an_emoji_of_several_people_stays_one_picture_in_the_list(session: Session) -> None:
    lines = [line for window in data_of(session)["windows"] for line in window["line"]]

    assert any("👨\u200d👩\u200d👧" in line for line in lines)
    assert not any("\u202e" in line for line in lines)


@pytest.mark.parametrize("redaction", [None, "secrets", "texts"])
def test_a_call_that_a_later_attempt_made_again_is_worth_a_look(
    log: Log, clock: FakeClock, redaction: Any
) -> None:
    session = refund_twice(log, clock)

    findings = data_of(session, redaction=redaction)["findings"]

    assert [finding["source"] for finding in findings] == [
        "called again",
        "first_error",
        "first_retry",
    ]
    assert findings[0]["detail"].startswith("attempt 2 of turn refund-4471 called refund again")
    at = session.at(version=findings[0]["version"])
    assert at.tail(1)[0].role == "assistant"


@pytest.mark.parametrize("redaction", [None, "texts"])
def test_calls_with_other_inputs_or_in_one_attempt_are_no_finding(log: Log, redaction: Any) -> None:
    session = log.session("s", create=True)
    for attempt in (1, 2):
        with suppress(ConnectionError), session.turn("t", resume=True):
            for number in (attempt, attempt):
                call = Message.call("find", {"number": number})
                session.append(Message.assistant("I look.", tools=(call,)))
            raise ConnectionError

    sources = [finding["source"] for finding in data_of(session, redaction=redaction)["findings"]]

    assert "called again" not in sources


def test_what_verifying_finds_is_a_finding(log: Log, session: Session) -> None:
    found = eventlog.Finding(session.id, 3, "changed", "the record is not what was written")

    findings = data_of(session, verified=[found])["findings"]

    assert findings[0] == {
        "source": "verify: changed",
        "version": 3,
        "detail": "the record is not what was written",
        "count": 1,
        "is_wrong": True,
    }


@pytest.mark.parametrize("redaction", ["secrets", "texts"])
def test_secrets_are_not_in_the_file(log: Log, session: Session, redaction: Any) -> None:
    text = said_in("".join(report_pieces(log, [session.id], redaction=redaction)[0]))
    bare = said_in("".join(report_pieces(log, [session.id], redaction=None)[0]))

    assert "sk-abcdefghijklmnop1234" not in text
    assert ("What does fare 3 cost?" in text) == (redaction == "secrets")
    assert "sk-abcdefghijklmnop1234" in bare


def test_no_text_of_a_session_ends_a_script_of_the_page(log: Log, session: Session) -> None:
    text = "".join(report_pieces(log, [session.id])[0])

    assert text.count("</script>") == 3  # Settings, data and modules.
    assert "<img" not in text
    assert any("onerror=document.title=1" in json.dumps(each) for each in sessions_in(text))


def test_the_head_of_a_sessions_data_cannot_end_its_script(log: Log) -> None:
    session = log.session("</script><script>alert(1)", create=True)
    session.append(say("user", "x", "hello"))

    text = "".join(report_pieces(log, [session.id])[0])

    assert text.count("</script>") == 3
    assert [each["session"] for each in sessions_in(text)] == [session.id]


def test_a_title_with_markup_stays_a_title(log: Log) -> None:
    session = log.session("</title><script>x", create=True)
    session.append(Message.user("hello"))

    text = "".join(report_pieces(log, [session.id])[0])

    assert "<title>&lt;/title&gt;&lt;script&gt;x" in text


def test_long_texts_are_cut_and_say_how_much_is_missing(session: Session) -> None:
    texts = [text for text in data_of(session)["values"] if isinstance(text, dict)]
    outputs = [
        part["tool_output"]
        for each in texts
        for part in each.get("parts", [])
        if part.get("tool_output")
    ]

    assert any(output.endswith("…⟨2,500 more characters⟩") for output in outputs)
    assert all(len(output) <= 2_040 for output in outputs)


def test_values_of_any_shape_are_small_and_readable_by_every_reader() -> None:
    deep: Any = "x"
    for _ in range(90):
        deep = [deep]
    odd = {
        "deep": deep,
        "long": list(range(10_000)),
        "wide": {str(number): number for number in range(10_000)},
        "large": 10**30,
        "nan": float("nan"),
        "text": "y" * 100_000,
        "lone": "\ud800",
        "n" * 1_000: 1,
    }

    text = json_text(shortened(odd))

    assert len(text.encode()) < 30_000
    assert json.loads(text)["large"] == str(10**30)
    assert json.loads(text)["long"][-1] == "… 9,800 more"


def test_a_session_that_cannot_be_folded_to_its_end_is_shown_up_to_there(
    log: Log, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = past_of(session)
    records = [
        record._replace(data=b"{") if record.version == 12 else record for record in past.records()
    ]
    monkeypatch.setattr(
        type(past), "records", lambda self, after=0, until=None: iter(records[after:until])
    )

    document = data_of(session)

    assert document["findings"][0]["source"] == "unreadable"
    assert document["findings"][0]["version"] == 12
    assert sum(len(window["type"]) for window in document["windows"]) == len(records)
    assert document["windows"][0]["changes"][12:] == [[]] * (len(records) - 12)


def test_a_report_is_of_sessions_that_exist_and_of_versions_that_they_reached(
    log: Log, session: Session, tmp_path: Path
) -> None:
    with pytest.raises(SessionNotFound):
        write_report(log, ["nobody"], tmp_path / "a.html")
    with pytest.raises(InvalidArgument, match="there is no version 999"):
        write_report(log, [session.id], tmp_path / "a.html", until=999)
    with pytest.raises(InvalidArgument, match="no event has a version above 5 and up to 5"):
        write_report(log, [session.id], tmp_path / "a.html", after=5, until=5)

    assert list(tmp_path.iterdir()) == []


# ---- the modules of the page ------------------------------------------------------------------


def test_the_page_makes_no_markup_of_text_and_asks_nobody_for_anything() -> None:
    for path in PAGE.glob("*.js"):
        text = path.read_text("utf-8")
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ):
            assert forbidden not in text, path.name
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), path.name
        assert "https://" not in text, path.name


def test_every_module_is_in_the_page_after_those_that_it_imports() -> None:
    assert {path.name for path in PAGE.glob("*.js")} == set(MODULES)
    for place, name in enumerate(MODULES):
        imports = re.findall(r'from "\./(.+?)"', (PAGE / name).read_text("utf-8"))
        assert set(imports) <= set(MODULES[:place]) | {"wording.js"}, name


def test_no_two_modules_have_a_name_in_common() -> None:
    """They are put into one."""
    names = re.findall(
        r"^(?:async )?(?:function\*?|class|const|let) (\w+)", page_script(), re.MULTILINE
    )

    assert len(set(names)) == len(names), sorted(n for n in set(names) if names.count(n) > 1)
    assert not re.search(r"^(?:import|export)\b", page_script(), re.MULTILINE)
