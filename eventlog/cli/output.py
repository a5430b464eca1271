"""Printing without rich: a JSON document on stdout, messages on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

from eventlog.visible_text import counted, one_line, printable, visible_json

__all__ = [
    "counted",
    "one_line",
    "print_document",
    "print_documents",
    "print_line_of_json",
    "printable",
    "say",
    "visible_json",
]


def print_document(value: Any) -> None:
    """Print JSON as UTF-8 in every locale, with invisible characters escaped."""
    text = visible_json(json.dumps(value, ensure_ascii=False, indent=2))
    click.echo(text.encode() + b"\n", nl=False)


def print_documents(values: Iterable[Any]) -> None:
    """Print one JSON array as `print_document` does, with one value in memory at a time."""
    empty = True
    for value in values:
        lines = json.dumps(value, ensure_ascii=False, indent=2).replace("\n", "\n  ")
        click.echo(f"{'[' if empty else ','}\n  {visible_json(lines)}".encode(), nl=False)
        empty = False
    click.echo(b"[]\n" if empty else b"\n]\n", nl=False)


def print_line_of_json(value: Any) -> None:
    """Print a JSON document on a line of its own, at once."""
    click.echo(visible_json(json.dumps(value, ensure_ascii=False)).encode() + b"\n", nl=False)


def say(text: str) -> None:
    """Print a message for people on stderr."""
    click.echo(printable(text), err=True)
