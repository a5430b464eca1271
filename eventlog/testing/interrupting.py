"""Raise an exception in the main thread wherever Python could run a signal handler.

Python runs handlers when a function begins, after a call and at a backward jump. A trace function is
called before every instruction, so it can raise at each such point in turn. Where the library holds
Ctrl-C back, no handler would raise, so Ctrl-C is pressed there instead.
"""

from __future__ import annotations

import dis
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from eventlog.interrupts import HeldInterrupt

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

__all__ = ["Interrupted", "Interrupter", "is_interrupt_held"]

_CALLS: Final = ("CALL", "JUMP_BACKWARD")
"""Prefixes of the instructions after which handlers run."""


class Interrupted(BaseException):
    """The exception that the handler raises; like `KeyboardInterrupt`, it is not an `Exception`."""


def is_interrupt_held() -> bool:
    """Return whether the library holds Ctrl-C back, so that nothing can interrupt the main thread."""
    return isinstance(signal.getsignal(signal.SIGINT), HeldInterrupt)


def interrupt() -> None:
    """Raise `Interrupted`, or have `KeyboardInterrupt` be raised as soon as Ctrl-C is not held back."""
    if not is_interrupt_held():
        raise Interrupted
    signal.raise_signal(signal.SIGINT)


class Interrupter:
    """Runs a function, and a handler at the ``at``-th point where that could be; it mostly raises."""

    def __init__(self, at: int, handler: Callable[[], object] = interrupt) -> None:
        self._at = at
        self._handler = handler
        self.seen = 0
        self.place = ""
        self._last: dict[FrameType, int] = {}
        self._points: dict[CodeType, frozenset[int]] = {}

    def run(self, function: Callable[[], object]) -> bool:
        """Run the function; return whether there was such a point.

        Some code swallows the exception and continues; then this is like an ordinary call.
        """
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            function()
        except Interrupted:
            pass
        except KeyboardInterrupt:
            if not self.place:
                raise
        finally:
            sys.settrace(before)
            self._last.clear()
        return bool(self.place)

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename == __file__:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self._point(frame)
        return self._step

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "opcode":
            last, self._last[frame] = self._last.get(frame, -1), frame.f_lasti
            if last in self._handling(frame.f_code):
                self._point(frame)
        elif event == "return":
            self._last.pop(frame, None)
        return self._step

    def _handling(self, code: CodeType) -> frozenset[int]:
        found = self._points.get(code)
        if found is None:
            found = self._points[code] = frozenset(
                instruction.offset
                for instruction in dis.get_instructions(code)
                if instruction.opname.startswith(_CALLS)
            )
        return found

    def _point(self, frame: FrameType) -> None:
        self.seen += 1
        if self.seen == self._at:
            self.place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
            sys.settrace(None)
            self._handler()
