"""The pages of the package: complete, up to date, linked, and shown by ``eventlog docs``."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import eventlog
from eventlog.cli import docs as command
from eventlog.cli.application import application
from eventlog.cli.docs import PAGES, PageNotFound, page_text
from eventlog.cli.terminal import Terminal
from eventlog.forensics.predicates import PREDICATES
from tests.docs.draw_machines import ABOUT, PAGE, machines, page

TREE = Path(__file__).parents[2]
PLACES = {
    "eventlog": Path("eventlog"),
    "stores": Path("eventlog/stores"),
    "projections": Path("eventlog/projections"),
}
"""Where the folders of the tree are in the package."""
SHIPPED = {
    place / path.relative_to(TREE / folder)
    for folder, place in PLACES.items()
    for path in (TREE / folder).rglob("*.md")
}
"""All pages, by their place in the package."""
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
"""A Markdown link to a file of the tree, with the anchor in it."""

COLUMNS = 80


def run(*words: str) -> Result:
    return CliRunner(env={"EVENTLOG_STORE": None}).invoke(
        application, list(words), prog_name="eventlog"
    )


def on_a_terminal(name: str) -> list[str]:
    """Return the lines that a page takes on a terminal of 80 columns."""
    terminal: Any = Terminal()
    screen = StringIO()
    terminal.is_plain = False
    terminal.console = Console(file=screen, force_terminal=True, width=COLUMNS, color_system=None)
    command._show(terminal, page_text(name))
    return screen.getvalue().splitlines()


# ---- the command ------------------------------------------------------------------------------


def test_without_an_argument_the_pages_are_listed() -> None:
    lines = run("docs").stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(PAGES)
    assert run("docs", "--json").exit_code == 0
    assert [entry["page"] for entry in json.loads(run("docs", "--json").stdout)] == list(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_printed_as_it_is_where_no_terminal_is(name: str) -> None:
    entry = PAGES[name]
    assert run("docs", name).stdout == entry.read()
    assert json.loads(run("docs", name, "--json").stdout)["text"] == entry.read()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_terminal(name: str) -> None:
    """Code is not wrapped, so it may be cut; prose and tables are as wide as the terminal."""
    lines = on_a_terminal(name)
    assert len(lines) > 10
    assert not [line for line in lines if len(line.rstrip()) > COLUMNS]


def test_no_cell_of_a_table_is_cut_on_a_terminal() -> None:
    """Every character of every table is shown: long words are broken, not cut."""
    for name, entry in PAGES.items():
        ellipses = sum(line.count("…") for line in on_a_terminal(name))
        assert ellipses <= entry.read().count("…"), name


def test_a_terminal_shows_the_tables_of_machines_and_not_the_mermaid() -> None:
    shown = "\n".join(on_a_terminal("machines"))
    assert "```mermaid\nstateDiagram-v2" in page_text("machines")
    assert "stateDiagram" not in shown
    assert "task_claimed" in shown


@pytest.mark.parametrize("number", ["P8", "p8", "B11", "A7"])
def test_the_number_of_a_rule_shows_that_rule_alone(number: str) -> None:
    text = page_text(number)
    assert text.startswith(f"### {number.upper()}\n")
    assert text.count("#") == 3
    assert text in PAGES["rules"].read()


@pytest.mark.parametrize("name", ["nonsense", f"P{99}", "../rules", "", "P8\n"])
def test_an_unknown_page_is_an_error_that_names_the_pages(name: str) -> None:
    answer = run("docs", name)
    assert (answer.exit_code, answer.stdout) == (3, "")
    assert all(page in answer.stderr for page in PAGES)
    with pytest.raises(PageNotFound):
        page_text(name)


# ---- the pages --------------------------------------------------------------------------------


def test_every_page_of_the_package_has_a_name_and_every_name_a_page() -> None:
    named = {Path(*entry.package.split("."), *entry.file.split("/")) for entry in PAGES.values()}
    assert named == SHIPPED


def test_the_page_of_machines_is_drawn_from_the_machines() -> None:
    """``python -m tests.docs.draw_machines`` writes it again."""
    assert {machine.name for machine in machines()} == ABOUT.keys()
    assert PAGE.read_text("utf-8") == page()
    assert PAGE.read_text("utf-8") == files(eventlog).joinpath("docs/machines.md").read_text(
        "utf-8"
    )


@pytest.mark.parametrize("path", sorted(SHIPPED), ids=str)
def test_the_links_of_a_page_lead_somewhere(path: Path) -> None:
    text = (TREE / path).read_text("utf-8")
    for target, _ in LINK.findall(text):
        assert (TREE / path).parent.joinpath(target).exists(), target


def test_every_command_and_page_that_a_page_names_exists() -> None:
    named = {
        word
        for entry in PAGES.values()
        for word in re.findall(r"`eventlog (?:--store \S+ )?([a-z]+)[ `]", entry.read())
    }
    assert named <= set(application.list_commands(None))  # type: ignore[arg-type]
    assert "docs" in named


# ---- looking back -----------------------------------------------------------------------------


def test_what_the_page_of_forensics_shows_is_what_the_commands_print() -> None:
    """The blocks of the page are steps of a script that runs as a test."""
    script = (TREE / "tests/cli/scripts/incident.txt").read_text("utf-8")
    page = files(eventlog).joinpath("docs/forensics.md").read_text("utf-8")
    blocks = re.findall(r"^```\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    steps = [
        step.strip("\n")
        for block in blocks
        for step in re.split(r"(?=^\$ )", block, flags=re.MULTILINE)
    ]
    shown = [step for step in steps if step]
    assert len(shown) > 12
    for step in shown:
        for piece in step.split("\n…\n"):
            assert piece in script, step


@pytest.mark.parametrize("page", ["turns", "runs"])
def test_the_examples_of_a_page_do_what_they_say(
    page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = files(eventlog).joinpath(f"docs/{page}.md").read_text("utf-8")
    example = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))

    exec(compile(example, f"{page}.md", "exec"), {"__name__": page})  # noqa: S102 - our own page

    said = re.findall(r"print\(.*\)  # (.*)", example)
    assert capsys.readouterr().out.splitlines() == said


def test_the_page_of_forensics_names_every_predicate() -> None:
    page = files(eventlog).joinpath("docs/forensics.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(PREDICATES)
