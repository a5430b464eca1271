"""Holding Ctrl-C back for the length of a short call of the main thread.

Handing a call over to another thread (`eventlog.engine.shelter`) costs two thread switches, which is
more than the rest of a small append costs. Most programs have no handler of their own for any signal;
then only Python's own one, of Ctrl-C, can raise an exception in the middle of a call. So for the length
of a short call another handler takes its place, which remembers that Ctrl-C was pressed; then
`KeyboardInterrupt` is raised when the call has ended, before anything else runs.

A program that handles any other signal in Python, or Ctrl-C in another way (asyncio does), is not
touched: setting a handler also resets what `signal.siginterrupt` says of it, which nobody can read back
and restore; and a handler may use the log, which it could not do while its thread is in a call. A trace function,
as debuggers have and tests that interrupt a program anywhere, may raise where a handler may. Calls that may
last are never made this way, since nobody could end the waiting.
"""

from __future__ import annotations

import sys
from importlib import import_module
from signal import SIGINT, default_int_handler, valid_signals
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HeldInterrupt", "call_uninterrupted", "is_only_ctrl_c_handled", "is_traced"]

Argument = TypeVar("Argument")
Result = TypeVar("Result")

# Those of `signal` turn each number into a member of an enumeration, which takes as long as an append.
_signals: Final[Any] = import_module("_signal")
getsignal: Final[Callable[[int], object]] = _signals.getsignal
signal: Final[Callable[[int, object], object]] = _signals.signal

_OTHERS: Final = tuple(sorted(int(number) for number in valid_signals() - {SIGINT}))

_unhandled: list[object] = []
"""The handlers of the other signals when last none of them was a function, so that one comparison
finds that this still holds."""


class HeldInterrupt:
    """The handler of Ctrl-C during a call: it remembers that Ctrl-C was pressed."""

    __slots__ = ("came", "is_over")

    def __init__(self) -> None:
        self.came = False
        self.is_over = False
        """Whether the call has ended, so that there is nothing to wait for any more."""

    def __call__(self, number: int, frame: object) -> None:
        """Remember the signal, or interrupt if the call is over."""
        if self.is_over:
            raise KeyboardInterrupt
        self.came = True


def is_traced() -> bool:
    """Return whether the calling thread has a trace function."""
    return sys.gettrace() is not None


def is_only_ctrl_c_handled() -> bool:
    """Return whether no signal runs Python code, but Ctrl-C if it has Python's own handler.

    False under a trace function, too. It costs two microseconds.
    """
    global _unhandled  # noqa: PLW0603 - a process has one set of handlers
    if is_traced():
        return False
    own = getsignal(SIGINT)
    if own is not default_int_handler and callable(own):
        return False
    handlers: list[object] = list(map(getsignal, _OTHERS))
    if handlers == _unhandled:
        return True
    if any(map(callable, handlers)):
        return False
    _unhandled = handlers
    return True


def call_uninterrupted(verb: Callable[[Argument], Result], argument: Argument) -> Result:
    """Call a function; raise `KeyboardInterrupt` at its end if Ctrl-C was pressed meanwhile.

    Call it in the main thread, if `is_only_ctrl_c_handled`. Raises `ValueError`, and calls nothing, in an
    interpreter that has no signals.
    """
    # An interrupt before the handler is replaced is raised here, and nothing has begun. From then on none
    # is raised, up to the line that puts Python's handler back: one that came before is remembered,
    # one that comes after is raised at once, when all is done. Were that line to fail, the handler that
    # stays would interrupt as Python's does.
    if getsignal(SIGINT) is not default_int_handler:
        return verb(argument)  # Ctrl-C is ignored, as in the background of a shell.
    held = HeldInterrupt()
    signal(SIGINT, held)
    try:
        return verb(argument)
    finally:
        try:
            if getsignal(SIGINT) is held:  # The function might have set another one.
                signal(SIGINT, default_int_handler)
        finally:
            held.is_over = True
        if held.came:
            raise KeyboardInterrupt
