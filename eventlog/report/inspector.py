"""What a server says to the page that shows a whole store: small pieces, each made when it is asked for.

Nothing here is an operation of the API: it is what the page of the same version needs. Every answer
is bounded, however long a session is.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from eventlog import __version__
from eventlog.engine.listings import Selection, list_sessions
from eventlog.errors import CorruptError, InvalidArgument, OwnerMismatch, SessionNotFound
from eventlog.forensics.as_of import checked_version
from eventlog.forensics.causes import why
from eventlog.forensics.diff import blame
from eventlog.forensics.near_picture import near_picture
from eventlog.forensics.paths import Path, format_path
from eventlog.forensics.picture import Pictures
from eventlog.forensics.timeline import filters
from eventlog.log import engine_of
from eventlog.recorded import Recorded
from eventlog.report.document import pages
from eventlog.report.drawing import drawings
from eventlog.report.film import WINDOW, Frames, Window
from eventlog.report.tables import Tables, json_text, shortened
from eventlog.session.index import OWNERS, TASKS, keys_under, owner_and_session, session_of_entry
from eventlog.session_face import past_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventlog.engine.door import Door
    from eventlog.forensics.past import Past
    from eventlog.log import Log

__all__ = ["Inspector"]

SESSIONS: Final = 200
"""Sessions of one page of the list."""

SCANNED: Final = 20_000
"""Sessions that one request for a page of the list looks at."""

MESSAGES: Final = 200
"""Live messages of a state: the newest."""

ARCHIVES: Final = 100

FOUND: Final = 2_000
"""Events that a search returns: the first ones."""

CAUSES: Final = 12
"""Causes that are shown of an event."""

_RUNNING: Final = b'"state":"running"'

OPEN: Final = 64
"""Sessions whose past is kept, with what was folded of it."""


class Inspector:
    """The pages of a log for a browser. Thread-safe; only reads.

    ``actions`` says whether the page has buttons for what changes a session. What a request may
    change is decided by the API alone.
    """

    def __init__(self, log: Log, *, actions: bool = False) -> None:
        self._log = log
        self._page = "".join(
            pages(
                "Sessions",
                (),
                {"mode": "server", "version": __version__, "actions": actions},
                connects=True,
            )
        ).encode()
        self._pasts: OrderedDict[tuple[str | None, str], Past] = OrderedDict()
        self._lock = Lock()

    @property
    def page(self) -> bytes:
        """The page itself, which has no data of any session."""
        return self._page

    def data(self, path: str, query: Mapping[str, str], owner: str | None) -> bytes | None:
        """Return the JSON that a path under ``inspector/`` names; None for one that there is not.

        With ``owner``, other owners' sessions do not exist. Raises `SessionNotFound`, and
        `InvalidArgument` for a query that cannot be.
        """
        names = path.split("/")
        if names == ["sessions"]:
            return self._sessions(query, owner)
        if len(names) != 3 or names[0] != "sessions" or names[2] not in _ANSWERS:
            return None
        past = self._past(unquote(names[1]), owner)
        answer = _ANSWERS[names[2]]
        return past.store.shelter.read(answer, past, _Query(query))

    def _past(self, session_id: str, owner: str | None) -> Past:
        with self._lock:
            known = self._pasts.get((owner, session_id))
            if known is not None:
                self._pasts.move_to_end((owner, session_id))
                return known
        try:
            session = self._log.session(session_id, owner=owner, follow_folder=False)
        except OwnerMismatch:
            raise SessionNotFound(session_id) from None
        past = past_of(session)
        with self._lock:
            self._pasts[owner, session_id] = past
            if len(self._pasts) > OPEN:
                self._pasts.popitem(last=False)
        return past

    def _sessions(self, query: Mapping[str, str], owner: str | None) -> bytes:
        """Return a page of the list: what the index and the heads say, the newest first."""
        wanted = _Query(query)
        only = owner if owner is not None else query.get("owner") or None
        text, state = query.get("text", "").casefold(), query.get("state", "")
        store = engine_of(self._log).store
        running = store.shelter.read(_running, store)
        lines = store.shelter.read(
            lambda: list(islice(list_sessions(store, Selection(only, None, None, True)), SCANNED))
        )
        rows: list[dict[str, Any]] = [
            {**line._asdict(), "running": line.session_id in running}
            for line in lines
            if text in line.session_id.casefold()
        ]
        rows = [row for row in rows if _is_in_state(row, state)]
        start = wanted.number("skip")
        shown = rows[start : start + SESSIONS]
        owners = store.shelter.read(_owners, store, shown) if only is None else {}
        for row in shown:
            row["owner"] = owners.get(str(row["session_id"]), only)
        return _json({"sessions": shown, "count": len(rows)})


def _owners(store: Door, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the owners of some sessions, from the index of owners."""
    wanted = {row["session_id"] for row in rows}
    found = (owner_and_session(key) for key, _ in store.scan(*keys_under(OWNERS)))
    return {session: owner for owner, session in found if session in wanted}


