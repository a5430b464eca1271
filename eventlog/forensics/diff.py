"""What changed between two versions, and the event that changed it; and who changed one value last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.errors import InvalidArgument
from eventlog.forensics.as_of import checked_version
from eventlog.forensics.moment import Moment
from eventlog.forensics.paths import Path, child, differences, format_path, parse_path
from eventlog.forensics.picture import META_ALONE, MISSING_ROOT, ROOTS, Picture, Pictures, values_of
from eventlog.forensics.running import each_picture, look_at_each
from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from eventlog.forensics.past import Past
    from eventlog.records import Record

__all__ = ["Change", "blame", "diff"]

_BY_KEY: Final = frozenset({"tail", "archives", "tasks", "turns", "runs"})


class Change(NamedTuple):
    """A path whose value changed; ``before`` or ``after`` is None where there was nothing."""

    path: str
    before: Any
    after: Any
    version: int
    """That of the event which changed it last."""
    event: Recorded


def diff(past: Past, first: int, second: int) -> tuple[Change, ...]:
    """Return what differs at ``second`` from what was at ``first``, by path.

    The version of a change is that of the last event between the two which changed that path. Where
    ``second`` is the earlier one, the values are exchanged. Raises `InvalidArgument` for a version
    that the session has not reached.
    """
    first, second = checked_version(past, first), checked_version(past, second)
    low, high = min(first, second), max(first, second)
    fold = Pictures(past.session)
    picture = fold.fold(fold.initial(), past.records(0, low) if low else ())
    before, attributed = values_of(picture.copy()), _Attribution(picture)
    for record in past.records(low, high) if high > low else ():
        picture = fold.apply(picture, Recorded(record))
        attributed.note(picture, record.version)
    after = values_of(picture)
    return tuple(
        Change(
            format_path(path),
            *((old, new) if first <= second else (new, old)),
            version := attributed.version_of(path),
            Recorded(past.record(version)),
        )
        for path, old, new in differences(before, after)
        if path != ("version",)
    )


class _Attribution:
    """By which version each path changed last, as a fold goes on."""

    def __init__(self, picture: Picture) -> None:
        self._before = values_of(picture.copy())
        self._last: dict[Path, int] = {}
        """Of each path that changed, or that something in it did."""
        self._whole: dict[Path, int] = {}
        """Of each path that came or went with all that is in it."""

    def note(self, picture: Picture, version: int) -> None:
        """Compare what the last record touched with what was there before it."""
        after = values_of(picture)
        parts: dict[Path, tuple[Any, Any]] = {
            (root,): (self._before[root], after[root]) for root in (*META_ALONE, "overview")
        }
        for root, key in picture.touched:
            if key:
                parts[root, key] = (child(self._before[root], key), child(after[root], key))
        for place, (old, new) in parts.items():
            for path, _, _ in differences(old, new, place):
                self._whole[path] = version
                for length in range(1, len(path) + 1):
                    self._last[path[:length]] = version
        self._follow(picture, after)

    def _follow(self, picture: Picture, after: Mapping[str, Any]) -> None:
        """Take over what was touched, so that the next record is compared with it."""
        before = dict(self._before)
        for root in (*META_ALONE, "overview"):
            before[root] = after[root]
        for root, key in picture.touched:
            if not key:
                continue
            if key in after[root]:
                before[root][key] = after[root][key]
            else:
                before[root].pop(key, None)
        self._before = before

    def version_of(self, path: Path) -> int:
        above = (self._whole.get(path[:length], 0) for length in range(1, len(path)))
        return max(self._last.get(path, 0), *above, 0)


def blame(past: Past, path: str, version: int | None = None) -> Change | None:
    """Return the last change of a path up to a version, by default up to now.

    None for a path that never had a value. Raises `InvalidArgument` for a path that can lead to
    nothing, and for a version that the session has not reached.
    """
    names = parse_path(path)
    if names[0] not in ROOTS:
        raise InvalidArgument(MISSING_ROOT.format(names[0], ", ".join(ROOTS)))
    until = past.head if version is None else checked_version(past, version)
    if len(names) == 1 and names[0] in _BY_KEY:
        # What is in it by key may be much, so it is looked up where it changed, and not compared.
        at = _last_touched(past, names[0], until)
        before, after = (Moment(past, max(0, each)).value(path) for each in (at - 1, at))
    else:
        at, before, after = _last_changed(past, names, until)
    if not at:
        return None
    return Change(format_path(names), before, after, at, Recorded(past.record(at)))


def _last_changed(past: Past, names: Path, until: int) -> tuple[int, Any, Any]:
    """Return the last version whose event changed what is at a path, and what it was before and
    after; 0 if none did."""
    found: tuple[int, Any, Any] = (0, None, None)

    def look(record: Record, values: Mapping[str, Any]) -> bool:
        nonlocal found
        value: Any = values
        for name in names:
            value = child(value, name)
        if value is not found[2]:
            if isinstance(value, Mapping):
                value = dict(cast("Mapping[str, Any]", value))
            if value != found[2]:
                found = (record.version, found[2], value)
        return False

    look_at_each(past, until, {names[0]}, look)
    return found


def _last_touched(past: Past, root: str, until: int) -> int:
    """Return the last version whose event changed something in a root."""
    last = 0
    for record, picture in each_picture(past, until):
        if any(touched == root for touched, _ in picture.touched):
            last = record.version
    return last
