"""Verbs of the rooms above the engine, each imported when it is first called.

Who only appends never pays for them. The faces have a thread of the log call them
(`eventlog.engine.shelter`), so that the import is sheltered as well: one that a signal handler ends
may keep Python's lock on the module, and every other thread that needs it then waits for ever.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from eventlog.argument_checks import check_callable
from eventlog.engine.queries import known_task

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from eventlog.adoption.commands import Adoption
    from eventlog.engine.core import Core
    from eventlog.engine.door import Door
    from eventlog.engine.engine import Engine
    from eventlog.engine.streams.reading import StreamView
    from eventlog.engine.turns import TurnRun
    from eventlog.exchange.backup import Backup, BackupReport
    from eventlog.exchange.bundle.format import Redaction
    from eventlog.exchange.bundle.writing import BundleReport
    from eventlog.forensics.bisect import Found
    from eventlog.forensics.causes import Cause
    from eventlog.forensics.diff import Change
    from eventlog.forensics.fork import Edit
    from eventlog.forensics.moment import Moment
    from eventlog.forensics.past import Past
    from eventlog.forensics.refold import Refolded
    from eventlog.projection import Projection
    from eventlog.recorded import Recorded
    from eventlog.records import Metadata, Position
    from eventlog.session.attachment import FolderReport, FolderView
    from eventlog.session.messages import Message
    from eventlog.session.runs.commands import EnqueueMessage, StopRun
    from eventlog.session.runs.machine import RunState
    from eventlog.session.runs.view import RunView
    from eventlog.session.streams.commands import AppendChunk, BeginMessage, EndMessage
    from eventlog.session.streams.interrupting import InterruptMessage
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.store import Finding, Store

__all__ = [
    "abandon",
    "adopt",
    "append_chunk",
    "at",
    "attach",
    "backup",
    "begin_message",
    "bisect",
    "blame",
    "bundle",
    "detach",
    "diff",
    "end_message",
    "enqueue",
    "fork",
    "heal",
    "held_turn",
    "interrupt_message",
    "materialize",
    "past",
    "reattach",
    "refold",
    "resume",
    "retry",
    "runs",
    "stop_run",
    "streams",
    "timeline",
    "turn",
    "verify",
    "view",
    "why",
]

Path: TypeAlias = "str | os.PathLike[str]"


def adopt(*args: Any, **options: Any) -> Adoption:
    """Adopt a foreign folder; see `eventlog.Log.adopt`."""
    # Loaded by name, as stores are: the log knows no projection.
    adopted: Adoption = import_module("eventlog.adoption.adopting").adopt(*args, **options)
    return adopted


def attach(engine: Engine, core: Core, path: Path, mode: int | None) -> FolderView:
    """Attach a folder; see `eventlog.Session.attach_folder`."""
    from eventlog.folder import attaching

    return attaching.attach(engine, core, path, mode=mode)


def reattach(engine: Engine, core: Core) -> None:
    """Take an attached folder over, if no other process owns it."""
    from eventlog.folder import attaching

    attaching.reattach(engine, core)


def detach(engine: Engine, core: Core) -> None:
    """Detach the folder; see `eventlog.Session.detach_folder`."""
    from eventlog.folder import attaching

    attaching.detach(engine, core)


def view(core: Core) -> FolderView | None:
    """Return how the attached folder is; None if there is none."""
    if core.state.folder is None:
        return None
    from eventlog.folder import attaching

    return attaching.view(core)


def materialize(engine: Engine, core: Core, path: Path) -> FolderReport:
    """Write a folder once; see `eventlog.Session.materialize`."""
    from eventlog.folder import attaching

    return attaching.materialize(engine, core, path)


def heal(engine: Engine, core: Core, path: Path, check: bool) -> FolderReport:
    """Rewrite a folder, or check it; see `eventlog.Session.heal`."""
    from eventlog.folder import attaching

    return attaching.heal(engine, core, path, check=check)


def verify(store: Store, session_id: str) -> list[Finding]:
    """Return what is wrong with a session; see `eventlog.Log.verify`."""
    from eventlog.audit.verify import verify_stream

    return verify_stream(store, session_id)


def retry(engine: Engine, task_id: str, reason: str | None, by: Metadata | None) -> RetryStatus:
    """Give a failed task new attempts; see `eventlog.Log.retry`."""
    from eventlog.session.tasks.commands import RetryTask

    command = RetryTask(task_id=task_id, reason=reason)
    core = engine.core(known_task(engine.store, task_id).session_id)
    status: RetryStatus = engine.execute(core, command, by)
    return status


def abandon(engine: Engine, task_id: str, reason: str | None, by: Metadata | None) -> None:
    """Abandon an unfinished task; see `eventlog.Log.abandon`."""
    from eventlog.session.tasks.commands import AbandonTask

    command = AbandonTask(task_id=task_id, reason=reason)
    engine.execute(engine.core(known_task(engine.store, task_id).session_id), command, by)


def bundle(
    store: Store, sessions: Sequence[str], path: Path, redact: Redaction | None, replace: bool
) -> BundleReport:
    """Write sessions into one file; see `eventlog.Log.bundle`."""
    from eventlog.exchange.bundle.saving import write_bundle

    return write_bundle(store, sessions, path, redact, replace=replace)


def backup(
    engine: Engine, path: Path, advance: Callable[[int, int], object] | None
) -> BackupReport:
    """Back the log up; see `eventlog.Log.backup`. The only one that shelters itself."""
    if advance is not None:
        check_callable("advance", advance)
    making = engine.shelter.read(_backup, engine.store, path, advance)
    return engine.shelter.run(making.run, making.give_up)


def _backup(store: Door, path: Path, advance: Callable[[int, int], object] | None) -> Backup:
    from eventlog.exchange.backup import Backup

    return Backup(store, path, *(() if advance is None else (advance,)))


def turn(engine: Engine, core: Core, terms: tuple[Any, ...]) -> TurnRun:
    """Return a turn that is not begun yet; see `eventlog.Session.turn`."""
    from eventlog.engine.turns import TurnRun, turn_terms

    return TurnRun(engine, core, turn_terms(*terms))


def held_turn(engine: Engine, core: Core, fence: int) -> TurnRun:
    """Return a turn that has begun; see `eventlog.Session.held_turn`."""
    from eventlog.engine.held_turns import held_run

    return held_run(engine, core, fence)


def enqueue(
    engine: Engine, core: Core, message: Message | dict[str, Any], key: str | None
) -> EnqueueMessage:
    """Return the command that queues a message; see `eventlog.Session.enqueue`."""
    from eventlog.engine.runs import enqueue_command

    return enqueue_command(core, engine, message, key)


def stop_run(engine: Engine, core: Core, run_id: str | None, reason: str | None) -> StopRun:
    """Return the command that asks a run to stop; see `eventlog.Session.stop_run`."""
    from eventlog.engine.runs import stop_command

    return stop_command(engine, core, run_id, reason)


def runs(store: Store, session: str | None, state: RunState | None) -> Iterator[RunView]:
    """Return the runs of a log or of a session; see `eventlog.Log.runs`."""
    from eventlog.engine.runs import list_runs

    return list_runs(store, session, state)


def resume(engine: Engine, path: Path) -> Core:
    """Bring a saved session back; see `eventlog.Log.resume`."""
    from eventlog.exchange.bundle.saved import resume_bundle

    engine.store.refuse_if_shut()
    return engine.opened_core(resume_bundle(path, engine.store), None, None)


# ---- looking back -----------------------------------------------------------------------------


def past(engine: Engine, core: Core) -> Past:
    """Return the past of a session, which the verbs below look at."""
    from eventlog.forensics.past import Past

    return Past(engine.store, core, engine.estimate_tokens)


def at(
    past: Past, version: int | None, time: str | datetime | None, position: Position | str | None
) -> Moment:
    """Return the session as it was; see `eventlog.Session.at`."""
    from eventlog.forensics.as_of import moment_at

    return moment_at(past, version, time, position)


def diff(past: Past, first: int, second: int) -> tuple[Change, ...]:
    """Return what is different between versions; see `eventlog.Session.diff`."""
    from eventlog.forensics import diff

    return diff.diff(past, first, second)


def blame(past: Past, path: str, version: int | None) -> Change | None:
    """Return the last change of a path; see `eventlog.Session.blame`."""
    from eventlog.forensics import diff

    return diff.blame(past, path, version)


def bisect(past: Past, predicate: str | Callable[[Moment], object]) -> Found | None:
    """Return the first event after which a predicate holds; see `eventlog.Session.bisect`."""
    from eventlog.forensics import bisect

    return bisect.bisect(past, predicate)


def timeline(
    past: Past,
    types: Sequence[str] | None,
    actor: str | None,
    since: str | datetime | None,
    until: str | datetime | None,
    text: str | None,
) -> tuple[Recorded, ...]:
    """Return the events that filters admit; see `eventlog.Session.timeline`."""
    from eventlog.forensics import timeline

    wanted = timeline.filters(types, actor, since, until, text)
    return tuple(timeline.timeline(past, wanted))


def why(past: Past, version: int, tree: bool) -> tuple[Cause, ...]:
    """Return an event and what led to it; see `eventlog.Session.why`."""
    from eventlog.forensics import causes

    return causes.why(past, version, tree=tree)


def fork(
    engine: Engine,
    past: Past,
    into: str,
    version: int | None,
    edit: Edit | None,
    by: Metadata | None,
) -> Core:
    """Make a new session of a past; see `eventlog.Session.fork`."""
    from eventlog.forensics import fork

    return fork.fork(engine, past, into, version, edit, by)


def refold(
    past: Past, projection: Projection[Any, Any] | None, against: Projection[Any, Any] | None
) -> Refolded:
    """Fold a session again and compare; see `eventlog.Session.refold`."""
    from eventlog.forensics import refold

    return refold.refold(past, projection, against)


def begin_message(engine: Engine, core: Core, *args: Any) -> BeginMessage:
    """Build the command that begins a message; see `eventlog.Session.begin_message`."""
    from eventlog.engine.streams import arguments as stream_arguments

    return stream_arguments.begin(engine, core, *args)


def append_chunk(engine: Engine, core: Core, *args: Any) -> AppendChunk:
    """Build the command that appends a chunk; see `eventlog.Session.append_chunk`."""
    from eventlog.engine.streams import arguments as stream_arguments

    return stream_arguments.chunk(engine, core, *args)


def end_message(engine: Engine, core: Core, *args: Any) -> EndMessage:
    """Build the command that ends a message; see `eventlog.Session.end_message`."""
    from eventlog.engine.streams import arguments as stream_arguments

    return stream_arguments.end(engine, core, *args)


def interrupt_message(engine: Engine, message_id: str, fence: int) -> InterruptMessage:
    """Build the command that interrupts a message; see `eventlog.Session.interrupt_message`."""
    from eventlog.engine.streams import arguments as stream_arguments

    return stream_arguments.interrupt(engine, message_id, fence)


def streams(core: Core) -> tuple[StreamView, ...]:
    """Return the messages that are being written."""
    from eventlog.engine.streams.reading import read_streams

    return read_streams(core)
