"""Checkpoints of followers: a place in one log, which is recognised or else refused (G8).

A checkpoint is text, ``{log id}/{position}/{hash}``: the id of the log, the position of the last
record that the follower has handled, and the first half of that record's hash; id and hash are
hexadecimal digits. The id is drawn for the first checkpoint and stored as the blob ``log/id``.
Copying a log does not copy that blob, so a copy gets another id. A log that was restored from an
older copy of its file keeps its id; then its end, or the hash of the record, shows that its history
differs.

A bare position has neither id nor hash. It is taken for a position of this log, and refused if it
is beyond the log's end.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from eventlog.argument_checks import LARGEST_COUNT
from eventlog.engine.following import WAIT_SECONDS, WAITS
from eventlog.error_text import shown
from eventlog.errors import CorruptLog, InvalidArgument, VersionConflict
from eventlog.records import START, Position

if TYPE_CHECKING:
    from eventlog.records import Record
    from eventlog.store import Store

__all__ = ["checkpoint_at", "log_id", "position_after"]

ID_KEY: Final = "log/id"
HASH_DIGITS: Final = 32
"""Hexadecimal digits of a record's hash in a checkpoint: half of it."""

_FORM: Final = re.compile(rf"([0-9a-f]{{32}})/([0-9]{{1,19}})/([0-9a-f]{{{HASH_DIGITS}}}|)")
_ID: Final = re.compile(rb"[0-9a-f]{32}")


def log_id(store: Store) -> str:
    """Return the id of a log; if it has none yet, draw one and store it durably."""
    while True:
        blob = store.get_blob(ID_KEY)
        if blob is not None:
            if not _ID.fullmatch(blob.data):
                raise CorruptLog(
                    f"the id of the log, blob {ID_KEY!r}, is damaged; restore it from a backup, or "
                    "remove it: then followers must start from the beginning"
                )
            return blob.data.decode()
        try:
            store.put_blob(ID_KEY, secrets.token_hex(16).encode(), 0)
        except VersionConflict:
            continue  # Another process was faster.


def checkpoint_at(store: Store, position: Position) -> str:
    """Return the checkpoint of a follower that has handled all records up to a position."""
    record = _record_at(store, position) if position > START else None
    if position > START and record is None:
        raise InvalidArgument(
            f"there is no record at position {position}; use the position of an event that was read"
        )
    digest = "" if record is None else record.hash.hex()[:HASH_DIGITS]
    return f"{log_id(store)}/{position}/{digest}"


def position_after(store: Store, after: Position | str | None) -> Position:
    """Return the position to follow from; raise `InvalidArgument` if this log does not have it."""
    if after is None:
        return START
    if isinstance(after, str):
        return _known_again(store, after)
    if type(after) is not int or not 0 <= after <= LARGEST_COUNT:
        raise InvalidArgument(
            f"after is {shown(after)}; it must be a position of this log or a checkpoint"
        )
    _refuse_beyond_end(store, after)
    return after


def _known_again(store: Store, checkpoint: str) -> Position:
    found = _FORM.fullmatch(checkpoint)
    if found is None:
        raise InvalidArgument(
            f"{checkpoint!r:.120} is not a checkpoint; use one that log.checkpoint() returned"
        )
    own, position, digest = log_id(store), Position(int(found[2])), found[3]
    if found[1] != own:
        raise InvalidArgument(
            f"the checkpoint belongs to the log {found[1]}, but this is the log {own}; follow that "
            "log, or follow this one from the beginning"
        )
    _refuse_beyond_end(store, position)
    record = _record_at(store, position) if position > START else None
    if (digest or position > START) and (
        record is None or not record.hash.hex().startswith(digest)
    ):
        raise InvalidArgument(
            f"the record at position {position} is not the one that was followed: the log was "
            "restored from an older copy and has grown again; start from the beginning, or from an "
            "earlier checkpoint"
        )
    return position


def _record_at(store: Store, position: Position) -> Record | None:
    record = next(store.read_all(after=Position(position - 1), limit=1), None)
    return record if record is not None and record.position == position else None


def _refuse_beyond_end(store: Store, position: Position) -> None:
    """Raise `InvalidArgument` if the log ends before a position.

    A store may show a record to readers of the whole log a little later than to its writer.
    """
    end = store.tip()
    for _ in range(WAITS):
        if position <= end:
            return
        store.wait(end, WAIT_SECONDS)
        end = store.tip()
    raise InvalidArgument(
        f"the log ends at position {end}, before {position}: it was restored from an older copy, or "
        "the position belongs to another log; start from the beginning, or from log.position()"
    )
