"""``eventlog docs``: show the pages of the package on a terminal."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from eventlog.cli.command import Invocation, command
from eventlog.errors import InvalidError

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal

__all__ = ["PAGES", "Page", "PageNotFound", "docs", "page_text", "rule_text"]


class Page(NamedTuple):
    """A page: a Markdown file of a package, and a line about it."""

    package: str
    file: str
    about: str

    def read(self) -> str:
        """Return the page as it is in the package."""
        return files(self.package).joinpath(self.file).read_text("utf-8")


PAGES: Final = {
    "tutorial": Page(
        "eventlog", "docs/tutorial.md", "A service that survives kill -9, step by step."
    ),
    "guide": Page(
        "eventlog", "docs/guide.md", "How to do this and that: one section for each task."
    ),
    "web-services": Page(
        "eventlog", "docs/web-services.md", "The log and its worker in a service."
    ),
    "command-line": Page(
        "eventlog", "docs/command-line.md", "Commands, incidents, completion, imports."
    ),
    "rules": Page("eventlog", "docs/rules.md", "What the library promises, by number."),
    "glossary": Page("eventlog", "docs/glossary.md", "What its words mean."),
    "machines": Page("eventlog", "docs/machines.md", "The states of sessions and tasks."),
    "turns": Page("eventlog", "docs/turns.md", "Units of an agent's work that survive crashes."),
    "forensics": Page("eventlog", "docs/forensics.md", "What a session was, and what went wrong."),
    "runs": Page("eventlog", "docs/runs.md", "Agents that restart, fall back, stop and go on."),
    "report": Page("eventlog", "docs/report.md", "A session as a page, and all of them live."),
    "streams": Page("eventlog", "docs/streams.md", "Messages that are still being written."),
    "http": Page("eventlog", "docs/http.md", "The API over HTTP, its clients and its limits."),
    "operations": Page(
        "eventlog", "docs/operations.md", "Backup, upgrade, health, containers, telemetry."
    ),
    "stores": Page(
        "eventlog.stores", "README.md", "What each store promises and how to set it up."
    ),
    "projections": Page(
        "eventlog.projections", "README.md", "Views of a log, and the format of session folders."
    ),
    "testing": Page("eventlog.testing", "README.md", "How to crash-test your own service."),
    "architecture": Page(
        "eventlog", "README.md", "How the library is built, and where things live."
    ),
    "threat-model": Page(
        "eventlog", "docs/threat-model.md", "Who is trusted with what, and the limits."
    ),
    "limits": Page("eventlog", "docs/limits.md", "Sizes, files, secrets, and what is not there."),
    "figures": Page("eventlog", "docs/figures.md", "What was measured, and with which command."),
    "tampering": Page("eventlog", "docs/tampering.md", "Which changes to a store go unnoticed."),
}
"""All pages by name, in the order of the list."""

_RULE: Final = re.compile(r"[A-Z][0-9]{1,2}", re.IGNORECASE)
_DIAGRAM: Final = re.compile(r"^```mermaid\n(?:(?!```).*\n)*```\n\n?", re.MULTILINE)


class PageNotFound(InvalidError, LookupError):
    """There is no page and no rule of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no page {name!r}; the pages are {', '.join(PAGES)}, and a rule such as P8"
        )
        self.name = name


@command("docs")
@click.argument("page", required=False)
def docs(invocation: Invocation, page: str | None) -> None:
    """PAGE is the name of a page, or the number of a rule, such as P8. Without PAGE, lists all pages.

    A page is printed as plain Markdown if stdout is not a terminal.
    """
    if page is None:
        rows = [(name, entry.about) for name, entry in PAGES.items()]
        document = [{"page": name, "about": about} for name, about in rows]
        invocation.answer(
            document, lambda terminal: terminal.table(("page", "about"), rows, ["about"])
        )
        return
    text = page_text(page)
    invocation.answer({"page": page, "text": text}, lambda terminal: _show(terminal, text))


def page_text(name: str) -> str:
    """Return a page or one rule as Markdown; raise `PageNotFound` if there is no such page."""
    if name in PAGES:
        return PAGES[name].read()
    if _RULE.fullmatch(name) and (found := rule_text(PAGES["rules"].read(), name.upper())):
        return found
    raise PageNotFound(name)


def rule_text(rules: str, number: str) -> str | None:
    """Return the section of one rule, or None."""
    found = re.search(rf"^### {number}\n.*?(?=^#|\Z)", rules, re.DOTALL | re.MULTILINE)
    return found and found[0].rstrip() + "\n"


def _show(terminal: Terminal, text: str) -> None:
    # A terminal cannot draw Mermaid; the table that follows shows the same machine.
    text = text if terminal.is_plain else _DIAGRAM.sub("", text)
    terminal.print(terminal.markdown(text))
