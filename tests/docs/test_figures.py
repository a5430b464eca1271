"""The figures of the documentation are those that were recorded, and the benchmarks' tables hold together."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import __main__ as program
from benchmarks import recording
from benchmarks.about import ABOUT
from benchmarks.drawing import DRAWINGS
from benchmarks.figures import FIGURES
from benchmarks.results import Figure, Result, Row, Scale, Spread, in_turns, spread
from benchmarks.workload import Timing

ORDER = [figure.name for figure in FIGURES]


@pytest.mark.parametrize("page", recording.PAGES, ids=lambda page: page.name)
def test_a_page_shows_the_recorded_figures(page: Path) -> None:
    machine, results = recording.load(recording.RECORDED)
    shown = recording.part_of(page.read_text("utf-8"))
    assert shown == recording.PAGES[page](machine, results)


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_shows_the_recorded_figures(name: str) -> None:
    _, results = recording.load(recording.RECORDED)
    text = recording.DRAWN[name].read_text("utf-8")
    assert text == DRAWINGS[name](results)
    root = ET.fromstring(text)  # noqa: S314 - it is our own
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert set(re.findall(r"https?://[^\s\"<]+", text)) == {"http://www.w3.org/2000/svg"}


def test_only_the_part_of_a_page_that_shows_figures_is_written_anew() -> None:
    begin, end = "<!-- Written by `python -m benchmarks --record`. -->", "<!-- End. -->"
    page = f"a\n\n{begin}\n{end}\n\nb\n"  # Nothing was recorded yet.
    once = recording.with_part(page, "\nfigures\n")
    assert once == f"a\n\n{begin}\nfigures\n{end}\n\nb\n"
    assert recording.with_part(once, "\n") == page
    with pytest.raises(ValueError, match="no part"):
        recording.with_part("a\n", "figures")


def test_every_figure_has_a_sentence() -> None:
    assert set(ABOUT) == set(ORDER)
    assert all(sentence.endswith(".") for sentence in ABOUT.values())


def test_a_recorded_run_is_read_back_equal(tmp_path: Path) -> None:
    row = Row(
        "what", "1/s", {"peer": "2/s"}, "≥ 1", True, "s", {"eventlog": Spread(1, 0, 2, 3)}, [(1, 2)]
    )
    results = [Result("B1", "one session", "What it is.", [row], "measured today")]
    recording.write(tmp_path / "run.json", {"Python": "3.11"}, results)
    assert recording.load(tmp_path / "run.json") == ({"Python": "3.11"}, results)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3.0, 2.0, 4.0, 5)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0, 1)


def test_contenders_are_measured_in_turn_and_one_that_is_missing_is_named() -> None:
    order: list[str] = []

    def contender(name: str) -> Timing:
        order.append(name)
        return Timing(1, 1.0, 1.0)

    def missing() -> Timing:
        raise ModuleNotFoundError("No module named 'peer'")

    def broken() -> Timing:
        raise OSError("locked")

    timings, why = in_turns(
        2, lambda: contender("mine"), peer=lambda: contender("peer"), missing=missing, broken=broken
    )
    assert order == ["mine", "peer"] * 2
    assert timings.keys() == {"eventlog", "peer"}
    assert why == {"missing": "not installed", "broken": "failed: OSError"}


def test_our_own_failure_is_not_taken_for_a_missing_peer() -> None:
    def fail() -> Timing:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        in_turns(1, fail)


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    return program.main()


def _figures(monkeypatch: pytest.MonkeyPatch, *figures: Figure) -> None:
    monkeypatch.setattr(program, "FIGURES", figures)
    monkeypatch.setattr(program, "ABOUT", {figure.name: "A sentence." for figure in figures})


def test_what_is_not_installed_or_fails_is_a_line_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def missing(scale: Scale) -> list[Row]:
        raise ModuleNotFoundError("No module named 'nats'", name="nats")

    def broken(scale: Scale) -> list[Row]:
        raise RuntimeError("no server")

    def good(scale: Scale) -> list[Row]:
        return [Row("appends", f"{scale.appends}")]

    _figures(
        monkeypatch,
        Figure("B1", "one", missing),  # type: ignore[arg-type]  # a list serves as well
        Figure("B2", "two", broken),  # type: ignore[arg-type]
        Figure("B3", "three", good),  # type: ignore[arg-type]
    )
    assert _run(monkeypatch, "--quick", "--json", "run.json", "--plot", "drawn") == 1
    shown = capsys.readouterr()
    assert "nats is not installed" in shown.out
    assert "failed: RuntimeError" in shown.out
    assert "no server" in shown.err
    found = json.loads(Path("run.json").read_text("utf-8"))["figures"]
    assert [figure["failed"] for figure in found] == [False, True, False]
    assert found[2]["rows"][0]["ours"] == "100"
    assert sorted(path.stem for path in Path("drawn").iterdir()) == sorted(DRAWINGS)


def test_conversations_of_a_file_are_held_and_archived(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    turns = [{"role": role, "content": "Hello"} for role in ("user", "assistant")] * 15
    lines = [json.dumps({"id": name, "messages": turns}) for name in ("a", "b")]
    Path("chats.jsonl").write_text("\n".join(lines), "utf-8")
    assert _run(monkeypatch, "--conversations", "chats.jsonl") == 0
    shown = capsys.readouterr().out
    assert "60 times" in shown  # Appends.
    assert "30 times" in shown  # Contexts.
    assert "finalise all archives" in shown
    Path("empty.jsonl").write_text("", "utf-8")
    assert _run(monkeypatch, "--conversations", "empty.jsonl") == 0
    assert "no conversations" in capsys.readouterr().out


def test_what_was_written_is_shown_again_without_measuring(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(scale: Scale) -> list[Row]:
        raise AssertionError("measured")

    _figures(monkeypatch, Figure("B1", "one session", measure))  # type: ignore[arg-type]
    assert _run(monkeypatch, "--read", str(recording.RECORDED)) == 0
    assert "B1: one session" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["SPEED"],
        ["--share", "0"],
        ["--quick", "--record"],
        ["--read", "missing.json"],
        ["--conversations", "missing.jsonl"],
    ],
)
def test_what_cannot_be_run_is_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        _run(monkeypatch, *arguments)
    assert exit.value.code == 2
    assert arguments[-1].strip("-") in capsys.readouterr().err


def test_a_share_has_fewer_operations_on_sessions_of_the_same_length() -> None:
    whole = Scale()
    assert whole.share(1) == whole
    assert whole.share(4).appends == 1_472  # 23 for each of 64 sessions.
    assert whole.share(4).lengths == whole.lengths
    assert whole.share(10**6).appends == 256


@pytest.mark.parametrize("name", DRAWINGS)
def test_odd_results_are_drawn(name: str) -> None:
    """Nothing measured, one point, zeros, and text that XML would take for its own."""
    odd = '<&"'
    rows = [
        Row(odd, "", curve=[(0.5, 0.0)], numbers={odd: Spread(0.0, 0.0, 0.0, 1)}),
        Row(f"64 sessions, {odd}", "", curve=[(0.5, 1e9), (0.99, 1e-9)]),
        Row("nothing", ""),
    ]
    for results in ([], [Result(each, odd, odd, rows) for each in ("B1", "B21", "GROWTH")]):
        ET.fromstring(DRAWINGS[name](results))  # noqa: S314 - it is our own
