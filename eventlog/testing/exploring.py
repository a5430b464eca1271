"""Crash a program at every step, with every fate of the unsynced writes (K3).

The program runs once without a crash, to count its steps, and then once per step, with a power failure
there. For every fate the host is restarted with what is left on the disk, and checked twice: the
second check runs on what the first one has left, and must return the same::

    def program(host):
        session = host.open_log().session("chat", create=True)
        host.told.append(session.append(Message.user("hello")).id)

    def check(host):
        log = host.open_log()
        stored = [m.id for m in log.session("chat", create=True).history()]
        assert stored[: len(host.told)] == host.told
        return stored

    print(every_crash(program, check))
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from eventlog.testing.disk.fates import KEPT, LOST, every_fate
from eventlog.testing.findings import CrashFinding, CrashFound
from eventlog.testing.host import Host
from eventlog.testing.progress import shown_progress

if TYPE_CHECKING:
    from eventlog.testing.disk.fates import Fate

__all__ = [
    "Check",
    "CrashReport",
    "Program",
    "crash_at",
    "every_crash",
    "look",
    "survives_every_crash",
]

Program: TypeAlias = Callable[[Host], object]
"""The program to crash: ordinary code that takes the host it runs on."""

Check: TypeAlias = Callable[[Host], Any]
"""The check of a restarted host: raises if something is wrong."""


@dataclass
class CrashReport:
    """The number of crashes tried; as text, one line."""

    name: str
    steps: int = 0
    """Steps of the program."""
    points: int = 0
    """Steps at which the power failed."""
    images: int = 0
    """Different disks after a crash, each restarted and checked twice."""
    recoveries: int = 0
    """Crashes during a check."""
    seconds: float = 0.0

    def __str__(self) -> str:
        again = f", {self.recoveries} crashes of the recovery" if self.recoveries else ""
        return (
            f"{self.name}: {self.points} crash points, {self.images} images{again}, "
            f"0 failures, {self.seconds:.1f} s"
        )


def every_crash(
    program: Program,
    check: Check,
    *,
    power: bool = True,
    recovery: bool = False,
    make_host: Callable[[], Host] = Host,
    every: int = 1,
    first: int = 1,
    progress: Callable[[str], None] | None = None,
) -> CrashReport:
    """Crash a program everywhere; raise `CrashFound` if ``check`` fails on what is left.

    ``program`` must take the same steps in every run, and add to ``host.told`` the answers that its
    user has got. ``check`` gets the restarted host: it opens the log, recovers as the service would,
    and asserts; what it returns must be the same in a second check.

    With ``power=False`` only the process ends, and everything that it wrote is kept. With
    ``recovery=True`` the check is also crashed at each of its own steps, after all was kept and after
    all was lost; with many steps that takes long. ``make_host`` creates the host for the program; what
    it does itself is not crashed. With ``every=3`` only every third step is crashed, beginning with
    the ``first``, and the end.

    ``progress`` is called with a line at each crash point, and with an empty one at the end; by default
    the line is shown on stderr if that is a terminal.
    """
    began = time.perf_counter()
    explorer = _Explorer(program, check, make_host, power=power, recovery=recovery)
    with shown_progress(progress) as tell:
        explorer.run(every, first, tell)
    explorer.report.seconds = time.perf_counter() - began
    return explorer.report


def crash_at(
    program: Program,
    check: Check,
    *,
    step: int,
    fate: Fate = KEPT,
    recovery: tuple[int, Fate] | None = None,
    make_host: Callable[[], Host] = Host,
) -> Any:
    """Crash a program at one step, with one fate, and return the result of the check.

    With ``recovery`` (a step and a fate) the check is crashed first. This repeats a finding of
    `every_crash`.
    """
    explorer = _Explorer(program, check, make_host, power=True, recovery=False)
    with explorer.crashed(step) as host:
        if recovery is None:
            return explorer.look(host, step, fate)
        with explorer.recovering(host, fate, recovery[0]) as left:
            return explorer.look(left, step, fate, recovery)


def survives_every_crash(check: Check, **options: Any) -> Callable[[Program], Callable[[], None]]:
    """Turn a program into a test that passes if `every_crash` does; ``options`` are the same.

    ::

        @survives_every_crash(nothing_is_lost)
        def test_the_agent(host):
            ...
    """

    def decorate(program: Program) -> Callable[[], None]:
        def test() -> None:
            every_crash(program, check, **options)

        test.__name__ = test.__qualname__ = _name(program)
        test.__doc__, test.__module__ = program.__doc__, program.__module__
        return test

    return decorate


class _Explorer:
    """One exploration: the program, the check, and the disk images seen so far."""

    def __init__(
        self,
        program: Program,
        check: Check,
        make_host: Callable[[], Host],
        *,
        power: bool,
        recovery: bool,
    ) -> None:
        self._program = program
        self._check = check
        self._make_host = make_host
        self._power = power
        self._recovery = recovery
        self._seen: set[bytes] = set()
        self.report = CrashReport(_name(program))

    def run(self, every: int, first: int, tell: Callable[[str], None]) -> None:
        with self._make_host() as calm:
            before = calm.steps.count
            self._program(calm)
            self.report.steps = calm.steps.count - before
            for step in range(first, self.report.steps + 1, every):
                tell(
                    f"{self.report.name}: crash at step {step} of {self.report.steps}, "
                    f"{self.report.images} images so far"
                )
                with self.crashed(step) as host:
                    self._look_everywhere(host, step)
            self._look_everywhere(calm, 0)

    def crashed(self, step: int) -> Host:
        """Run the program up to its crash in a step; 0 is after the last."""
        host = self._make_host()
        try:
            if step:
                host.steps.fail(host.steps.count + step)
            with host.until_crash():
                self._program(host)
            if step and not host.steps.dead:
                raise AssertionError(
                    f"{_name(self._program)} ended before step {step}, which it had before: a "
                    "program must take the same steps whenever it runs; use the host's clock and "
                    "ids, and draw nothing at random"
                )
        except BaseException:
            host.close()
            raise
        return host

    def _look_everywhere(self, host: Host, step: int) -> None:
        self.report.points += 1
        for fate in every_fate(len(host.disk.pending), power=self._power):
            if self._is_new(host, fate):
                self.look(host, step, fate)
                if self._recovery and fate in (KEPT, LOST):
                    self._crash_recovery(host, step, fate)

    def _is_new(self, host: Host, fate: Fate) -> bool:
        """Return whether no earlier crash left the same disk with the same acknowledged answers."""
        digest = hashlib.sha256(repr(host.told).encode())
        for path, content in host.disk.after_crash(fate).files().items():
            digest.update(f"{path}\0{len(content)}\0".encode())
            digest.update(content)
        if digest.digest() in self._seen:
            return False
        self._seen.add(digest.digest())
        self.report.images += 1
        return True

    def look(
        self, host: Host, step: int, fate: Fate, recovery: tuple[int, Fate] | None = None
    ) -> Any:
        """Start the host again, with its last crash's fate, and check it twice."""
        arguments = f"{_name(self._program)}, {_name(self._check)}, step={step}, fate={fate!r}"
        if recovery is not None:
            arguments += f", recovery={recovery!r}"
        code = f"from eventlog.testing import Fate, crash_at\n\ncrash_at({arguments})"
        last = fate if recovery is None else recovery[1]
        return look(host, last, self._check, code=code)

    def recovering(self, host: Host, fate: Fate, at: int) -> Host:
        """Start the host again, and crash its check at a step, unless it has fewer."""
        left = host.after_crash(fate)
        left.steps.fail(at)
        with left.until_crash():
            self._check(left)
        return left

    def _crash_recovery(self, host: Host, step: int, fate: Fate) -> None:
        """Crash the check at each of its steps: the check of what is left must pass all the same."""
        for at in count(1):
            with self.recovering(host, fate, at) as left:
                if not left.steps.dead:
                    return
                self.report.recoveries += 1
                for worst in (KEPT, LOST) if self._power else (KEPT,):
                    if self._is_new(left, worst):
                        self.look(left, step, fate, (at, worst))


def look(host: Host, fate: Fate, check: Check, *, code: str) -> Any:
    """Start a crashed host again and check it twice; return what the check returned.

    Raises `CrashFound`, with ``code`` to repeat it, if the check fails or returns something else the
    second time.
    """
    try:
        with host.after_crash(fate) as left:
            first = check(left)
            with left.after_crash() as again:
                second = check(again)
        if first != second:
            raise AssertionError(f"the first look saw {first!r}, a second one {second!r}")
    except Exception as error:
        raise CrashFound(CrashFinding(_name(check), host, fate, error, code)) from error
    return first


def _name(function: object) -> str:
    return getattr(function, "__name__", repr(function))
