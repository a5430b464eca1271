"""Every way by which a value from outside reaches a log, in both twins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import eventlog
from eventlog import AsyncLog, Event, Log, Message
from eventlog.stores.memory import MemoryStore

__all__ = ["CREATIONS", "WRITERS", "Sessions", "Writer"]


class Noted(Event, type="fuzz.noted"):
    """An event of a user, with fields that know their type and one that does not."""

    data: Any = None
    number: float | None = None
    names: tuple[str, ...] = ()


SESSIONS_PER_LOG: Final = 50
"""What `Log.tasks` reads grows with the log, so that one log for all would take quadratic time."""


class Sessions:
    """Sessions on a log, reached through either twin; each example gets a fresh one."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._number = 0
        self._begin_log()

    def _begin_log(self) -> None:
        self.log = Log(MemoryStore())
        self.twin = AsyncLog(self.log)

    def fresh_id(self) -> str:
        """Return the id of the next session; from time to time it belongs to another log."""
        self._number += 1
        if self._number % SESSIONS_PER_LOG == 0:
            self.log.close()
            self._begin_log()
        return f"s{self._number}"

    def prepared(self) -> str:
        """Return the id of a session with an archive, a message and a call without result."""
        session_id = self.fresh_id()
        session = self.log.session(session_id, create=True)
        session.append(Message.user("first"))
        session.commit()
        session.append(Message.user("hello", id="m0"))
        call = Message.call("look", {}, tool_id="t")
        session.append(Message.assistant("calling", tools=(call,), id="m1"))
        return session.id

    def call(self, is_twin: bool, session_id: str, method: str, *args: Any, **named: Any) -> Any:
        """Call a method of a session."""
        if not is_twin:
            return getattr(self.log.session(session_id), method)(*args, **named)

        async def do() -> Any:
            session = await self.twin.session(session_id)
            return await getattr(session, method)(*args, **named)

        return self._runner.run(do())

    def create(self, is_twin: bool, session_id: str, **named: Any) -> Any:
        """Create a session and give it a first message."""
        if not is_twin:
            return self.log.session(session_id, create=True, **named).append(Message.user("a"))

        async def do() -> Any:
            session = await self.twin.session(session_id, create=True, **named)
            return await session.append(Message.user("a"))

        return self._runner.run(do())

    def reopened(self, session_id: str) -> eventlog.Session:
        """Return the session as another process finds it: folded anew from what is stored."""
        return Log(self.log.store).session(session_id)


Write = Callable[[Callable[..., Any], Any], Any]
Read = Callable[[eventlog.Session, Any], Any]


class Writer(NamedTuple):
    """A call with a value, and how the value is read back; without that, the answer is compared."""

    write: Write
    read: Read | None = None


def _user(**fields: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [], **fields}


def _part(**fields: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [fields]}


def _tool(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "parts": [{"type": "tool", "tool_id": "c", **fields}]}


def _constructed(**fields: Any) -> Message:
    whole: dict[str, Any] = {"id": "x", "role": "user", "parts": (), "created_at": "now", **fields}
    return Message.model_construct(**whole)


def _last(session: eventlog.Session) -> Message:
    return session.tail()[-1]


def _extra(session: eventlog.Session, name: str) -> Any:
    return (_last(session).model_extra or {})[name]


def _part_of(session: eventlog.Session, name: str) -> Any:
    return getattr(_last(session).parts[0], name)


def _other_part(session: eventlog.Session, name: str) -> Any:
    return (_last(session).parts[0].model_extra or {})[name]


OUTPUT_FIELDS: Final = (
    "tool_output_ref",
    "tool_output_truncated",
    "tool_output_original_chars",
    "tool_output_preview_chars",
    "tool_output_sha256",
    "tool_output_externalized_reason",
    "tool_output_externalization_error",
)

