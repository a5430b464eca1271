"""A picture at a version without folding every message before it: for looking in the middle of much.

The newest live messages are read where the state says that they are; archives, tasks and turns are
what the index says of that version. What is left out is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from eventlog.forensics.picture import Picture, show_entries, take_message
from eventlog.recorded import Recorded
from eventlog.session.index import (
    TASKS,
    archive_prefix,
    keys_under,
    read_archive,
    read_run,
    read_task,
    read_turn,
    run_prefix,
    turn_prefix,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.forensics.past import Past
    from eventlog.session.runs.state import Run
    from eventlog.session.tasks.events import ArchiveFinalized
    from eventlog.session.turns.state import Turn

__all__ = ["NearPicture", "near_picture"]

_OF_MESSAGES = ("message_appended", "tool_result_recorded", "messages_withdrawn")


class NearPicture(NamedTuple):
    """A picture of the newest messages and archives, which folds on like any other."""

    picture: Picture
    left_out: dict[str, int]
    """How many older entries of each root are not in it, if any."""


def near_picture(past: Past, version: int, messages: int, archives: int) -> NearPicture:
    """Return the picture at a version with at most so many live messages and archives, the newest."""
    state = past.state(version)
    picture = Picture(state.copy())
    _take_messages(past, picture, version, messages)
    left_out = {"tail": state.window.count - len(picture.tail)}
    turns, runs = _take_index(past, picture, version)
    numbers = sorted(picture.known_archives)
    shown = numbers[-archives:] if archives else []
    for number in shown:
        finalized = picture.known_archives[number].finalized
        if finalized is not None:
            event = cast("ArchiveFinalized", Recorded(past.record(finalized)).event)
            picture.summaries[number] = event.overview, event.abstract
    if state.overview is not None:
        latest = Recorded(past.record(state.overview.version)).event
        picture.overview = cast("ArchiveFinalized", latest).overview
    show_entries(picture, shown, turns, runs)
    left_out["archives"] = len(numbers) - len(shown)
    return NearPicture(picture, {root: count for root, count in left_out.items() if count})


def _take_messages(past: Past, picture: Picture, version: int, limit: int) -> None:
    """Read the newest live messages with their results, as they came."""
    live = picture.session.window.ranges(version)
    versions: list[int] = []
    for first, last in reversed(live):
        found = past.store.read(
            past.session, after=first - 1, until=last, reverse=True, types=("message_appended",)
        )
        for record in found:
            if len(versions) == limit:
                break
            if record.type == "message_appended":
                versions.append(record.version)
    if not versions:
        return
    wanted = set(versions)
    records = past.store.read(
        past.session, after=versions[-1] - 1, until=version, types=_OF_MESSAGES
    )
    for record in records:
        if record.type == "message_appended" and record.version not in wanted:
            continue
        if record.type in _OF_MESSAGES:
            take_message(picture, Recorded(record))
    picture.touched = set()


def _take_index(past: Past, picture: Picture, version: int) -> tuple[list[Turn], list[Run]]:
    """Take over the tasks and archives, and return the turns that ended, and the runs."""
    session = past.session
    turns: list[Turn] = []
    runs: list[Run] = []
    for key, value in _entries(past, version):
        if key.startswith(TASKS):
            task = read_task(value)
            if task.session_id == session:
                picture.known_tasks[task.task_id] = task
        elif key.startswith(archive_prefix(session)):
            archive = read_archive(value)
            picture.known_archives[archive.index] = archive
        elif key.startswith(turn_prefix(session)):
            turns.append(read_turn(value))
        elif key.startswith(run_prefix(session)):
            runs.append(read_run(value))
    return turns, runs


def _entries(past: Past, version: int) -> Iterator[tuple[str, bytes]]:
    """Return the index entries of a version: the store's own at the end, and nothing is folded."""
    store, session = past.store, past.session
    if version != past.head:
        yield from past.entries(version)
        return
    of_session = (archive_prefix(session), turn_prefix(session), run_prefix(session))
    for prefix in (TASKS, *of_session):
        yield from store.scan(*keys_under(prefix))
