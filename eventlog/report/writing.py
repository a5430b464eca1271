"""Making a report of sessions, and writing it: whole, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from eventlog import __version__
from eventlog.argument_checks import checked_path
from eventlog.errors import FolderUnavailable, InvalidArgument
from eventlog.filesystem import LocalFiles, replace_named_file
from eventlog.forensics.as_of import checked_version
from eventlog.report.document import pages
from eventlog.report.session import SessionReport
from eventlog.session_face import past_of
from eventlog.visible_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from eventlog.exchange.bundle.format import Redaction
    from eventlog.log import Log

__all__ = ["ReportSummary", "report_pieces", "write_report"]


class ReportSummary(NamedTuple):
    """What a report is of."""

    sessions: int
    events: int
    is_sound: bool
    """Whether verifying and the promises found nothing wrong."""
    bytes: int


def report_pieces(
    log: Log,
    session_ids: Sequence[str],
    *,
    after: int = 0,
    until: int | None = None,
    redaction: Redaction | None = "secrets",
) -> tuple[Iterator[str], ReportSummary]:
    """Return the page of some sessions, piece by piece, and what it is of.

    It shows the events with ``after < version <= until`` and the state at each of them. The same
    records give the same bytes. Raises `SessionNotFound`, and `InvalidArgument` for a version that a
    session has not reached.
    """
    reports = [
        _report(log, session_id, after, until, redaction)
        for session_id in dict.fromkeys(session_ids)
    ]
    title = ", ".join(printable(session_id) for session_id in session_ids)
    settings = {"mode": "file", "version": __version__}
    pieces = pages(title, (report.pieces() for report in reports), settings, connects=False)
    events = sum(report.until - report.after for report in reports)
    sound = all(report.is_sound for report in reports)
    return pieces, ReportSummary(len(reports), events, sound, 0)


def _report(
    log: Log, session_id: str, after: int, until: int | None, redaction: Redaction | None
) -> SessionReport:
    session = log.session(session_id, follow_folder=False)
    past = past_of(session)
    checked_version(past, after)
    if until is not None and checked_version(past, until) <= after:
        raise InvalidArgument(f"no event has a version above {after:,} and up to {until:,}")
    return SessionReport(
        past, after=after, until=until, redaction=redaction, verified=log.verify(session_id)
    )


def write_report(
    log: Log,
    session_ids: Sequence[str],
    path: str | PathLike[str],
    *,
    after: int = 0,
    until: int | None = None,
    redaction: Redaction | None = "secrets",
) -> ReportSummary:
    """Write the page of some sessions to a file, which is replaced as a whole.

    See `report_pieces`. Raises `FolderUnavailable` where the file cannot be written.
    """
    text = checked_path("the report", path)
    pieces, summary = report_pieces(log, session_ids, after=after, until=until, redaction=redaction)
    data = "".join(pieces).encode()
    folder, name = os.path.split(os.path.abspath(text))  # noqa: PTH100 - a link stays one
    files = LocalFiles().under(folder)
    try:
        replace_named_file(files, name, data)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FolderUnavailable(folder, f"{name}: {reason}", "name another file") from error
    return summary._replace(bytes=len(data))
