"""Reading chosen events: those at given versions, and those with an index key (M14, M15)."""

from __future__ import annotations

from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final

from eventlog.argument_checks import check_bounds, check_count, check_types
from eventlog.codec import keys_of
from eventlog.errors import CorruptLog, InvalidArgument
from eventlog.event_keys import checked_key
from eventlog.recorded import Recorded
from eventlog.session.index import EVENTS, EventKey, event_range, keys_under, read_event_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eventlog.engine.door import Door
    from eventlog.records import Record

__all__ = ["find_in_log", "find_in_session", "read_chosen"]

PAGE: Final = 256
"""Versions, or index entries, that are looked up together."""

GAP: Final = 16
"""Records between two chosen ones that are rather read than begun anew after."""


def read_chosen(
    store: Door,
    session: str,
    *,
    after: int,
    until: int | None,
    limit: int | None,
    reverse: bool,
    types: Sequence[str],
    versions: Iterable[int] | None,
) -> Iterator[Recorded]:
    """Yield the events of a session that are chosen; see `eventlog.Log.read`."""
    check_bounds(after, until, limit)
    check_types(types)
    if versions is None:
        records = store.read(
            session, after=after, until=until, limit=limit, reverse=reverse, types=types
        )
    else:
        if reverse:
            raise InvalidArgument(
                "versions are read in the order in which they are given: leave out reverse"
            )
        within = (each for each in _checked(versions) if after < each and _is_within(each, until))
        chosen = _at_versions(store, session, within)
        records = islice((each for each in chosen if not types or each.type in types), limit)
    for record in records:
        yield Recorded(record)


def _is_within(version: int, until: int | None) -> bool:
    return until is None or version <= until


def _checked(versions: Iterable[int]) -> Iterator[int]:
    try:
        given = iter(versions)
    except TypeError:
        raise InvalidArgument("versions must be a list of versions, or another iterable") from None
    for version in given:
        check_count("versions", version, "records", lowest=1)
        yield version


def _at_versions(store: Door, session: str, versions: Iterator[int]) -> Iterator[Record]:
    """Yield the records at versions, in the order of these; versions that there are not are left
    out."""
    while page := list(islice(versions, PAGE)):
        found: dict[int, Record] = {}
        wanted = set(page)
        for first, last in _spans(sorted(wanted)):
            for record in store.read(session, after=first - 1, until=last):
                if record.version in wanted:
                    found[record.version] = record
        yield from (found[version] for version in page if version in found)


def _spans(versions: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges to read, for ascending versions: those with small gaps are read as one."""
    first = last = versions[0]
    for version in versions[1:]:
        if version - last > GAP:
            yield first, last
            first = version
        last = version
    yield first, last


# ---- by index keys ----------------------------------------------------------------------------


def find_in_session(
    store: Door, session: str, key: str, fields: Mapping[str, Any]
) -> Iterator[Recorded]:
    """Yield the events of a session that have a key, in order; see `eventlog.Session.find`."""
    key = checked_key(key, fields)
    found = (read_event_key(entry) for entry, _ in store.scan(*event_range(key, session)))
    return _events(store, (each for each in found if (each.key, each.session) == (key, session)))


def find_in_log(store: Door, prefix: str, fields: Mapping[str, Any]) -> Iterator[Recorded]:
    """Yield the events with a key, or with one that goes on after it; see `eventlog.Log.find`."""
    prefix = checked_key(prefix, fields)
    found = (read_event_key(key) for key, _ in store.scan(*keys_under(f"{EVENTS}{prefix}/")))
    return _events(store, (each for each in found if _begins_with(each.key, prefix)))


def _begins_with(key: str, prefix: str) -> bool:
    return key == prefix or key.startswith(f"{prefix}/")


def _events(store: Door, entries: Iterator[EventKey]) -> Iterator[Recorded]:
    while page := list(islice(entries, PAGE)):
        for session, group in groupby(page, key=lambda entry: entry.session):
            wanted = list(group)
            if session is None:
                raise _damaged(wanted[0])
            versions = iter(entry.version for entry in wanted)
            records = {each.version: each for each in _at_versions(store, session, versions)}
            for entry in wanted:
                record = records.get(entry.version)
                if record is None or entry.key not in keys_of(record):
                    raise _damaged(entry)
                yield Recorded(record)


def _damaged(entry: EventKey) -> CorruptLog:
    return CorruptLog(
        f"the index has an event with the key {entry.key!r} at version {entry.version} of session "
        f"{entry.session!r}, but there is none; run `eventlog doctor --rebuild-index`"
    )
