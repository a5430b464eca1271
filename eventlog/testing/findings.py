"""The report about a crash that a check did not survive: trace, disk before and after, code to repeat."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.errors import EventLogError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eventlog.testing.disk.fates import Fate
    from eventlog.testing.host import Host
    from eventlog.testing.whereabouts import StoredEvents

__all__ = ["CrashFinding", "CrashFound"]

_STEPS_SHOWN: Final = 24
_BYTES_SHOWN: Final = 160


class CrashFinding(NamedTuple):
    """A check that failed after a crash."""

    check: str
    host: Host
    """The host as it was when its power failed."""
    fate: Fate
    error: Exception
    code: str
    """Python that repeats it."""

    def text(self) -> str:
        """Return the report as text."""
        steps = self.host.steps
        where = f"step {steps.count}" if steps.struck else "the end"
        before, after = self.host.disk, self.host.disk.after_crash(self.fate)
        parts = (
            f"{self.check} failed after a crash at {where}: {self.error!r}",
            _section(self._whereabouts(), list(map(str, self.host.crashed_in)) or ["-"]),
            _section(
                "answers that its user has got", [repr(told) for told in self.host.told] or ["-"]
            ),
            _section("steps, with the fates of those not synced", self._trace()),
            _section("the disk before, as the program saw it", _files(before.files())),
            _section("the disk after", _files(after.files())),
            _section("to repeat it", self.code.splitlines()),
        )
        return "\n\n".join(parts)

    def _whereabouts(self) -> str:
        """Return where the program was: among which events."""
        noted = self.host.noted
        program = "the program was here" if self.host.steps.struck else "the program had ended"
        if noted.storing:
            events = " and ".join(map(str, noted.storing))
            return f"{program}, storing {events}; {self._fate_of(noted.storing)}"
        if noted.stored:
            return f"{program}, after {' and '.join(map(str, noted.stored))}"
        return f"{program}, before its first event"

    def _fate_of(self, events: Sequence[StoredEvents]) -> str:
        """Return what became of events whose append was never answered."""
        try:
            with self.host.after_crash(self.fate) as left:
                kept = [
                    left.open_store(each.path).head(each.session_id).version >= each.last
                    for each in events
                ]
        except EventLogError:
            return "it got no answer"
        on_disk = (
            "all of it is on the disk, but" if all(kept) else "not all of it is on the disk, and"
        )
        return f"{on_disk} it got no answer"

    def _trace(self) -> Iterator[str]:
        steps = self.host.steps
        pending = self.host.disk.pending
        outcomes = dict(
            zip(
                (entry.step for entry in pending),
                self.fate.outcomes(len(pending)),
                strict=True,
            )
        )
        first = max(0, steps.count - _STEPS_SHOWN)
        if first:
            yield f"  … {first} steps before"
        for number, name in enumerate(steps.trace[first:], first + 1):
            fatal = bool(steps.struck) and number == steps.count
            outcome = outcomes.get(number, "")
            mark = ">" if fatal else " "
            end = "  <- the power failed here" if fatal else ""
            yield f"{mark} {number:3} {outcome.upper():6} {name}{end}".rstrip()


class CrashFound(AssertionError):
    """After a crash the check failed; the text says how, and how to repeat it."""

    def __init__(self, finding: CrashFinding) -> None:
        super().__init__(finding.text())
        self.finding = finding


def _section(title: str, lines: Iterator[str] | list[str]) -> str:
    return f"{title}:\n{textwrap.indent(chr(10).join(lines), '    ')}"


def _files(files: Mapping[str, bytes]) -> list[str]:
    return [_file(path, content) for path, content in files.items()] or ["(empty)"]


def _file(path: str, content: bytes) -> str:
    if path.endswith("/"):
        return path
    if content[:16] == b"SQLite format 3\0" or len(content) > 16 * _BYTES_SHOWN:
        return f"{path}  {len(content)} bytes"
    shown = repr(content[:_BYTES_SHOWN])[1:]
    return f"{path}  {len(content)} bytes  {shown}{'…' if len(content) > _BYTES_SHOWN else ''}"
