"""Results in Markdown, for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks.results import Result, Row

__all__ = ["machine_line", "summary", "tables"]


def tables(machine: dict[str, str], results: Iterable[Result]) -> str:
    """Write what was measured on, and each figure with its sentence and its lines."""
    return "\n" + "\n\n".join([machine_line(machine), *map(_section, results)]) + "\n"


def machine_line(machine: dict[str, str]) -> str:
    """Write what the figures were measured on."""
    return "; ".join(f"{name} {value}" for name, value in machine.items()) + "."


def _section(result: Result) -> str:
    head = [f"### {result.name}: {result.title}"]
    about = " ".join(part for part in (result.about, f"({result.measured})") if len(part) > 2)
    plain = [row for row in result.rows if not row.others]
    tables = [_contenders(row) for row in result.rows if row.others]
    return "\n\n".join([*head, *([about] if about else []), *tables, *_lines(plain)])


def _contenders(row: Row) -> str:
    """Write a line that has peers as a table with a line for each: narrow enough for a terminal."""
    goal = f" (goal: {row.goal}; {_met(row)})" if row.goal else ""
    lines = [("eventlog", row.ours), *row.others.items()]
    return "\n".join(
        [f"{row.name}{goal}:", "", *_table(["", "and how many times as fast eventlog is"], lines)]
    )


def _lines(rows: list[Row]) -> Iterator[str]:
    if rows:
        lines = [(row.name, row.ours, row.goal, _met(row)) for row in rows]
        yield "\n".join(_table(["", "eventlog", "goal", "met"], lines))


def _table(heads: list[str], lines: Iterable[Iterable[str]]) -> list[str]:
    rule = ["---"] * len(heads)
    return [f"| {' | '.join(line)} |" for line in (heads, rule, *lines)]


def _met(row: Row) -> str:
    return "" if row.met is None else "met" if row.met else "not met"


def summary(_: dict[str, str], results: Iterable[Result]) -> str:
    """Write the sentence of the README."""
    found = {result.name: result for result in results}
    if "B1" not in found or "B2" not in found:
        return "\n`eventlog docs figures` says what was measured, and how. "
    one, many = found["B1"], found["B2"]
    load = one.measured.rpartition(", ")[2]
    return (
        f"\nOne append at a time reaches {_times(one.rows[0])} × the rate of raw sqlite3 with the same "
        "durability, 64 sessions together\n"
        f"{_times(many.rows[0])} × (`python -m benchmarks B1 B2`; {load}): "
        "`eventlog docs figures`. "
    )


def _times(row: Row) -> str:
    return f"{row.numbers['eventlog'].median / row.numbers['sqlite3'].median:.2f}"
