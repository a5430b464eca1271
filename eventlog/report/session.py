"""All that a report says of one session, from one fold of its records."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final
from zlib import compress

from eventlog.errors import CorruptError
from eventlog.exchange.bundle.redacting import redacted_record
from eventlog.forensics.causes import Causes
from eventlog.forensics.picture import Picture, Pictures, Values
from eventlog.forensics.predicates import quick_predicates
from eventlog.recorded import Recorded
from eventlog.redaction import redact
from eventlog.report.contexts import contexts
from eventlog.report.drawing import drawings
from eventlog.report.film import BY_FIELD, WINDOW, Frames, Window
from eventlog.report.tables import Tables, json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.exchange.bundle.format import Redaction
    from eventlog.finding import Finding
    from eventlog.forensics.past import Past
    from eventlog.records import Record

__all__ = ["SessionReport"]

WORTH_A_LOOK: Final = frozenset({"token_jump", "first_error", "first_retry"})
"""The predicates that find what often led to something; the others find what is wrong."""

ATTEMPTS: Final = 3
"""From how many attempts on something is a loop."""

NAMED: Final = ("type", "actor")

LEVEL: Final = 3
"""Of the levels of zlib: higher ones take twice the time for 2 % less."""

CONTEXTUAL: Final = frozenset({"context_given", "turn_begun"})


class SessionReport:
    """The data of a session between two versions, as a page shows it."""

    def __init__(
        self,
        past: Past,
        *,
        after: int = 0,
        until: int | None = None,
        redaction: Redaction | None = "secrets",
        verified: Iterable[Finding] = (),
    ) -> None:
        self.after = after
        self.until = past.head if until is None else until
        self._past = past
        self._redaction: Redaction | None = redaction
        self._tables = Tables()
        self._windows: list[Window] = []
        self._causes: list[int] = []
        """For each event the version of its cause, or 0, and the place of the reason."""
        self._findings = [_verified(finding) for finding in verified]
        self._contextual: list[Recorded] = []
        self._starts: list[tuple[int, int]] = []
        past.store.shelter.read(self._fold)
        self._starts = [(0, 0), *[*self._starts, self._tables.sizes][1:]]
        self._contexts: list[dict[str, Any]] = past.store.shelter.read(
            contexts, past, self._contextual, self._tables, redaction
        )

    @property
    def is_sound(self) -> bool:
        """Whether nothing that was found is wrong."""
        return not any(finding["is_wrong"] for finding in self._findings)

    def pieces(self) -> Iterator[str]:
        """Yield the data, line by line: a head as JSON, and parts that a page unpacks when it needs them.

        The first part is the list of events. Then come, for each window and for what is left, two
        parts: the changes with the paths that they are the first to name, and such values.
        """
        head = {
            "session": self._past.session,
            "head": self.until,
            "after": self.after,
            "redaction": self._redaction,
            "findings": self._findings,
            "contexts": self._contexts,
            "machines": drawings(),
            "starts": self._starts,
        }
        tables = self._tables.parts
        yield json_text(head)
        yield _packed(json_text(self._list(tables["values"])))
        ends = [*self._starts[1:], self._tables.sizes]
        for place, (start, end) in enumerate(zip(self._starts, ends, strict=True)):
            values, paths = (
                tables[name][first:last]
                for name, first, last in zip(("values", "paths"), start, end, strict=True)
            )
            window = self._windows[place].patches() if place < len(self._windows) else {}
            changes = json_text(window)[:-1] + ("," if window else "")
            yield _packed(f'{changes}"paths":[{",".join(paths)}]}}')
            yield _packed(f"[{','.join(values)}]")

    def _list(self, values: list[str]) -> dict[str, Any]:
        """Return the list of events, with their causes, and the names of types and actors, which are values."""
        windows = [window.lines() for window in self._windows]
        named: set[int] = {place for window in windows for name in NAMED for place in window[name]}
        return {
            "windows": windows,
            "causes": self._causes,
            "names": {place: json.loads(values[place]) for place in sorted(named)},
        }

    # ---- the fold -----------------------------------------------------------------------------

    def _fold(self) -> None:
        fold = Pictures(self._past.session)
        picture = fold.initial()
        frames: Frames | None = None
        checks, causes = _Checks(), Causes()
        is_readable = True
        for record in self._records():
            recorded = self._masked(record)
            link = causes.link(recorded)
            if record.version > self.after and frames is None:
                frames = Frames(self._tables, picture)
            window = None if frames is None else self._window(frames, record.version)
            if is_readable:
                try:
                    picture = fold.apply(picture, recorded)
                    checks.look(record, recorded, picture)
                except CorruptError as error:
                    is_readable = False
                    self._findings.append(_unreadable(record.version, error))
            if window is not None and frames is not None:
                changes = frames.after(picture) if is_readable else []
                window.add(recorded, changes, picture.session.window.tokens)
                self._causes += (link.cause or 0, self._tables.value(link.text))
            if record.type in CONTEXTUAL and record.version > self.after and is_readable:
                self._contextual.append(recorded)
        self._findings += checks.findings()

    def _records(self) -> Iterator[Record]:
        """Yield the records up to the last one that the store can read."""
        if not self.until:
            return
        try:
            yield from self._past.records(0, self.until)
        except CorruptError as error:
            version = self._windows[-1].after + len(self._windows[-1]) if self._windows else 0
            self._findings.append(_unreadable(version + 1, error))

    def _masked(self, record: Record) -> Recorded:
        return Recorded(redacted_record(record, self._redaction, keeps_values=True).record)

    def _window(self, frames: Frames, version: int) -> Window:
        """Return the window that an event belongs to; a new one begins with the state before it."""
        if not self._windows or len(self._windows[-1]) == WINDOW:
            self._starts.append(self._tables.sizes)
            self._windows.append(Window(self._tables, version - 1, frames.whole()))
        return self._windows[-1]


def _packed(text: str) -> str:
    """Return a text deflated, in Base64: a browser reads a tenth of it, and unpacks it on its own."""
    return f"\n{b64encode(compress(text.encode(), LEVEL)).decode()}"


class _Checks:
    """What the shipped predicates find, each with its first place and how often; what failed for good
    and still does at the end; and what was begun again and again."""

    def __init__(self) -> None:
        self._predicates = quick_predicates(WINDOW)
        self._found: dict[str, dict[str, Any]] = {}
        self._failed: dict[str, dict[str, Any]] = {}
        self._loops: dict[str, dict[str, Any]] = {}
        self._calls: dict[str, int] = {}
        self._again: dict[str, Any] | None = None

    def look(self, record: Record, recorded: Recorded, picture: Picture) -> None:
        """Look at a record, as it is and with its secrets masked, and at the state after it."""
        if b'"tool_name"' in record.data and recorded.type == "message_appended":
            self._note_calls(record, recorded)
        for root, key in _entries_of(picture.touched):
            self._note(recorded.version, root, key, Values(picture)[root][key])
        for name, predicate in self._predicates.items():
            said = predicate(recorded, picture)
            if not said:
                continue
            if name in self._found:
                self._found[name]["count"] += 1
            else:
                found = _finding(name, recorded.version, said)
                self._found[name] = {**found, "is_wrong": name not in WORTH_A_LOOK}

    def _note(self, version: int, root: str, key: str, entry: dict[str, Any]) -> None:
        """Note what an entry says of attempts and of failure, whatever machine it goes through."""
        name = entry.get("archive_id") or f"{entry.get('kind') or ''} {key}".strip()
        if entry.get("state") == "terminal_failed":
            said = f"{name}: {entry.get('error') or 'no error given'}"
            self._failed[key] = _finding("failed for good", version, said)
        else:
            self._failed.pop(key, None)
        attempts = entry.get("attempts", entry.get("attempt"))
        if isinstance(attempts, int) and attempts >= ATTEMPTS:
            said = f"{root.removesuffix('s')} {name} was begun {attempts} times"
            first = self._loops.get(key, {"version": version})["version"]
            self._loops[key] = {**_finding("again and again", first, said), "is_wrong": False}

    def _note_calls(self, record: Record, recorded: Recorded) -> None:
        """Note calls of a turn that an earlier attempt of it made with the same input.

        What was masked is compared as it is: inputs that differ look alike then.
        """
        about = json.loads(record.metadata)
        turn, attempt = about.get("turn"), about.get("attempt")
        if not isinstance(turn, str) or not isinstance(attempt, int):
            return
        parts = json.loads(record.data)["message"]["parts"]
        shown: list[Any] = json.loads(recorded.record.data)["message"]["parts"]
        for part, masked in zip(parts, shown, strict=True):
            if not part.get("tool_name"):
                continue
            call = json.dumps([turn, part["tool_name"], part.get("tool_input")], sort_keys=True)
            first = self._calls.setdefault(call, attempt)
            if first == attempt:
                continue
            if self._again is None:
                said = (
                    f"attempt {attempt} of turn {turn} called {masked.get('tool_name')} again with"
                )
                said += f" the input of attempt {first}: what it does may have been done twice"
                found = _finding("called again", recorded.version, said)
                self._again = {**found, "is_wrong": False, "count": 0}
            self._again["count"] += 1

    def findings(self) -> list[dict[str, Any]]:
        loops = [found for key, found in self._loops.items() if key not in self._failed]
        again = [] if self._again is None else [self._again]
        found = [*self._failed.values(), *again, *self._found.values(), *loops]
        return sorted(found, key=lambda each: not each["is_wrong"])


def _entries_of(touched: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(root, key) for root, key in touched if root in BY_FIELD and root != "archives"}


def _finding(source: str, version: int | None, detail: str) -> dict[str, Any]:
    return {
        "source": source,
        "version": version,
        "detail": detail[:500],
        "count": 1,
        "is_wrong": True,
    }


def _verified(finding: Finding) -> dict[str, Any]:
    return _finding(f"verify: {finding.kind}", finding.version, redact(finding.detail))


def _unreadable(version: int, error: CorruptError) -> dict[str, Any]:
    return _finding("unreadable", version, f"no state from here on: {redact(str(error))}")
