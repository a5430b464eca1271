"""A crash at every step of a program, with every fate of what was not synchronised (K3).

The program runs once without a crash, to see how many steps it has; then once per step, with the
power failing there. For every fate what is left on the disk is started again and checked, twice:
the second look must find what the first one has left, and return the same::

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
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from eventlog.testing.crashing import Crash
from eventlog.testing.disk.fates import KEPT, LOST, every_fate
from eventlog.testing.findings import CrashFinding, CrashFound
from eventlog.testing.host import Host

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
"""What is crashed: ordinary code, given the host that it runs on."""

Check: TypeAlias = Callable[[Host], Any]
"""What is asked of a host that starts again: raises if something is not as it must be."""


@dataclass
class CrashReport:
    """What was tried; in text, one line."""

    name: str
    steps: int = 0
    """Steps that the program takes."""
    points: int = 0
    """Steps at which the power failed."""
    images: int = 0
    """Different disks that were left, each started again and checked twice."""
    recoveries: int = 0
    """Crashes while what is left was being checked."""
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
) -> CrashReport:
    """Crash a program everywhere; raise `CrashFound` where ``check`` fails on what is left.

    ``program`` must take the same steps whenever it runs, and note in ``host.told`` what its user
    was told. ``check`` gets the host as it starts again: it opens what is there, recovers as the
    service would, and asserts; what it returns must be the same when it looks once more.

    With ``power=False`` only the process ends: what it wrote is there, synchronised or not. With
    ``recovery=True`` the check, too, is crashed at each of its own steps, where all was kept and
    where all was lost; that takes long if it takes many. ``make_host`` makes the
    host that the program finds: what it does there itself is not crashed. With ``every=3`` only every third step
    is crashed, beginning with the ``first``, and the end.
    """
    began = time.perf_counter()
    explorer = _Explorer(program, check, make_host, power=power, recovery=recovery)
    explorer.run(every, first)
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
    """Crash a program at one step, with one fate, and return what the check makes of it.

    With ``recovery`` the check is crashed first, at a step of its own and with a fate of its own.
    This is how a finding of `every_crash` is repeated.
    """
    explorer = _Explorer(program, check, make_host, power=True, recovery=False)
    with explorer.crashed(step) as host:
        if recovery is None:
            return explorer.look(host, step, fate)
        with explorer.recovering(host, fate, recovery[0]) as left:
            return explorer.look(left, step, fate, recovery)


def survives_every_crash(check: Check, **options: Any) -> Callable[[Program], Callable[[], None]]:
    """Make a test of a program: it passes if `every_crash` of it does; same ``options``.

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
    """One exploration: the program, the check, and the images seen so far."""

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

    def run(self, every: int, first: int) -> None:
        with self._make_host() as calm:
            before = calm.steps.count
            self._program(calm)
            self.report.steps = calm.steps.count - before
            for step in range(first, self.report.steps + 1, every):
                with self.crashed(step) as host:
                    self._look_everywhere(host, step)
            self._look_everywhere(calm, 0)

    def crashed(self, step: int) -> Host:
        """Run the program up to its crash in a step; 0 is after the last."""
        host = self._make_host()
        try:
            if step:
                host.steps.fail(host.steps.count + step)
            with suppress(Crash):
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
        """Tell whether no crash has left the same before, with the same things told."""
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
        with suppress(Crash):
            self._check(left)
        return left

    def _crash_recovery(self, host: Host, step: int, fate: Fate) -> None:
        """Crash the check at each of its own steps: what is left must be as good as before."""
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

    Raises `CrashFound`, with ``code`` as what repeats it, if the check fails or the second look
    sees something else than the first.
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
