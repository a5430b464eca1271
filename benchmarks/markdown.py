"""Results as tables in Markdown, for the documentation."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.results import Result, Row

__all__ = ["machine_line", "table", "tables"]


def tables(results: Iterable[Result]) -> str:
    """Write each figure with its sentence and its lines."""
    return "\n\n".join(
        "\n".join(part for part in (f"### {result.name}: {result.title}", result.about) if part)
        + "\n\n"
        + table(result.rows)
        for result in results
    )


def table(rows: list[Row]) -> str:
    """Write lines as a table; columns that are empty are left out."""
    peers = list(dict.fromkeys(peer for row in rows for peer in row.others))
    heads = ["", "eventlog", *peers, "goal", "met"]
    lines = [
        [row.name, row.ours, *(row.others.get(peer, "") for peer in peers), row.goal, _met(row)]
        for row in rows
    ]
    kept = [
        place for place in range(len(heads)) if place == 0 or any(line[place] for line in lines)
    ]
    written = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(line[place] for place in kept) + " |" for line in written)


def _met(row: Row) -> str:
    return "" if row.met is None else "yes" if row.met else "no"


def machine_line(machine: dict[str, str]) -> str:
    """Write what the figures were measured on."""
    return "; ".join(f"{name} {value}" for name, value in machine.items()) + "."
