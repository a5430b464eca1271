"""Session files of the OpenAI Agents SDK (``SQLiteSession``).

A table has a row per item of the Responses API, with the session's id. Where a second table says
which items each branch of a session has (``AdvancedSQLiteSession``), every branch but ``main`` is a
session beside it. Items that were encrypted are left, and said to be. A message's line is its row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.exchange.conversation import (
    Conversation,
    Entry,
    conversation,
    name_beside,
    session_id_in,
)
from eventlog.exchange.dialects import converter
from eventlog.exchange.mending import UNREAD, read_value
from eventlog.session.chat.format import Fields, is_object
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.exchange.conversation import Convert
    from eventlog.exchange.databases import Database
    from eventlog.exchange.notes import Notes

__all__ = ["read", "recognises"]

FORMAT: Final = "openai-agents"

_MESSAGES: Final = {"id", "session_id", "message_data", "created_at"}
_BRANCHES: Final = {"session_id", "message_id", "branch_id", "sequence_number"}
_MAIN: Final = "main"


def recognises(database: Database) -> bool:
    """Return whether a file has a table of sessions' items, whatever its name."""
    return _table(database, _MESSAGES) is not None


def read(database: Database, notes: Notes) -> Iterator[Conversation]:
    """Yield each session of a file, followed by its branches."""
    table = _table(database, _MESSAGES)
    if table is None:
        return
    sessions = dict.fromkeys(
        session for (session,) in database.rows(f"SELECT session_id FROM {table} ORDER BY id")
    )
    for session in sessions:
        name = session_id_in(_text(session), None, notes)
        for branch, rows in _branches(database, table, session).items():
            own = name if branch == _MAIN else name_beside(name, "branch", branch)
            fields: Fields = {} if branch == _MAIN else {"branch_of": name}
            entries = list(_entries(rows, notes))
            line = entries[0].line if entries else None
            yield conversation(
                own, entries, line or 1, notes, _convert(), format=FORMAT, fields=fields
            )


def _table(database: Database, columns: set[str]) -> str | None:
    """Return the quoted name of the first table that has these columns."""
    for name, found in database.tables.items():
        if columns <= set(found):
            return _quoted(name)
    return None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _branches(database: Database, table: str, session: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of a session by the branch that they are in."""
    rows = list(
        database.rows(
            f"SELECT id, message_data, created_at FROM {table} WHERE session_id IS ? ORDER BY id",
            session,
        )
    )
    order = _table(database, _BRANCHES)
    if order is None:
        return {_MAIN: rows}
    by_id = {row[0]: row for row in rows}
    branches: dict[str, list[tuple[Any, ...]]] = {_MAIN: []}
    query = (
        f"SELECT branch_id, message_id FROM {order} WHERE session_id IS ? ORDER BY sequence_number"
    )
    placed: set[Any] = set()
    for branch, message in database.rows(query, session):
        if message in by_id:
            branches.setdefault(_text(branch), []).append(by_id[message])
            placed.add(message)
    branches[_MAIN] += [row for row in rows if row[0] not in placed]
    return branches


def _entries(rows: list[tuple[Any, ...]], notes: Notes) -> Iterator[Entry]:
    encrypted = 0
    for row, data, time in rows:
        line = row if isinstance(row, int) else None
        value = read_value(_bytes(data), f"row {row}", line, notes)
        if is_object(value) and "__enc__" in value:
            encrypted += 1
        elif value is not UNREAD:
            yield Entry(line, {"item": value, "created_at": time})
    if encrypted:
        notes.tell("unread", None, f"{encrypted:,} items are encrypted", "left in the file")


def _bytes(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    return str(data).encode(errors="surrogateescape")


def _convert() -> Convert:
    """Return what reads the items of one session, with the time of their row."""
    inner, _ = converter()

    def convert(row: Any) -> Fields | list[Fields] | None:
        made = inner(row["item"])
        time = written_time(row["created_at"])
        if time is None or not is_object(made) or "created_at" in made:
            return made
        return {**made, "created_at": time}

    return convert
