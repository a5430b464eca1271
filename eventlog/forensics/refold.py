"""Folding again: does today's code come to what was stored, and to what other code came to?

Nothing of an application runs again: a fold reads events and nothing else.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from eventlog.engine.snapshots import read_snapshot
from eventlog.errors import InvalidArgument
from eventlog.forensics.paths import Path, differences, format_path
from eventlog.forensics.picture import META_ALONE, values_of
from eventlog.forensics.running import each_picture
from eventlog.projection import Projection, check_projection
from eventlog.recorded import Recorded
from eventlog.session.projection import SessionFold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.forensics.past import Past
    from eventlog.forensics.picture import Picture


__all__ = ["Divergence", "Footprint", "Refolded", "footprints", "read_footprints", "refold"]

Snapshot = Literal["equal", "different", "not checked", "none"]


class Divergence(NamedTuple):
    """Where two folds of the same events part."""

    version: int
    """That of the first event which they treat otherwise; of a snapshot, the version it is of."""
    event: Recorded
    path: str
    """Where in the state, as far as the states have an inside."""
    expected: Any
    found: Any


class Refolded(NamedTuple):
    """The result of folding a session again."""

    version: int
    """Up to where the session was folded."""
    snapshot: Snapshot
    """What the stored snapshot is: ``not checked`` is one that other code wrote, or a damaged one."""
    divergence: Divergence | None


def refold(
    past: Past,
    projection: Projection[Any, Any] | None = None,
    against: Projection[Any, Any] | None = None,
) -> Refolded:
    """Fold a session and compare; see `Session.refold`."""
    head = past.head
    snapshot, divergence = _against_snapshot(past, head)
    if projection is not None and against is not None:
        check_projection(projection)
        check_projection(against)
        divergence = _side_by_side(past, head, projection, against)
    elif projection is not against:
        raise InvalidArgument("give both versions of the projection, or none")
    return Refolded(head, snapshot, divergence)


def _against_snapshot(past: Past, head: int) -> tuple[Snapshot, Divergence | None]:
    fold = SessionFold(past.session)
    found, stored = read_snapshot(past.store, past.session, fold)
    if not found:
        return "none", None
    if stored is None or not 1 <= stored.version <= head:
        return "not checked", None
    record = past.record(stored.version)
    if record.hash != stored.hash:
        return "not checked", None  # Of a history that was replaced.
    state = fold.fold(fold.initial(), past.records(0, stored.version))
    if fold.dump(state) == fold.dump(stored.state):
        return "equal", None
    path, expected, now = _first_difference(_fields(stored.state), _fields(state))
    return "different", Divergence(stored.version, Recorded(record), path, expected, now)


def _fields(state: Any) -> dict[str, Any]:
    names: tuple[str, ...] = cast("Any", type(state)).__slots__
    return {name: getattr(state, name) for name in names}


def _first_difference(expected: Any, found: Any) -> tuple[str, Any, Any]:
    path: Path
    for path, left, right in differences(expected, found):
        return (format_path(path) if path else ""), left, right
    return "", expected, found


def _side_by_side(
    past: Past, until: int, own: Projection[Any, Any], other: Projection[Any, Any]
) -> Divergence | None:
    """Return the first event after which two versions of a projection show another thing."""
    mine, theirs = own.initial(), other.initial()
    for record in past.records(0, until) if until else ():
        mine = own.fold(mine, (record,))
        theirs = other.fold(theirs, (record,))
        expected, found = other.view(theirs), own.view(mine)
        if expected != found:
            path, left, right = _first_difference(expected, found)
            return Divergence(record.version, Recorded(record), path, left, right)
    return None


# ---- across versions of the code --------------------------------------------------------------


class Footprint(NamedTuple):
    """What an event did to all that is to be seen, as a digest: small enough to keep for each."""

    version: int
    digest: str


def footprints(past: Past) -> Iterator[Footprint]:
    """Yield what each event of a session does, by the code of today.

    Kept in a file and compared later, they tell at which event another version of the library, or
    of its dependencies, comes to something else.
    """
    for record, picture in each_picture(past, past.head):
        yield Footprint(record.version, _digest(picture))


def _digest(picture: Picture) -> str:
    values = values_of(picture)
    touched = {
        f"{root}[{key}]": values[root].get(key) if key else values[root]
        for root, key in sorted(picture.touched)
    }
    seen = [{root: values[root] for root in sorted(META_ALONE)}, touched]
    text = json.dumps(seen, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:32]


def read_footprints(lines: Iterable[str]) -> Iterator[Footprint]:
    """Read footprints, a JSON object per line; raise `InvalidArgument` for a line that is none."""
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line)
            footprint = Footprint(fields["version"], fields["digest"])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidArgument(f"line {number} is not a footprint ({error})") from error
        yield footprint
