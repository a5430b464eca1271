"""Random programs that crash, for hypothesis: calls of a subject, and a power failure in the last.

The subject is yours: whatever opens on a host and has methods that can be called. A program that
fails shrinks to a few calls and the least fate, and is shown as plain Python::

    class Notes:
        def __init__(self, host): ...
        def add(self, text): ...

    @given(program=crashes(calls("add", st.text())))
    def test_no_note_is_lost(program):
        program.run(Notes, check)

``check`` gets the host as it starts again. What was acknowledged is in ``host.told``, as `Call`; the
one that the crash struck is ``host.in_doubt``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from eventlog.testing.crashing import Crash
from eventlog.testing.exploring import look
from eventlog.testing.fates import KEPT, Fate
from eventlog.testing.host import Call, Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.testing.exploring import Check

__all__ = ["CrashProgram", "calls", "crashes", "fates"]


@dataclass(frozen=True)
class CrashProgram:
    """Calls of a subject, one after another; in the last one the power fails."""

    calls: tuple[Call, ...]
    step: int
    """The step at which it fails, counted from the last call's first; if the call has fewer steps,
    it fails right after the call."""
    fate: Fate = KEPT

    def run(
        self,
        subject: Callable[[Host], Any],
        check: Check,
        *,
        make_host: Callable[[], Host] = Host,
    ) -> Any:
        """Carry the calls out, crash, and return what ``check`` makes of what is left.

        Raises `eventlog.testing.CrashFound` if the check fails, or sees something else when it
        looks once more.
        """
        with make_host() as host:
            opened = subject(host)
            for place, call in enumerate(self.calls, 1):
                if place == len(self.calls):
                    host.steps.fail(host.steps.count + self.step)
                host.in_doubt = call
                try:
                    call.on(opened)
                except Crash:
                    break
                host.told.append(call)
                host.in_doubt = None
            name = getattr(subject, "__name__", "subject")
            checks = getattr(check, "__name__", "check")
            return look(host, self.fate, check, code=self.code(name, checks))

    def code(self, subject: str, check: str) -> str:
        """Return plain Python that does the same, to be pasted into a test."""
        *first, last = self.calls
        lines = [
            "def test_a_crash_that_was_found():",
            "    with Host() as host:",
            f"        subject = {subject}(host)",
            *(line for call in first for line in (f"        subject.{call}", _told(call))),
            f"        host.steps.fail(host.steps.count + {self.step})",
            f"        host.in_doubt = {last!r}",
            "        try:",
            f"            subject.{last}",
            "        except Crash:",
            "            pass",
            "        else:",
            f"    {_told(last)}",
            "            host.in_doubt = None",
            f"        with host.after_crash({self.fate!r}) as left:",
            f"            {check}(left)",
        ]
        return "\n".join(lines)


def _told(call: Call) -> str:
    return f"        host.told.append({call!r})"


def crashes(
    calls: st.SearchStrategy[Call], *, max_calls: int = 8, max_steps: int = 16
) -> st.SearchStrategy[CrashProgram]:
    """Draw programs of calls, each with a power failure and a fate."""
    return st.builds(
        CrashProgram,
        calls=st.lists(calls, min_size=1, max_size=max_calls).map(tuple),
        step=st.integers(1, max_steps),
        fate=fates(max_steps),
    )


def calls(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    """Draw calls of one method; join several by ``|``."""
    return st.tuples(*arguments).map(lambda drawn: Call(name, drawn))


def fates(places: int = 16) -> st.SearchStrategy[Fate]:
    """Draw fates, from all operations kept to each of the last ``places`` with one of its own."""
    some = st.lists(st.integers(1, places), max_size=3, unique=True).map(
        lambda drawn: tuple(sorted(drawn))
    )
    none = st.just(())
    return st.builds(
        Fate,
        rest=st.sampled_from(["kept", "kept", "lost"]),
        lost=none | some,
        torn=none | some,
        zeroed=none | some,
        kept=none | some,
    )
