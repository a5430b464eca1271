"""Random programs that crash, for hypothesis: calls of a subject, with a power failure in the last.

The subject is yours: a class that is created with a host and has methods to call. A program that
fails shrinks to a few calls and the simplest fate, and is printed as plain Python::

    class Notes:
        def __init__(self, host): ...
        def add(self, text): ...

    @given(program=crashes(calls("add", st.text())))
    def test_no_note_is_lost(program):
        program.run(Notes, check)

``check`` gets the restarted host. ``host.told`` has the acknowledged calls, as `Call`;
``host.in_doubt`` is the call that the crash interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from eventlog.testing.disk.fates import KEPT, LOST, Fate
from eventlog.testing.exploring import look
from eventlog.testing.host import Call, Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.testing.exploring import Check

__all__ = ["CrashProgram", "calls", "crashes", "fates"]


@dataclass(frozen=True)
class CrashProgram:
    """Calls of a subject in order, with a power failure in the last one."""

    calls: tuple[Call, ...]
    step: int
    """The step at which it fails, counted from the last call's first; with 0, or if the call has
    fewer steps, it fails right after the call."""
    fate: Fate = KEPT

    def run(
        self,
        subject: Callable[[Host], Any],
        check: Check,
        *,
        make_host: Callable[[], Host] = Host,
    ) -> Any:
        """Run the calls, crash, run ``check`` on what is left, and return its result.

        Raises `eventlog.testing.CrashFound` if the check fails, or returns something else the second
        time.
        """
        with make_host() as host:
            opened = subject(host)
            *first, last = self.calls
            for call in first:
                host.call(getattr(opened, call.name), *call.arguments)
            if self.step:
                host.steps.fail(host.steps.count + self.step)
            with host.until_crash():
                host.call(getattr(opened, last.name), *last.arguments)
            return look(host, self.fate, check, code=self.code(_name(subject), _name(check)))

    def __str__(self) -> str:
        """Return a line that describes the program."""
        said = ", ".join(map(str, self.calls))
        crash = f"crash at step {self.step} of that" if self.step else "crash"
        return f"{said}, {crash}, {self.fate}"

    def code(self, subject: str, check: str) -> str:
        """Return plain Python that does the same, for pasting into a test."""
        *first, last = self.calls
        lines = [
            "def test_a_crash_that_was_found():",
            "    with Host() as host:",
            f"        subject = {subject}(host)",
            *(f"        {_call(call)}" for call in first),
            *self._last_lines(_call(last)),
            f"        with host.after_crash({self.fate!r}) as left:",
            f"            {check}(left)",
        ]
        return "\n".join(lines)

    def _last_lines(self, call: str) -> list[str]:
        if not self.step:
            return [f"        {call}"]
        return [
            f"        host.steps.fail(host.steps.count + {self.step})",
            "        with suppress(Crash):",
            f"            {call}",
        ]


def _call(call: Call) -> str:
    return f"host.call({', '.join([f'subject.{call.name}', *map(repr, call.arguments)])})"


def _name(function: object) -> str:
    return getattr(function, "__name__", "subject")


def crashes(
    calls: st.SearchStrategy[Call], *, max_calls: int = 8, max_steps: int = 16
) -> st.SearchStrategy[CrashProgram]:
    """Draw programs of calls, each with a power failure and a fate."""
    return st.builds(
        CrashProgram,
        calls=st.lists(calls, min_size=1, max_size=max_calls).map(tuple),
        step=st.integers(0, max_steps),
        fate=fates(max_steps),
    )


def calls(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    """Draw calls of one method; join several by ``|``."""
    return st.tuples(*arguments).map(lambda drawn: Call(name, drawn))


def fates(places: int = 16) -> st.SearchStrategy[Fate]:
    """Draw fates: the simplest keeps everything, the next ones lose one operation, then several."""
    place = st.integers(1, places)
    several = st.lists(place, max_size=3, unique=True).map(lambda drawn: tuple(sorted(drawn)))
    mixed = {"lost": several, "torn": several, "zeroed": several}
    return st.one_of(
        st.just(KEPT),
        place.map(lambda one: Fate(lost=(one,))),
        st.just(LOST),
        st.builds(Fate, **mixed),
        st.builds(Fate, rest=st.just("lost"), kept=several, **mixed),
    )
