"""Printing without rich: a JSON document on stdout, messages on stderr."""

from __future__ import annotations

import json
from typing import Any

import click

from eventlog.visible_text import counted, one_line, printable, visible_json

__all__ = [
    "counted",
    "one_line",
    "print_document",
    "printable",
    "say",
    "visible_json",
]


def print_document(value: Any) -> None:
    """Print JSON as UTF-8 in every locale, with invisible characters escaped."""
    text = visible_json(json.dumps(value, ensure_ascii=False, indent=2))
    click.echo(text.encode() + b"\n", nl=False)


def say(text: str) -> None:
    """Print a message for people on stderr."""
    click.echo(printable(text), err=True)
