"""Texts about users' values and errors, made so that they never fail (P10, F4).

The `repr` of a value and the `str` of an error are users' code: they may raise, take long, or
return a lone surrogate, which neither a store nor a terminal accepts. These functions are called
while something is being refused or recorded, so they must not raise in turn.
"""

from __future__ import annotations

__all__ = ["printable", "shown", "text_of"]


def printable(text: str) -> str:
    r"""Return a text that UTF-8 can encode, with lone surrogates written as ``\udXXX``."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def shown(value: object) -> str:
    """Return the first 80 characters of a value's `repr`, or its type if the `repr` fails."""
    try:
        return printable(f"{value!r:.80}")
    except Exception:  # noqa: BLE001 - too deep, too many digits, or a `repr` that raises
        return f"a value of type {_name_of(value)}"


def text_of(error: BaseException) -> str:
    """Return an error's text, or if its `str` fails, a text that says so and why."""
    try:
        return printable(str.__str__(str(error)))
    except Exception as problem:  # noqa: BLE001 - a `__str__` may raise anything
        return f"its text cannot be read: reading it raised {_name_of(problem)}"


def _name_of(value: object) -> str:
    return printable(type(value).__name__)