def _running(store: Door) -> set[str]:
    """Return the sessions with a task that a worker has; a damaged entry names none."""
    entries = store.scan(*keys_under(TASKS))
    found = (session_of_entry(*each) for each in entries if _RUNNING in each[1])
    return {session for session in islice(found, SCANNED) if session is not None}


def _is_in_state(row: Mapping[str, Any], state: str) -> bool:
    return state in ("", row["status"]) or bool(state in ("blocked", "running") and row[state])


_NAMES: Final = TypeAdapter(list[str])


class _Query:
    """The query of a request; what is missing has a default."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query

    def text(self, name: str) -> str | None:
        return self._query.get(name) or None

    def number(self, name: str, default: int = 0) -> int:
        text = self._query.get(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise InvalidArgument(f"{name} must be a number, such as 17")
        return int(text)

    def names(self, name: str) -> list[str]:
        try:
            return _NAMES.validate_json(self._query.get(name, "[]"))
        except ValidationError:
            raise InvalidArgument(f"{name} must be a JSON list of names") from None


def _json(document: Any) -> bytes:
    return json_text(document).encode()


# ---- one session ------------------------------------------------------------------------------


def _session(past: Past, query: _Query) -> bytes:
    """Return what the page knows of a session before it asks for more."""
    head = past.head
    first = past.record(1).time if head else 0
    return _json({"session": past.session, "head": head, "begun": first, "machines": drawings()})


def _lines(past: Past, query: _Query) -> bytes:
    """Return a line about each of some events, without what they changed."""
    tables = Tables()
    window = Window(tables, checked_version(past, query.number("after")), [])
    for record in islice(past.records(window.after), WINDOW):
        window.add(Recorded(record), [], 0)
    return _whole(tables, window.document())


def _window(past: Past, query: _Query) -> bytes:
    """Return some events with what each changed, and the state before them."""
    after = checked_version(past, query.number("after"))
    near = near_picture(past, after, MESSAGES, ARCHIVES)
    picture, tables, fold = near.picture, Tables(), Pictures(past.session)
    frames = Frames(tables, picture)
    window = Window(tables, after, frames.whole())
    for record in islice(past.records(after), WINDOW):
        recorded = Recorded(record)
        try:
            picture = fold.apply(picture, recorded)
            changes = frames.after(picture)
        except CorruptError:
            changes = []
        window.add(recorded, changes, picture.session.window.tokens)
    return _whole(tables, {**window.document(), "left_out": near.left_out})


def _state(past: Past, query: _Query) -> bytes:
    """Return the state at one version."""
    version = checked_version(past, query.number("version", past.head))
    near = near_picture(past, version, MESSAGES, ARCHIVES)
    tables = Tables()
    whole = Frames(tables, near.picture).whole()
    return _whole(tables, {"after": version, "whole": whole, "left_out": near.left_out})


def _whole(tables: Tables, document: Mapping[str, Any]) -> bytes:
    texts = {name: ",".join(entries) for name, entries in tables.parts.items()}
    inner = ",".join(f'"{name}":[{text}]' for name, text in texts.items())
    return f"{json_text(document)[:-1]},{inner}}}".encode()


def _blame(past: Past, query: _Query) -> bytes:
    """Return the last event that changed what is at a path, up to a version."""
    path: Path = tuple(query.names("path"))
    version = query.number("version", past.head)
    change = blame(past, format_path(path), version) if path else None
    if change is None:
        return _json(None)
    return _json(
        {
            "version": change.version,
            "before": shortened(change.before),
            "after": shortened(change.after),
        }
    )


def _found(past: Past, query: _Query) -> bytes:
    """Return the versions of the first events that a filter admits."""
    types = query.text("type")
    wanted = filters(
        None if types is None else [types], query.text("actor"), text=query.text("text")
    )
    admitted = (record.version for record in past.records() if wanted.admit(record))
    versions = list(islice(admitted, FOUND))
    return _json({"versions": versions, "is_whole": len(versions) < FOUND})


def _why(past: Past, query: _Query) -> bytes:
    """Return what led to an event, the nearest cause first."""
    found = why(past, query.number("version", past.head))
    steps = [
        {"version": cause.version, "type": cause.event.type, "reason": shortened(cause.reason)}
        for cause in found[1 : CAUSES + 1]
    ]
    outside = found[-1].outside
    if outside is not None and len(steps) < CAUSES:
        reason = f"event {outside}, which is not here"
        steps.append({"version": 0, "type": "", "reason": shortened(reason)})
    return _json(steps)


_ANSWERS: Final[dict[str, Callable[[Any, Any], bytes]]] = {
    "about": _session,
    "lines": _lines,
    "window": _window,
    "state": _state,
    "blame": _blame,
    "found": _found,
    "why": _why,
}
