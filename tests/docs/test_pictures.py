"""The pictures of the README: drawn from the repository, small, and asking nobody for anything."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.docs.draw_pictures import DEMO, SESSION, session_picture

README = Path(__file__).parents[2] / "README.md"


def test_the_drawing_is_the_one_that_its_command_draws() -> None:
    assert SESSION.read_text("utf-8") == session_picture()


@pytest.mark.parametrize("path", [SESSION, DEMO], ids=["session", "demo"])
def test_a_picture_loads_nothing_and_says_what_it_shows(path: Path) -> None:
    text = path.read_text("utf-8")
    root = ET.fromstring(text)  # noqa: S314 - it is our own

    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert len(text) < 100_000
    assert set(re.findall(r"https?://[^\s\"<]+", text)) == {"http://www.w3.org/2000/svg"}
    assert f"(eventlog/docs/{path.name})" in README.read_text("utf-8")


def test_the_recording_shows_the_demo_to_its_end() -> None:
    shown = re.sub(r"<[^>]+>|\s|&#160;", "", DEMO.read_text("utf-8"))

    assert "$eventlogdemo" in shown
    assert "kill-9,half-waythroughthefinalisation" in shown
    assert "Identical,in1.0s." in shown
