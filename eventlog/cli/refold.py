"""``eventlog refold``: does the code of today come to what was stored, or to what other code did?"""

from __future__ import annotations

import json
import os
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.diff import value_text
from eventlog.cli.documents import event_document
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import counted
from eventlog.forensics.refold import Footprint, footprints, read_footprints
from eventlog.session_face import past_of

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.session_face import Session

__all__ = ["refold"]


@command("refold")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what each event does to the state, a digest per line, into a new file.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Compare with what another version of the code saved.",
)
def refold(
    invocation: Invocation, session_id: str, save: Path | None, against: Path | None
) -> ExitCode:
    """Folds SESSION again and holds the result against its stored snapshot. With --save before an
    upgrade and --against after it, the first event that is treated otherwise is named.

    Exits with 1 where something differs: fit for CI.
    """
    with invocation.open(session_id) as log:
        session = log.session(session_id, follow_folder=False)
        document = _document(session)
        if save is not None:
            _save(session, save)
        if against is not None and document["divergence"] is None:
            document["divergence"] = _first_other(session, against)
    invocation.answer(document, lambda terminal: _print(terminal, document))
    return ExitCode.OK if document["divergence"] is None else ExitCode.FINDINGS


def _document(session: Session) -> dict[str, Any]:
    refolded = session.refold()
    found = refolded.divergence
    return {
        "session_id": session.id,
        "version": refolded.version,
        "snapshot": refolded.snapshot,
        "divergence": None
        if found is None
        else {
            "version": found.version,
            "event": event_document(found.event),
            "path": found.path,
            "expected": value_text(found.expected),
            "found": value_text(found.found),
        },
    }


def _save(session: Session, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.UsageError(f"{path} is there already; name another file") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        for footprint in footprints(past_of(session)):
            file.write(json.dumps(footprint._asdict()) + "\n")


def _first_other(session: Session, path: Path) -> dict[str, Any] | None:
    """Return the first event that a file tells otherwise; what came after it was written is not."""
    with path.open(encoding="utf-8") as file:
        known: Footprint | None
        for known, found in zip_longest(read_footprints(file), footprints(past_of(session))):
            if known is None:
                return None
            if known != found:
                version = known.version
                event = next(iter(past_of(session).records(version - 1, version)), None)
                return {
                    "version": version,
                    "event": None if event is None else event.type,
                    "path": "",
                    "expected": known.digest,
                    "found": None if found is None else found.digest,
                }
    return None


def _print(terminal: Terminal, document: dict[str, Any]) -> None:
    found = document["divergence"]
    events = counted(document["version"], "event")
    if found is None:
        terminal.line(f"{events} folded; the snapshot is {document['snapshot']}", "green")
        return
    where = f" at {found['path']}" if found["path"] else ""
    terminal.line(
        f"version {found['version']} is treated otherwise{where}: expected {found['expected']}, "
        f"found {found['found']}",
        "bold red",
    )
