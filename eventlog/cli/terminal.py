"""Printing for people, with rich: colours and frames on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from eventlog.cli.output import printable

__all__ = ["Terminal", "VisibleConsole", "state_text"]

PLAIN_WIDTH: Final = 10_000
"""Width if stdout is no terminal: nothing is wrapped, so that other programs can cut lines."""

FINDINGS_WIDTH: Final = 120
"""Columns from which on a table of findings can be read: two of its columns are sentences."""

PROSE_WIDTH: Final = 100
"""Maximum width on a terminal: longer lines are hard to read."""

_STATE_STYLES: Final = {
    "open": "green",
    "completed": "green",
    "ok": "green",
    "running": "cyan",
    "preparing": "yellow",
    "pending": "yellow",
    "retry": "yellow",
    "terminal_failed": "bold red",
    "failed": "bold red",
    "abandoned": "dim",
    "closed": "dim",
    "deleted": "dim",
}


class VisibleConsole(Console):
    """A console that makes hidden characters visible and prints no links, in all that it shows.

    Every command prints through one of these.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                style = segment.style
                if style is not None and style.link:
                    style = style.update_link(None)
                yield Segment(printable(segment.text), style)

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - the BrokenPipeError under way: the application deals with it


class Terminal:
    """Prints on stdout for people."""

    def __init__(self) -> None:
        self.console = VisibleConsole(highlight=False)
        self.is_plain = not self.console.is_terminal
        if self.is_plain:
            self.console = VisibleConsole(highlight=False, width=PLAIN_WIDTH)

    def print(self, *renderables: RenderableType) -> None:
        """Print as rich does, but without trailing blanks if stdout is no terminal."""
        if not self.is_plain:
            self.console.print(*renderables, width=min(PROSE_WIDTH, self.console.width))
            return
        with self.console.capture() as captured:
            self.console.print(*renderables)
        lines = captured.get().removesuffix("\n").split("\n")
        click.echo("\n".join(line.rstrip() for line in lines))

    def line(self, text: str = "", style: str = "") -> None:
        """Print text literally: markup in it has no effect."""
        self.print(Text(printable(text), style))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print rows under headings: numbers right-aligned, states in colour."""
        if not self.is_plain:
            self.console.print(self.table_of(columns, rows))
            return
        cells = [list(row) for row in rows]
        for line in _plain_lines(columns, cells):
            click.echo(line)

    def table_of(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
        """Return the table that `table` prints."""
        cells = [list(row) for row in rows]
        look = None if self.is_plain else box.SIMPLE_HEAD
        table = Table(box=look, pad_edge=False, show_edge=False, header_style="bold")
        for place, name in enumerate(columns):
            numbers = bool(cells) and all(isinstance(row[place], int) for row in cells)
            table.add_column(name, justify="right" if numbers else "left", overflow="fold")
        for row in cells:
            table.add_row(*(_cell(value) for value in row))
        return table

    def findings(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print rows under headings, or where those have no room, each row by itself.

        The last two cells of a row are texts: what was found, and what becomes of it.
        """
        if self.is_plain or self.console.width >= FINDINGS_WIDTH:
            self.table(columns, rows)
            return
        for row in rows:
            *names, found, becomes = row
            head = [
                f"line {cell}" if column == "line" else str(cell)
                for column, cell in zip(columns, names, strict=False)
                if cell != ""
            ]
            self.line("  ".join(head), "bold")
            self.print(Padding(Text(printable(f"{found}; {becomes}")), (0, 0, 0, 2)))

    def pairs(self, values: Mapping[str, object]) -> None:
        """Print names and their values, one pair per line."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim")
        grid.add_column(overflow="fold")
        for name, value in values.items():
            grid.add_row(name, _cell(value))
        self.print(grid)

    def heading(self, title: str) -> None:
        """Print the heading of a new section."""
        self.line()
        if self.is_plain:
            self.line(f"--- {title} ---")
        else:
            self.print(Rule(Text(title, "bold"), style="dim", align="left"))

    def markdown(self, text: str) -> RenderableType:
        """Return Markdown to print: formatted on a terminal, plain elsewhere."""
        if self.is_plain:
            return Text(printable(text).rstrip())
        from eventlog.cli.markdown import Page

        return Page(printable(text), hyperlinks=False)

    def panel(self, title: str, *renderables: RenderableType) -> None:
        """Print a frame around text, or a title above it."""
        if self.is_plain:
            self.line(title)
            self.print(Padding(Group(*renderables), (0, 0, 0, 2)))
        else:
            self.print(Panel(Group(*renderables), title=Text(title), title_align="left"))


def _plain_lines(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a table as lines, columns two blanks apart: rich takes 50 times as long for many rows."""
    texts = [[_plain_cell(value) for value in row] for row in rows]
    aligned: list[list[str]] = []
    for place, name in enumerate(columns):
        column = [name, *(row[place] for row in texts)]
        widths = [cell_len(text) for text in column]
        numbers = bool(rows) and all(isinstance(row[place], int) for row in rows)
        widest = max(widths)
        blanks = [" " * (widest - width) for width in widths]
        aligned.append(
            [blank + text for blank, text in zip(blanks, column, strict=True)]
            if numbers
            else [text + blank for text, blank in zip(column, blanks, strict=True)]
        )
    return ["  ".join(cells).rstrip() for cells in zip(*aligned, strict=True)]


def _plain_cell(value: object) -> str:
    text = value.plain if isinstance(value, Text) else "" if value is None else str(value)
    return printable(text).replace("\n", " ")


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, _STATE_STYLES.get(state, ""))


def _cell(value: object) -> RenderableType:
    if isinstance(value, Text):
        return value
    if value is None:
        return Text()
    text = printable(str(value))
    return Text(text, _STATE_STYLES.get(text, ""))
