"""Markdown on a terminal, with no cell of a table cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.markdown import Markdown, TableElement
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Page"]


class _WholeTable(TableElement):
    """A table that breaks long words; rich would cut them and print an ellipsis."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for element in super().__rich_console__(console, options):
            if isinstance(element, Table):
                for column in element.columns:
                    column.overflow = "fold"
            yield element


class Page(Markdown):
    """A page of Markdown as it is shown on a terminal."""

    elements: ClassVar = {**Markdown.elements, "table_open": _WholeTable}
