"""Printing for people, with rich: colours and frames on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import click
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from eventlog.cli.output import printable
from eventlog.cli.tables import Rows, are_numbers, cell_text

__all__ = ["Terminal", "VisibleConsole"]

PLAIN_WIDTH: Final = 10_000
"""Width if stdout is no terminal: nothing is wrapped, so that other programs can cut lines."""

PROSE_WIDTH: Final = 100
"""Maximum width on a terminal: longer lines are hard to read."""


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

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        prose: Collection[str] = (),
        *,
        heading: bool = True,
    ) -> None:
        """Print rows under headings: numbers right-aligned, states in colour.

        ``prose`` names the columns of sentences, the only ones that are wrapped. On a terminal a row
        without enough room becomes a block of lines; elsewhere each row is a line. Without
        ``heading`` the rows go on from a table before.
        """
        if not self.is_plain:
            self.console.print(Rows(columns, rows, prose), crop=False)
            return
        lines = _plain_lines(columns, [list(row) for row in rows])
        for line in lines if heading else lines[1:]:
            click.echo(line)

    def row(self, columns: Sequence[str], cells: Sequence[object], prose: Collection[str]) -> None:
        """Print one row that comes alone: a block of lines, or one line if stdout is no terminal."""
        if self.is_plain:
            click.echo("  ".join(filter(None, map(_plain_cell, cells))))
        else:
            self.console.print(Rows(columns, [cells], prose, as_blocks=True), crop=False)

    def pairs(self, values: Mapping[str, object]) -> None:
        """Print names and their values, one pair per line."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim")
        grid.add_column(overflow="fold")
        for name, value in values.items():
            grid.add_row(name, cell_text(value))
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
        numbers = are_numbers(row[place] for row in rows)
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
