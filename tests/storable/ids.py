"""Ids of every kind, drawn: what looks like a path, an escape or another id, joined emoji, and what no id is."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from eventlog import Log, Session
from eventlog.errors import InvalidError

__all__ = ["KINDS", "Kind", "ids", "kinds", "session_ids", "spellings", "used"]

FAMILY: Final = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
"""One emoji, of three that are joined."""

_PIECES: Final = [
    *(
        "a",
        "b",
        "/",
        "..",
        "../",
        ".",
        "\\",
        "\\s",
        "%",
        "%2F",
        "-",
        ":",
        "*",
        "~",
        '"',
        "'",
        "<b>",
    ),
    *(FAMILY, "\u200d", "\u00e9", "e\u0301", "\u1e9b\u0323", "\u4f1a", "\u202e", "\ufeff", " "),
    *("\0", "\n", "\x1f", "\x7f", "\x85", "\u2028", "\ud800"),
]
"""A composed letter and its parts, marks of direction and order, controls, half a surrogate pair."""

_LONG: Final = ["x" * 500, "/" * 500, "\u4f1a" * 166, FAMILY * 27, "e\u0301" * 166, "x" * 600]
"""About 500 bytes each, and one that is longer than any id may be."""


def ids() -> st.SearchStrategy[str]:
    """Draw what somebody might take for an id."""
    pieces = st.lists(st.sampled_from(_PIECES), max_size=4).map("".join)
    return st.one_of(pieces, pieces, pieces, st.sampled_from(_LONG), st.text(max_size=8))


def session_ids() -> st.SearchStrategy[str]:
    """Draw what can be the id of a session."""
    return ids().filter(_can_be_a_session)


def _can_be_a_session(text: str) -> bool:
    is_text = all(unicodedata.category(each) not in ("Cc", "Cs") for each in text)
    return is_text and 0 < len(text.encode()) <= 200


def spellings(id_: str) -> list[str]:
    """Return an id as it is, composed and decomposed: different ids, which look the same."""
    forms = (id_, unicodedata.normalize("NFC", id_), unicodedata.normalize("NFD", id_))
    return list(dict.fromkeys(forms))


class Kind(NamedTuple):
    """A kind of id: how one is used in a session, and whether reading finds that very id."""

    name: str
    use: Callable[[Session, str], object]
    is_there: Callable[[Log, Session, str], bool]
    is_in_folders: bool = False


def _beside(id_: str) -> str:
    """Return a plain id that belongs to another one alone."""
    return hashlib.sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _text(id_: str) -> dict[str, Any]:
    return {"id": id_, "role": "user", "parts": [{"type": "text", "text": f"of {_beside(id_)}"}]}


def _has_message(log: Log, session: Session, id_: str) -> bool:
    found = session.message(id_).message
    return (found.id, found.text) == (id_, f"of {_beside(id_)}")


def _call(session: Session, id_: str) -> None:
    part = {"type": "tool", "tool_id": id_, "tool_name": "look", "tool_status": "pending"}
    message = f"c-{_beside(id_)}"
    session.append({"id": message, "role": "assistant", "parts": [part]})
    session.record_tool_result(message, id_, f"of {_beside(id_)}")


def _has_call(log: Log, session: Session, id_: str) -> bool:
    message = f"c-{_beside(id_)}"
    output = session.tool_output(message, id_).text
    (call,) = session.message(message).message.tools
    return (call.tool_id, call.tool_status, output) == (id_, "completed", f"of {_beside(id_)}")


def _stream(session: Session, id_: str) -> None:
    with session.stream(message_id=id_, background=False) as out:
        assert out.id == id_
        out.write(f"of {_beside(id_)}")


def _turn(session: Session, id_: str) -> None:
    with session.turn(id_) as turn:
        turn.end(_beside(id_))


def _has_turn(log: Log, session: Session, id_: str) -> bool:
    found = [(turn.turn_id, turn.state, turn.result) for turn in session.turns(id_)]
    listed = [turn.turn_id for turn in session.turns()]
    return found == [(id_, "completed", _beside(id_))] and id_ in listed


def _step(session: Session, id_: str) -> None:
    with session.turn(f"t-{_beside(id_)}") as turn:
        turn.step(id_, str, "done")


def _has_step(log: Log, session: Session, id_: str) -> bool:
    (turn,) = session.turns(f"t-{_beside(id_)}")
    return id_ in turn.steps


def _named_stream(session: Session, id_: str) -> None:
    with session.turn(f"n-{_beside(id_)}") as turn, turn.stream(id_, background=False) as out:
        out.write("done")


def _has_named_stream(log: Log, session: Session, id_: str) -> bool:
    (turn,) = session.turns(f"n-{_beside(id_)}")
    return id_ in turn.steps


def _queue(session: Session, id_: str) -> None:
    session.enqueue(_text(id_))


def _is_queued(log: Log, session: Session, id_: str) -> bool:
    return id_ in [run.message_id for run in log.runs(session.id)]


KINDS: Final = [
    Kind("message", lambda session, id_: session.append(_text(id_)), _has_message, True),
    Kind("streamed message", _stream, _has_message, True),
    Kind("call", _call, _has_call, True),
    Kind("turn", _turn, _has_turn),
    Kind("step", _step, _has_step),
    Kind("named stream", _named_stream, _has_named_stream),
    Kind("queued message", _queue, _is_queued),
]


def kinds() -> st.SearchStrategy[Kind]:
    return st.sampled_from(KINDS)


def used(session: Session, kind: Kind, id_: str) -> bool:
    """Use an id; return whether it was taken. A refusal is typed, and says what to do."""
    try:
        kind.use(session, id_)
    except InvalidError as refusal:
        assert len(str(refusal)) > 20, refusal
        assert str(refusal).isprintable(), refusal
        return False
    return True
