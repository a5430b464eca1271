"""What errors say about values and errors of users, whatever those are (P10, F4).

The `repr` of a value and the `str` of an error are users' code: they may raise, take long, or
return half of a surrogate pair, which neither a store nor a terminal takes. An error text is made
in the middle of refusing or recording something, so making it never fails.
"""

from __future__ import annotations

__all__ = ["printable", "shown", "text_of"]


def printable(text: str) -> str:
    r"""Return a text that UTF-8 can hold: lone surrogates are written as ``\udXXX``."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def shown(value: object) -> str:
    """Return the first 80 characters of a value's `repr`, or its type where it has none."""
    try:
        return printable(f"{value!r:.80}")
    except Exception:  # noqa: BLE001 - too deep, too many digits, or a `repr` that raises
        return f"a value of type {_name_of(value)}"


def text_of(error: BaseException) -> str:
    """Return an error's text; where it cannot be had, a text that says so and why."""
    try:
        return printable(str.__str__(str(error)))
    except Exception as problem:  # noqa: BLE001 - a `__str__` may raise anything
        return f"its text cannot be read: {_name_of(problem)} was raised by it"


def _name_of(value: object) -> str:
    return printable(type(value).__name__)
