"""``eventlog demo``: show on the terminal that a session survives a crash."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.demonstration.scenes import (
    Committed,
    Compared,
    Killed,
    Opened,
    Recovered,
    Reopened,
    Scene,
)
from eventlog.cli.demonstration.story import play
from eventlog.cli.exits import ExitCode
from eventlog.cli.verify import finding_document
from eventlog.forensics.event_lines import gist

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.recorded import Recorded

__all__ = ["demo"]

OVERVIEW_LINES: Final = 16
"""Lines of an overview that the demo shows; `eventlog show` prints all of it."""


@command("demo")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the two logs in this folder for inspection.",
)
def demo(invocation: Invocation, keep: Path | None) -> ExitCode:
    """Stores an agent's conversation, commits it twice, and kills the worker half-way through a
    finalisation (a real process, a real SIGKILL). Another process replays the log, and the next
    worker finishes. Then the same story runs without the crash, and both ends are compared: exit
    code 1 unless they are equal.

    Needs no service, no network and no --store.
    """
    started = time.monotonic()
    terminal = None if invocation.json else _terminal()
    scenes: list[Scene] = []
    with _folder(keep) as folder:
        for scene in play(folder):
            scenes.append(scene)
            if terminal is not None:
                _show(terminal, scene)
    seconds = time.monotonic() - started
    document = _document(scenes, seconds, keep)
    invocation.answer(document, lambda terminal: _close(terminal, document))
    return ExitCode.OK if document["holds"] else ExitCode.FINDINGS


@contextmanager
def _folder(keep: Path | None) -> Generator[Path]:
    if keep is None:
        with TemporaryDirectory(prefix="eventlog-demo-") as folder:
            yield Path(folder)
        return
    if keep.exists() and any(keep.glob("*.db")):
        raise click.UsageError(f"{keep} already holds logs; name another folder")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep


def _terminal() -> Terminal:
    from eventlog.cli.terminal import Terminal

    return Terminal()


def _document(scenes: Sequence[Scene], seconds: float, keep: Path | None) -> dict[str, Any]:
    killed = next(scene for scene in scenes if isinstance(scene, Killed))
    recovered = next(scene for scene in scenes if isinstance(scene, Recovered))
    compared = next(scene for scene in scenes if isinstance(scene, Compared))
    return {
        "holds": all(check.holds for check in compared.checks),
        "checks": [check._asdict() for check in compared.checks],
        "sha256": {
            "with_crash": compared.with_crash,
            "without_crash": compared.without_crash,
        },
        "killed": {"process_id": killed.process_id, "exit_code": killed.exit_code},
        "events_around_the_crash": [
            f"{recorded.version} {recorded.type}: {gist(recorded)}"
            for recorded in (*killed.events, *recovered.events)
        ],
        "findings": [finding_document(finding) for finding in compared.findings],
        "seconds": round(seconds, 2),
        "stores": [f"sqlite:///{file}" for file in compared.files] if keep else [],
    }


# ---- printing ---------------------------------------------------------------------------------


def _show(terminal: Terminal, scene: Scene) -> None:
    match scene:
        case Opened():
            _show_opened(terminal, scene)
        case Committed():
            _show_committed(terminal, scene)
        case Killed():
            _show_killed(terminal, scene)
        case Reopened():
            _show_reopened(terminal, scene)
        case Recovered():
            _show_recovered(terminal, scene)
        case Compared():
            _show_compared(terminal, scene)


def _show_opened(terminal: Terminal, scene: Opened) -> None:
    from eventlog.cli.conversation import conversation

    terminal.heading("1. An agent and its user talk; every message is one durable event")
    terminal.print(*conversation(scene.messages))
    terminal.line()
    terminal.line(
        f"{len(scene.events)} events are in {scene.file.name}, a SQLite file. Its durability is "
        f"{scene.durability!r}: what it has acknowledged survives a loss of {scene.durability}."
    )


def _show_committed(terminal: Terminal, scene: Committed) -> None:
    result, session = scene.result, scene.session
    archive = session["archives"][-1]
    live = ", ".join(message["id"] for message in session["tail"])
    first = result.archive_id == "archive_001"
    terminal.heading(
        "2. Commit: old messages move into an archive, which a worker summarises"
        if first
        else "3. The conversation goes on; a second commit waits for a worker"
    )
    terminal.line(
        f"{result.archived} messages are now in {result.archive_id}; {live} stays live. Nothing "
        "was copied or cleared: a commit is one event that names ranges of versions."
    )
    if archive["overview"] is not None:
        overview = terminal.markdown(_beginning(archive["overview"]))
        terminal.panel(f"{result.archive_id}: {archive['state']}, its overview", overview)


def _beginning(overview: str) -> str:
    lines = overview.rstrip().split("\n")
    if len(lines) <= OVERVIEW_LINES:
        return overview
    shown = lines[:OVERVIEW_LINES]
    while not shown[-1] or shown[-1].startswith("#"):
        shown.pop()
    return "\n".join([*shown, "", "…"])


def _show_killed(terminal: Terminal, scene: Killed) -> None:
    terminal.heading("4. kill -9, half-way through the finalisation of archive_002")
    terminal.line(
        f"A worker in process {scene.process_id} claimed the archive and stored a draft of its "
        f"overview. Before it could finalise, signal {-scene.exit_code} killed it. The log's last events:"
    )
    _print_events(terminal, scene.events)


def _show_reopened(terminal: Terminal, scene: Reopened) -> None:
    document = scene.session
    terminal.heading("5. Another process opens the log and replays it")
    archived = sum(len(archive["messages"]) for archive in document["archives"])
    shown = len(document["context"]["messages"])
    terminal.line(
        f"{document['version']} events: {archived} messages are archived, "
        f"{len(document['tail'])} is live. The task is still {scene.task_state!r}, owned by the dead "
        f"process. A model is shown the overview of archive_001 and {shown} messages in full, "
        "because no overview covers archive_002 yet."
    )


def _show_recovered(terminal: Terminal, scene: Recovered) -> None:
    terminal.heading("6. The next worker takes over")
    how = "proves that the owner is dead" if scene.is_proven else "waits for the lease to expire"
    terminal.line(
        f"It {how}, counts the crash as an attempt, reads the draft from the log instead of "
        "making it again, and finalises the archive:"
    )
    _print_events(terminal, scene.events)


def _show_compared(terminal: Terminal, scene: Compared) -> None:
    terminal.heading("7. The same session without a crash, for comparison")
    terminal.line("SHA-256 of live tail, metadata, context and archives, as canonical JSON:")
    terminal.pairs({"with the crash": scene.with_crash, "without it": scene.without_crash})
    terminal.line()
    for check in scene.checks:
        mark, style = ("ok    ", "green") if check.holds else ("FAILED", "bold red")
        terminal.line(f"{mark}  {check.claim}", style)
    for finding in scene.findings:
        terminal.line(f"version {finding.version}: {finding.detail}", "bold red")


def _print_events(terminal: Terminal, events: Sequence[Recorded]) -> None:
    terminal.table(
        ("version", "event", "what"),
        [(recorded.version, recorded.type, gist(recorded)) for recorded in events],
        prose=["what"],
    )


def _close(terminal: Terminal, document: dict[str, Any]) -> None:
    terminal.line()
    if not document["holds"]:
        terminal.line("The runs differ, or a promise is broken: please report this.", "bold red")
        return
    terminal.line(f"Identical, in {document['seconds']:.1f} s.", "bold green")
    store = next(iter(document["stores"]), None)
    if store is None:
        terminal.line("Next: `eventlog demo --keep DIR` keeps both logs for inspection; then")
        store = "sqlite:///DIR/crashed.db"
    else:
        terminal.line("Next:")
    for words in (
        "show checkout-rollout --history",
        "show checkout-rollout --events",
        "verify",
    ):
        terminal.line(f"  eventlog --store {store} {words}")
    terminal.line("  eventlog --store sqlite:///agent.db import chat.jsonl")
