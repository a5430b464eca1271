"""Findings about a foreign file: noted, dropped to quarantine, or a reason to refuse the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.exchange.opening import LARGEST_VALUE, MOST_BYTES
from eventlog.finding import Finding

if TYPE_CHECKING:
    from eventlog.errors import InvalidMessage

__all__ = ["INFORMING", "Dropped", "Noted", "Notes"]


INFORMING: Final = frozenset({"unread", "branch", "sidechain", "no_messages"})
"""Kinds of findings that are no damage: they say what else is in a file, and where it goes."""


class Noted(NamedTuple):
    """A finding, and the bytes that it is about unless a message holds them."""

    finding: Finding
    raw: bytes

    @property
    def is_damage(self) -> bool:
        """Whether something is wrong; else the finding informs."""
        return self.finding.kind not in INFORMING


class Dropped(NamedTuple):
    """Bytes that were left out of an import, with their line if they have one."""

    line: int | None
    raw: bytes


@dataclass(slots=True)
class Notes:
    """The findings in one file; without ``quarantine`` the first damage raises an error."""

    path: str = ""
    quarantine: bool = False
    mends: bool = True
    """Whether values that cannot be stored become text; else they are refused."""
    largest: int = LARGEST_VALUE
    """Bytes of one value of the file that are read into memory."""
    most: int = MOST_BYTES
    """Bytes of all files of a folder."""
    findings: list[Noted] = field(default_factory=list["Noted"])
    dropped: list[Dropped] = field(default_factory=list[Dropped])

    def tell(self, kind: str, line: int | None, detail: str, action: str, raw: bytes = b"") -> None:
        """Add a finding that does not stop the reading."""
        finding = Finding(None, None, kind, detail, path=self.path, line=line, action=action)
        self.findings.append(Noted(finding, raw))

    def drop(self, kind: str, error: InvalidMessage, raw: bytes) -> None:
        """Leave something out; raise ``error`` if nothing may be left out."""
        if not self.quarantine:
            raise error
        self.dropped.append(Dropped(error.line, raw))
        where = f" (field {error.field!r})" if error.field else ""
        self.tell(kind, error.line, f"{error.reason}{where}", "left out, kept in quarantine", raw)
