"""Tables on a terminal: a row that has no room between the margins becomes a block of lines.

Only sentences are wrapped. An id, a state, a time or a number is on one line, whole, so that it can be
read, selected and copied. (One that is wider than the terminal is left to the terminal to wrap, which
copies it in one piece.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.text import Text

from eventlog.cli.output import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Rows", "are_numbers", "cell_text", "state_text"]

GAP: Final = 2
"""Blanks between two columns, and between two cells of a block."""

SENTENCE_WIDTH: Final = 24
"""Columns that a sentence needs at least, unless it is shorter; twice as many beside another one."""

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


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, _STATE_STYLES.get(state, ""))


def cell_text(value: object) -> Text:
    """Return a cell on one line, with hidden characters visible and states in colour."""
    if isinstance(value, Text):
        return value
    return state_text("" if value is None else printable(str(value)).replace("\n", " "))


def are_numbers(values: Iterable[object]) -> bool:
    """Return whether a column has numbers, and besides at most cells with nothing in them."""
    kinds = {type(value) for value in values if value is not None and value != ""}
    return kinds == {int}


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    cells: list[Text]
    sizes: list[int]
    numbers: bool
    is_prose: bool

    def narrowest(self, sentences: int) -> int:
        """Return the least width of a column of sentences, one of so many."""
        needed = min(SENTENCE_WIDTH * sentences, max(self.sizes, default=0))
        return max(cell_len(self.name), needed)


class Rows:
    """Rows under headings, as wide as the console; ``prose`` names the columns of sentences.

    With ``as_blocks`` every row is a block, whatever the width.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        prose: Collection[str] = (),
        *,
        as_blocks: bool = False,
    ) -> None:
        found = [list(row) for row in rows]
        self._count = len(found)
        self._as_blocks = as_blocks
        self._columns = [
            _column(name, [row[place] for row in found], is_prose=name in prose)
            for place, name in enumerate(columns)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns, in_table = self._columns, self._fitting(self._columns, options.max_width)
        if len(in_table) < self._count:
            # Columns with nothing in them make room first; then rows leave the table.
            columns = [each for each in columns if any(each.sizes)] or columns
            in_table = self._fitting(columns, options.max_width)
        if self._as_blocks or 3 * len(in_table) < 2 * self._count:
            in_table = set[int]()  # A few rows under headings among many blocks are hard to read.
        widths = _widths(columns, in_table, options.max_width)
        if in_table or not self._count:
            yield from _head(columns, widths)
        for row in range(self._count):
            if row in in_table:
                yield from _table_row(console, columns, widths, row)
            else:
                yield from _block(console, columns, row, options.max_width)

    def _fitting(self, columns: Sequence[_Column], room: int) -> set[int]:
        """Return the rows that fit into one table, beginning with those that need the least."""
        solid = [column for column in columns if not column.is_prose]
        room -= GAP * (len(columns) - 1)
        prose = [column for column in columns if column.is_prose]
        room -= sum(column.narrowest(len(prose)) for column in prose)
        needs = [[column.sizes[row] for column in solid] for row in range(self._count)]
        widths, found = [cell_len(column.name) for column in solid], set[int]()
        for row in sorted(range(self._count), key=lambda row: sum(needs[row])):
            wider = [max(pair) for pair in zip(widths, needs[row], strict=True)]
            if sum(wider) <= room:
                widths = wider
                found.add(row)
        return found


def _column(name: str, values: Sequence[object], *, is_prose: bool) -> _Column:
    cells = [cell_text(value) for value in values]
    sizes = [cell_len(cell.plain) for cell in cells]
    return _Column(name, cells, sizes, are_numbers(values), is_prose)


# ---- under headings ---------------------------------------------------------------------------


def _widths(columns: Sequence[_Column], rows: Collection[int], room: int) -> list[int]:
    """Return the width of each column: sentences share what the others leave."""
    natural = [
        max([cell_len(column.name), *(column.sizes[row] for row in rows)]) for column in columns
    ]
    prose = sorted(
        (place for place, column in enumerate(columns) if column.is_prose), key=natural.__getitem__
    )
    left = room - GAP * (len(columns) - 1)
    left -= sum(natural[place] for place in range(len(columns)) if place not in prose)
    for number, place in enumerate(prose):
        share = max(left // (len(prose) - number), 1)
        natural[place] = min(natural[place], share)
        left -= natural[place]
    return natural


def _head(columns: Sequence[_Column], widths: Sequence[int]) -> Iterator[Text]:
    names = [Text(column.name, "bold") for column in columns]
    yield _joined(columns, widths, names)
    yield _whole(Text("─" * (sum(widths) + GAP * (len(widths) - 1)), "dim"))


def _table_row(
    console: Console, columns: Sequence[_Column], widths: Sequence[int], row: int
) -> Iterator[Text]:
    wrapped = [
        _wrapped(console, column.cells[row], width)
        if column.sizes[row] > width
        else [column.cells[row]]
        for column, width in zip(columns, widths, strict=True)
    ]
    for line in range(max(map(len, wrapped))):
        yield _joined(
            columns, widths, [cell[line] if line < len(cell) else Text() for cell in wrapped]
        )


def _joined(columns: Sequence[_Column], widths: Sequence[int], cells: Sequence[Text]) -> Text:
    line = Text()
    for place, (column, width, cell) in enumerate(zip(columns, widths, cells, strict=True)):
        blanks = " " * (width - cell_len(cell.plain))
        line.append(" " * GAP if place else "")
        line.append_text(Text(blanks).append_text(cell) if column.numbers else cell.copy())
        if not column.numbers and place < len(widths) - 1:
            line.append(blanks)
    line.rstrip()
    return _whole(line)


# ---- as a block -------------------------------------------------------------------------------


def _block(console: Console, columns: Sequence[_Column], row: int, room: int) -> Iterator[Text]:
    """Return the lines of one row: names and values side by side, then the sentences."""
    first, *others = columns
    name = f"{first.name} " if first.numbers else ""
    line = Text.assemble((name, "dim"), (first.cells[row].plain, "bold"))
    for column in others:
        if column.is_prose or not column.sizes[row]:
            continue
        item = Text.assemble((f"{column.name} ", "dim"), column.cells[row])
        if cell_len(line.plain) + GAP + cell_len(item.plain) > room:
            yield _whole(line)
            line = Text("  ").append_text(item)
        else:
            line.append(" " * GAP).append_text(item)
    yield _whole(line)
    sentences = [column for column in others if column.is_prose]
    for column in sentences:
        if not column.sizes[row]:
            continue
        # Sentences of several columns are told apart by their names, also where only one is there.
        named = (f"{column.name} ", "dim") if len(sentences) > 1 else ""
        text = Text.assemble(named, column.cells[row])
        for piece in _wrapped(console, text, max(room - GAP, 1)):
            yield _whole(Text(" " * GAP).append_text(piece))


def _wrapped(console: Console, text: Text, width: int) -> list[Text]:
    lines = list(text.wrap(console, width, overflow="fold"))
    for line in lines:
        line.rstrip()
    return lines


def _whole(line: Text) -> Text:
    """Return a line that rich leaves as it is, however narrow the terminal."""
    line.no_wrap, line.overflow = True, "ignore"
    return line