WRITERS: Final[dict[str, Writer]] = {
    "message": Writer(lambda do, v: do("append", v)),
    "text": Writer(
        lambda do, v: do("append", _part(type="text", text=v)), lambda s, _: _last(s).text
    ),
    "role": Writer(lambda do, v: do("append", {"role": v, "parts": []})),
    "id": Writer(lambda do, v: do("append", _user(id=v)), lambda s, _: _last(s).id),
    "time": Writer(
        lambda do, v: do("append", _user(created_at=v)), lambda s, _: _last(s).created_at
    ),
    "parts": Writer(lambda do, v: do("append", {"role": "user", "parts": v})),
    "field": Writer(lambda do, v: do("append", _user(vendor=v)), lambda s, _: _extra(s, "vendor")),
    "field of a built message": Writer(
        lambda do, v: do("append", Message.user("x", vendor=v)), lambda s, _: _extra(s, "vendor")
    ),
    "field beside a text": Writer(
        lambda do, v: do("append", _part(type="text", text="x", y=v)),
        lambda s, _: _other_part(s, "y"),
    ),
    "part type": Writer(
        lambda do, v: do("append", _part(type=v)), lambda s, _: _part_of(s, "type")
    ),
    "unknown part": Writer(
        lambda do, v: do("append", _part(type="chart", data=v)),
        lambda s, _: _other_part(s, "data"),
    ),
    "image": Writer(
        lambda do, v: do("append", _part(type="image_url", image_url={"url": v})),
        lambda s, _: _part_of(s, "image_url")["url"],
    ),
    "context": Writer(
        lambda do, v: do("append", _part(type="context", uri="u", abstract=v)),
        lambda s, _: _part_of(s, "abstract"),
    ),
    "tool input": Writer(
        lambda do, v: do("append", _tool(tool_input={"a": v})),
        lambda s, _: _last(s).tools[0].tool_input["a"],  # type: ignore[index]
    ),
    "whole tool input": Writer(lambda do, v: do("append", _tool(tool_input=v))),
    **{
        name: Writer(
            lambda do, v, field=field: do("append", _tool(**{field: v})),  # type: ignore[misc]
            lambda s, _, field=field: _part_of(s, field),  # type: ignore[misc]
        )
        for name, field in (
            ("tool output", "tool_output"),
            ("tool id", "tool_id"),
            ("tool status", "tool_status"),
            ("duration", "duration_ms"),
            ("tokens of a call", "prompt_tokens"),
        )
    },
    "constructed text": Writer(lambda do, v: do("append", _constructed(parts=v))),
    "constructed id": Writer(lambda do, v: do("append", _constructed(id=v))),
    "constructed role": Writer(lambda do, v: do("append", _constructed(role=v))),
    "constructed time": Writer(lambda do, v: do("append", _constructed(created_at=v))),
    "constructed part": Writer(
        lambda do, v: do(
            "append", _constructed(parts=(eventlog.TextPart.model_construct(type="text", text=v),))
        )
    ),
    "copied": Writer(
        lambda do, v: do("append", Message.user("x").model_copy(update={"vendor": v}))
    ),
    "batch": Writer(lambda do, v: do("extend", [_user(), _user(vendor=v)])),
    "whole batch": Writer(lambda do, v: do("extend", v)),
    **{
        f"claim {name}": Writer(lambda do, v, name=name: do("append", _tool(**{name: v})))  # type: ignore[misc]
        for name in OUTPUT_FIELDS
    },
    "event": Writer(lambda do, v: do("record", Noted(data=v))),
    "constructed event": Writer(lambda do, v: do("record", Noted.model_construct(data=v))),
    "number of an event": Writer(lambda do, v: do("record", Noted.model_construct(number=v))),
    "names of an event": Writer(lambda do, v: do("record", Noted.model_construct(names=v))),
    "field of an event": Writer(lambda do, v: do("record", Noted(more=v))),  # pyright: ignore[reportCallIssue]
    "no event": Writer(lambda do, v: do("record", v)),
    "expected": Writer(lambda do, v: do("record", Noted(), expected=v)),
    "payload": Writer(lambda do, v: do("queue_task", "fuzz.do", {"a": v})),
    "whole payload": Writer(lambda do, v: do("queue_task", "fuzz.do", v)),
    "kind": Writer(lambda do, v: do("queue_task", v)),
    "message to queue": Writer(lambda do, v: do("enqueue", v)),
    "text to queue": Writer(lambda do, v: do("enqueue", _part(type="text", text=v))),
    "id to queue": Writer(lambda do, v: do("enqueue", _user(id=v))),
    "field to queue": Writer(lambda do, v: do("enqueue", _user(vendor=v))),
    "key to queue": Writer(lambda do, v: do("enqueue", _user(), idempotency_key=v)),
    "run to stop": Writer(lambda do, v: do("stop_run", v)),
    "reason of stopping": Writer(lambda do, v: do("stop_run", reason=v)),
    "contexts": Writer(lambda do, v: do("used", v)),
    "context used": Writer(lambda do, v: do("used", [v])),
    "skill": Writer(lambda do, v: do("used", (), {"a": v})),
    "whole skill": Writer(lambda do, v: do("used", (), v)),
    "result": Writer(
        lambda do, v: do("record_tool_result", "m1", "t", v),
        lambda s, _: s.tail()[1].tools[0].tool_output,
    ),
    "result's status": Writer(lambda do, v: do("record_tool_result", "m1", "t", "out", v)),
    "result's duration": Writer(
        lambda do, v: do("record_tool_result", "m1", "t", "out", duration_ms=v),
        lambda s, _: s.tail()[1].tools[0].duration_ms,
    ),
    "result's message": Writer(lambda do, v: do("record_tool_result", v, "t", "out")),
    "result's call": Writer(lambda do, v: do("record_tool_result", "m1", v, "out")),
    **{
        name: Writer(lambda do, v, name=name: do("append", _user(), **{name: v}))  # type: ignore[misc]
        for name in ("actor", "correlation_id", "causation_id", "trace", "idempotency_key")
    },
    "key of usage": Writer(lambda do, v: do("used", ["a"], idempotency_key=v)),
    "key beside a payload": Writer(
        lambda do, v: do("queue_task", "fuzz.do", {"a": v}, idempotency_key="k")
    ),
    "reason": Writer(lambda do, v: do("close", reason=v)),
    "reason of deletion": Writer(lambda do, v: do("delete", reason=v)),
    "reason of abandoning": Writer(lambda do, v: do("abandon", "archive_001", reason=v)),
    "archive": Writer(lambda do, v: do("abandon", v)),
    "archive to retry": Writer(lambda do, v: do("retry", v)),
    "project": Writer(lambda do, v: do("assign_project", v)),
    "provider": Writer(lambda do, v: do("memory_session", v)),
    "keep_recent": Writer(lambda do, v: do("commit", v)),
    "keep_turn_tokens": Writer(lambda do, v: do("commit", keep_turn_tokens=v)),
}
"""How a value is written, by what it is written as; ``do`` calls a method of the session."""

CREATIONS: Final = (
    "owner",
    "project",
    "workspace",
    "provider",
    "model",
    "failed_archives",
    "tool_output",
    "auto_commit",
)
"""What a session is created with."""
