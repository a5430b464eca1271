"""A session on a server, and its turns; `eventlog.http.clients.client_session` is generated from it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from typing_extensions import Unpack

from eventlog import (
    ANY,
    ArchivedMessages,
    ArchiveView,
    BegunMessage,
    CommitResult,
    Context,
    EventLogError,
    InvalidArgument,
    LeaseLost,
    Message,
    RecordedStep,
    SessionClosed,
    SessionMeta,
    StoredMessage,
    ToolOutput,
    ToolPart,
    TurnOpen,
    TurnView,
    step_digest,
)
from eventlog.http import documents, wire
from eventlog.http.clients.async_client_stream import AsyncClientStream
from eventlog.http.clients.async_connection import AsyncConnection
from eventlog.http.clients.background import AsyncRepeating, async_outcome, async_shielded
from eventlog.http.clients.turn_binding import StepNames, TurnTerms, bind, bound_turn, release
from eventlog.http.limits import CHUNK_BYTES, LEASE_SECONDS, WINDOW_SECONDS
from eventlog.http.wire import By, Origin
from eventlog.http.wire_errors import NotThere

__all__ = ["AsyncClientSession", "AsyncClientTurn"]


FENCED = frozenset({"messages", "used", "commit", "streams"})
"""The paths below a session whose commands can belong to a turn."""


class AsyncClientSession:
    """One conversation on a server, with the methods of `eventlog.AsyncSession` that it offers."""

    def __init__(self, connection: AsyncConnection, document: dict[str, Any]) -> None:
        self._connection = connection
        self._meta = documents.meta_from(document["meta"])
        self._version: int = document["version"]

    @property
    def id(self) -> str:
        """The session's id."""
        return self._meta.session_id

    @property
    def version(self) -> int:
        """The newest version that an answer of the server named."""
        return self._version

    @property
    def meta(self) -> SessionMeta:
        """The metadata as of the last `refresh`, without I/O."""
        return self._meta

    async def _get(self, *segments: str, **query: Any) -> Any:
        return await self._connection.send(wire.get("sessions", self.id, *segments, **query))

    async def _post(
        self,
        *segments: str,
        body: Any,
        by: By | Origin,
        expected: int | Literal["any"] = ANY,
        keyed: bool = True,
    ) -> Any:
        turn = self._turn if segments[0] in FENCED else None
        request = wire.post(
            "sessions",
            self.id,
            *segments,
            body=body,
            by=by,
            expected=expected,
            keyed=keyed,
            fence=None if turn is None else turn.fence,
        )
        document = await self._connection.send(request)
        self._version = wire.version_of(document, self._version)
        return document

    @property
    def _turn(self) -> AsyncClientTurn | None:
        """The turn that the calling code is part of, if it is part of one."""
        bound = bound_turn(self._connection, self.id)
        turn: AsyncClientTurn | None = None if bound is None else bound.turn
        return turn

    @property
    def _names(self) -> StepNames | None:
        """The names of the steps of that turn."""
        bound = bound_turn(self._connection, self.id)
        return None if bound is None else bound.names

    # ---- reading ------------------------------------------------------------------------------

    async def refresh(self) -> SessionMeta:
        """Fetch the metadata, and return it."""
        document = await self._get()
        self._meta = documents.meta_from(document["meta"])
        self._version = document["version"]
        return self._meta

    async def tail(self, last: int | None = None) -> tuple[Message, ...]:
        """Return the live messages in order, or only the ``last`` of them."""
        document = await self._get("messages", last=last)
        return tuple(documents.message_from(message) for message in document["messages"])

    async def context(self, token_budget: int = 128_000) -> Context:
        """Return what a model should see: the latest overview, and the messages it does not cover."""
        return documents.context_from(await self._get("context", token_budget=token_budget))

    async def archive(self, archive_id: str) -> ArchivedMessages:
        """Return a completed archive's summaries and messages."""
        return documents.archived_from(await self._get("archives", archive_id))

    async def archives(self) -> tuple[ArchiveView, ...]:
        """Return all archives with their states, the oldest first."""
        return documents.archives_from((await self._get("archives"))["archives"])

    async def tool_output(
        self,
        message_id: str,
        tool_id: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        occurrence: int = 0,
    ) -> ToolOutput:
        """Return up to ``limit`` characters of a tool's output, from character ``offset`` on."""
        return documents.output_from(
            await self._get(
                "messages",
                message_id,
                "outputs",
                tool_id,
                offset=offset,
                limit=limit,
                occurrence=occurrence,
            )
        )

    # ---- messages -----------------------------------------------------------------------------

    async def append(
        self,
        message: Message | dict[str, Any],
        *,
        expected: int | Literal["any"] = ANY,
        **by: Unpack[By],
    ) -> Message:
        """Append one message and return it, with its id.

        ``expected`` is the version that the session must be at; another one raises
        `VersionConflict`.
        """
        body = wire.sent_message(message, by.get("idempotency_key"))
        document = await self._post("messages", body=body, by=by, expected=expected, keyed=False)
        return documents.message_from(document["message"])

    async def extend(
        self,
        messages: Iterable[Message | dict[str, Any]],
        *,
        expected: int | Literal["any"] = ANY,
        **by: Unpack[By],
    ) -> tuple[Message, ...]:
        """Append up to 100 messages in one atomic batch; raises as `append` does."""
        sent = wire.sent_messages(messages, by.get("idempotency_key"))
        if not sent:
            return ()
        document = await self._post(
            "messages", "batch", body={"messages": sent}, by=by, expected=expected, keyed=False
        )
        return tuple(documents.message_from(message) for message in document["messages"])

    async def record_tool_result(
        self,
        message_id: str,
        tool_id: str,
        output: str,
        status: Literal["running", "completed", "error"] = "completed",
        *,
        duration_ms: float | None = None,
        occurrence: int | None = None,
        expected: int | Literal["any"] = ANY,
        **by: Unpack[By],
    ) -> None:
        """Record the result of a tool call; every later read of the call's message includes it."""
        body = {
            "tool_id": tool_id,
            "output": output,
            "status": status,
            "duration_ms": duration_ms,
            "occurrence": occurrence,
        }
        await self._post("messages", message_id, "results", body=body, by=by, expected=expected)

    async def message(self, message_id: str) -> StoredMessage:
        """Return the newest message with an id, with its version and the results so far."""
        return documents.stored_from(await self._get("messages", message_id))

    async def withdraw(
        self,
        *,
        last: int | None = None,
        message_ids: Sequence[str] | None = None,
        after: int | None = None,
        expected: int | Literal["any"] = ANY,
        **by: Unpack[By],
    ) -> tuple[Message, ...]:
        """Take live messages out of the session for good, and return them."""
        ids = wire.sent_ids(message_ids)
        body = {"last": last, "message_ids": ids, "after": after}
        return await self._withdrawn("withdraw", body, expected, by)

    async def replace(
        self,
        *,
        messages: Iterable[Message | dict[str, Any]],
        message_ids: Sequence[str] | None = None,
        after: int | None = None,
        expected: int | Literal["any"] = ANY,
        **by: Unpack[By],
    ) -> tuple[Message, ...]:
        """Put messages in the place of live ones, and return those that are withdrawn."""
        ids = wire.sent_ids(message_ids)
        sent = wire.sent_messages(messages, None)
        body = {"messages": sent, "message_ids": ids, "after": after}
        return await self._withdrawn("replace", body, expected, by)

    async def clear(
        self, *, expected: int | Literal["any"] = ANY, **by: Unpack[By]
    ) -> tuple[Message, ...]:
        """Withdraw all live messages, and return them; contexts show nothing from before."""
        return await self._withdrawn("clear", {}, expected, by)

    async def _withdrawn(
        self, verb: str, body: Any, expected: int | Literal["any"], by: By
    ) -> tuple[Message, ...]:
        # With a version, what is repeated is recognised by itself.
        document = await self._post(
            "messages", verb, body=body, by=by, expected=expected, keyed=expected == ANY
        )
        return tuple(documents.message_from(message) for message in document["withdrawn"])

    async def used(
        self,
        contexts: Sequence[str] = (),
        skill: dict[str, Any] | None = None,
        **by: Unpack[By],
    ) -> None:
        """Record that contexts (URIs) and a skill were used; they belong to the next commit."""
        if isinstance(contexts, str):
            raise InvalidArgument("contexts must be a list of URIs, not a single text")
        await self._post("used", body={"contexts": list(contexts), "skill": skill}, by=by)

    # ---- messages that are written while they arrive ------------------------------------------

    async def begin_message(
        self,
        role: Literal["system", "developer", "user", "assistant", "tool"] = "assistant",
        *,
        message_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
        **by: Unpack[By],
    ) -> BegunMessage:
        """Begin to write a message in chunks; return its id, and the fence of its producer."""
        body = {
            "role": role,
            "message_id": message_id,
            "fields": None if fields is None else dict(fields),
            "lease_seconds": lease_seconds,
        }
        document = await self._post("streams", body=body, by=by)
        return BegunMessage(document["message_id"], document["fence"], document["sequence"])

    async def append_chunk(
        self,
        message_id: str,
        fence: int,
        sequence: int,
        content: str | Sequence[Mapping[str, Any] | ToolPart],
    ) -> None:
        """Append a chunk of a message that was begun: a text, or parts; and renew the lease."""
        body = {"fence": fence, "sequence": sequence, "content": wire.sent_content(content)}
        await self._post("streams", message_id, "chunks", body=body, by={}, keyed=False)

    async def end_message(
        self,
        message_id: str,
        fence: int,
        message: Message | dict[str, Any] | None = None,
        **by: Unpack[Origin],
    ) -> Message:
        """End a message that was begun, and return it as it was recorded."""
        given = None if message is None else wire.sent_message(message, None)
        body = {"fence": fence, "message": given}
        document = await self._post("streams", message_id, "end", body=body, by=by, keyed=False)
        return documents.message_from(document["message"])

    async def interrupt_message(
        self, message_id: str, fence: int, **by: Unpack[Origin]
    ) -> Message | None:
        """End a message that will not be finished; return what arrived, marked ``interrupted``."""
        body = {"fence": fence, "interrupted": True}
        document = await self._post("streams", message_id, "end", body=body, by=by, keyed=False)
        found = document["message"]
        return None if found is None else documents.message_from(found)

    def stream(
        self,
        name: str | None = None,
        *,
        role: Literal["system", "developer", "user", "assistant", "tool"] = "assistant",
        message_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
        window_seconds: float = WINDOW_SECONDS,
        chunk_bytes: int = CHUNK_BYTES,
        **by: Unpack[Origin],
    ) -> AsyncClientStream:
        """Return a context manager in which one message is written while it arrives.

        See `eventlog.Session.stream`. In a turn, a ``name`` makes the message a step.
        """
        turn = self._turn
        return AsyncClientStream(
            self if turn is None else turn,
            turn,
            self._names,
            name=name,
            role=role,
            message_id=message_id,
            fields=fields,
            lease_seconds=lease_seconds,
            window_seconds=window_seconds,
            chunk_bytes=chunk_bytes,
            by=by,
        )

    # ---- runs ---------------------------------------------------------------------------------

    async def enqueue(self, message: Message | dict[str, Any], **by: Unpack[By]) -> str:
        """Queue a message for a run, which a supervisor executes; return the run's id."""
        body = wire.sent_message(message, by.get("idempotency_key"))
        document = await self._post("inbound", body=body, by=by, keyed=False)
        run_id: str = document["run_id"]
        return run_id

    async def stop_run(
        self, run_id: str | None = None, *, reason: str | None = None, **by: Unpack[Origin]
    ) -> str | None:
        """Cancel a run, by default the one that is executed; return its id. None if there is none."""
        body = {"run_id": run_id, "reason": reason}
        document = await self._post("stop", body=body, by=by, keyed=False)
        stopped: str | None = document["run_id"]
        return stopped

    # ---- turns --------------------------------------------------------------------------------

    def turn(
        self,
        turn_id: str,
        *,
        resume: bool = False,
        wait_seconds: float = 0.0,
        lease_seconds: float = 60.0,
        stale_seconds: float = 600.0,
        on_error: Literal["keep", "withdraw"] = "keep",
    ) -> AsyncClientTurn:
        """Return a turn to enter: one unit of an agent's work, with an id of the application's.

        See `eventlog.Session.turn`. The client renews the lease in the background for as long as the
        block runs.
        """
        terms = TurnTerms(resume, wait_seconds, lease_seconds, stale_seconds, on_error)
        return AsyncClientTurn(self._connection, self._as_document(), turn_id, terms, {})

    async def begin_turn(
        self,
        turn_id: str,
        *,
        resume: bool = False,
        wait_seconds: float = 0.0,
        lease_seconds: float = 60.0,
        stale_seconds: float = 600.0,
        on_error: Literal["keep", "withdraw"] = "keep",
        **by: Unpack[By],
    ) -> AsyncClientTurn:
        """Begin a turn without a block, and return it; see `eventlog.Session.begin_turn`."""
        terms = TurnTerms(resume, wait_seconds, lease_seconds, stale_seconds, on_error)
        begun = await _begin(self._connection, self.id, turn_id, terms, by)
        return AsyncClientTurn(self._connection, self._as_document(), turn_id, terms, begun)

    async def held_turn(self, fence: int) -> AsyncClientTurn:
        """Return the turn that began at a version, its ``fence``, to go on with it."""
        page = await self._get("events", after=max(fence - 1, 0), limit=1)
        events: list[dict[str, Any]] = page["events"] if fence > 0 else []
        if not events or events[0]["type"] != "turn_begun":
            raise InvalidArgument(
                f"session {self.id!r} has no beginning of a turn at version {fence}; give the "
                "fence that begin_turn returned"
            )
        data: dict[str, Any] = events[0]["data"]
        begun = {"fence": fence, "attempt": data["attempt"], "done": False}
        return AsyncClientTurn(
            self._connection, self._as_document(), data["turn"], TurnTerms(), begun
        )

    async def turns(self, turn_id: str | None = None) -> tuple[TurnView, ...]:
        """Return the session's turns: how each ended, and the open one; or the one with an id."""
        if turn_id is not None:
            try:
                return (documents.turn_from(await self._get("turns", turn_id)),)
            except NotThere:
                return ()
        found: list[TurnView] = []
        after: str | None = None
        while True:
            page = await self._get("turns", after=after)
            found += [documents.turn_from(document) for document in page["turns"]]
            after = page["next"]
            if after is None:
                return tuple(found)

    def _as_document(self) -> dict[str, Any]:
        return {"meta": self._meta._asdict(), "version": self._version}

    # ---- commits and tasks --------------------------------------------------------------------

    async def commit(
        self, keep_recent: int = 0, *, keep_turn_tokens: int | None = None, **by: Unpack[By]
    ) -> CommitResult:
        """Move the live messages into a new archive, and return at once."""
        body = {"keep_recent_count": keep_recent, "keep_turn_tokens": keep_turn_tokens}
        return documents.commit_from(await self._post("commit", body=body, by=by))

    async def retry(self, archive_id: str, *, reason: str | None = None, **by: Unpack[By]) -> str:
        """Give a failed archive, or another failed task by its id, new attempts."""
        return await self._connection.retry(self.id, archive_id, reason, by)

    async def abandon(
        self, archive_id: str, *, reason: str | None = None, **by: Unpack[By]
    ) -> None:
        """Abandon an unfinished archive, or another unfinished task by its id."""
        await self._connection.abandon(self.id, archive_id, reason, by)

    # ---- the session itself -------------------------------------------------------------------

    async def close(self, *, reason: str | None = None, **by: Unpack[By]) -> None:
        """Close the session: it takes no more messages. Its open tasks are still completed."""
        request = wire.post("sessions", self.id, by=by, method="DELETE", reason=reason)
        await self._connection.send(request)

    def __repr__(self) -> str:
        return f"<AsyncClientSession {self.id!r} at version {self.version}>"


async def _begin(
    connection: AsyncConnection, session_id: str, turn_id: str, terms: TurnTerms, by: By
) -> dict[str, Any]:
    """Begin a turn, once no other is open; return what the server answered.

    The server waits for a while, and is then asked again.
    """
    inside = bound_turn(connection, session_id) is not None
    left = 0.0 if inside else terms.wait_seconds
    while True:
        wait = min(left, wire.WAIT_SECONDS)
        request = wire.post(
            "sessions",
            session_id,
            "turns",
            turn_id,
            body={**terms._asdict(), "wait_seconds": wait},
            by=by,
            method="PUT",
        )
        try:
            begun: dict[str, Any] = await connection.send(request)
        except TurnOpen:
            left -= wait
            if left <= 0:
                raise
        else:
            return begun


class AsyncClientTurn(AsyncClientSession):
    """An attempt at a turn: the session, with commands that belong to the turn and carry its fence.

    It has the methods of `eventlog.AsyncTurn`. Once the turn has ended, or another attempt owns it,
    its commands raise `LeaseLost`.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        document: dict[str, Any],
        turn_id: str,
        terms: TurnTerms,
        begun: dict[str, Any],
    ) -> None:
        super().__init__(connection, document)
        self._turn_id = turn_id
        self._terms = terms
        self._own_names = StepNames()
        self._renewing: AsyncRepeating | None = None
        self._take(begun)

    @property
    def _turn(self) -> AsyncClientTurn | None:
        return self

    @property
    def _names(self) -> StepNames | None:
        return self._own_names

    @property
    def turn_id(self) -> str:
        """The turn's id."""
        return self._turn_id

    @property
    def attempt(self) -> int:
        """Which attempt at the turn this is, from 1."""
        attempt: int = self._begun.get("attempt", 0)
        return attempt

    @property
    def fence(self) -> int:
        """The version at which the attempt began, by which others go on with it; 0 before that."""
        fence: int | None = self._begun.get("fence")
        return fence or 0

    @property
    def lease_until(self) -> str:
        """The end of the lease as this handle knows it, ISO 8601; empty if there is none."""
        until: str | None = self._begun.get("lease_until")
        return until or ""

    @property
    def done(self) -> bool:
        """Whether the turn had been completed before, so that there is nothing to do."""
        return bool(self._begun.get("done"))

    @property
    def result(self) -> Any:
        """The result with which the turn was completed; None before."""
        return self._begun.get("result")

    # ---- beginning and end --------------------------------------------------------------------

    def _take(self, begun: dict[str, Any]) -> None:
        """Take in what the beginning answered."""
        self._begun = begun
        self._has_ended = self.done
        self._version = wire.version_of(begun, self._version)

    async def __aenter__(self) -> Self:
        if self._begun:
            raise InvalidArgument(
                f"turn {self._turn_id!r} has begun; use the handle, and end it by end() or fail()"
            )
        self._take(await _begin(self._connection, self.id, self._turn_id, self._terms, {}))
        if not self.done:
            self._renewing = AsyncRepeating(self._terms.lease_seconds / 3, self._renewed)
            self._renewing.begin()
            bind(self._connection, self.id, self, self._own_names)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        release(self)
        if self._has_ended:
            return
        if error is None:
            try:
                await self.end()
            except (LeaseLost, SessionClosed):
                self._stop()
                if (await self.refresh()).status == "open":
                    raise
            return
        try:
            await async_shielded(self.fail, error, cancelled=isinstance(error, wire.CANCELLATIONS))
        except EventLogError as failure:
            self._stop()
            logging.getLogger("eventlog").warning("turn_not_ended error=%s", failure)

    async def _renewed(self) -> None:
        if not self._has_ended:
            await self.renew(self._terms.lease_seconds)

    async def renew(self, lease_seconds: float = 60.0) -> str:
        """Renew the lease; return its new end, ISO 8601. In a block the client does so itself."""
        body = {"lease_seconds": lease_seconds}
        document = await self._command("POST", "renew", body=body, by={})
        self._begun["lease_until"] = document["lease_until"]
        return self.lease_until

    async def end(self, result: Any = None, **by: Unpack[Origin]) -> None:
        """Complete the turn with a result, which is JSON; leaving the block does so with None."""
        body = {"how": "completed", "result": result}
        await self._command("POST", "end", body=body, by=by)
        self._begun["result"] = wire.as_json(result)
        self._stop()

    async def fail(
        self, error: BaseException | str, *, cancelled: bool = False, **by: Unpack[Origin]
    ) -> None:
        """End the turn ``failed``, or ``cancelled``; leaving the block by an exception does so."""
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        body = {"how": "cancelled" if cancelled else "failed", "error": text}
        await self._command("POST", "end", body=body, by=by)
        self._stop()

    def _stop(self) -> None:
        """Renew the lease no more."""
        self._has_ended = True
        if self._renewing is not None:
            self._renewing.end()

    async def _command(
        self, method: str, *segments: str, body: Any, by: Origin, **query: Any
    ) -> Any:
        """Send a command of the turn, which has an id of its own."""
        request = wire.post(
            "sessions",
            self.id,
            "turns",
            self._turn_id,
            *segments,
            body=body,
            by=by,
            keyed=False,
            method=method,
            fence=self.fence,
            **query,
        )
        document = await self._connection.send(request)
        self._version = wire.version_of(document, self._version)
        return document

    # ---- steps --------------------------------------------------------------------------------

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: object,
        messages: Iterable[Message | dict[str, Any]]
        | Callable[[Any], Iterable[Message | dict[str, Any]]] = (),
        **kwargs: object,
    ) -> Any:
        """Run a function once, and record its output and ``messages`` together; return the output.

        See `eventlog.Turn.step`.
        """
        with self._own_names.named(name):
            digest = step_digest(*args, **kwargs)
            found = await self.resume_step(name, digest)
            if found is not None:
                return found.output
            made = await async_outcome(function(*args, **kwargs))
            said = messages(made) if callable(messages) else messages
            return await self.record_step(name, made, digest=digest, messages=said)

    async def _found_step(self, method: str, name: str, by: Origin, **said: Any) -> Any:
        try:
            document = await self._command(method, "steps", name, by=by, **said)
        except NotThere:
            return None
        return documents.step_from(document)

    async def recorded_step(self, name: str, digest: str = "") -> RecordedStep | None:
        """Return a finished step of this attempt or, with ``resume``, of an earlier one; or None."""
        found: RecordedStep | None = await self._found_step(
            "GET", name, {}, body=None, digest=digest
        )
        return found

    async def resume_step(
        self, name: str, digest: str = "", **by: Unpack[Origin]
    ) -> RecordedStep | None:
        """Return a finished step as `recorded_step` does, and append its messages again."""
        found: RecordedStep | None = await self._found_step(
            "PUT", name, by, body={"digest": digest}
        )
        return found

    async def record_step(
        self,
        name: str,
        output: Any,
        *,
        digest: str = "",
        messages: Iterable[Message | dict[str, Any]] = (),
        **by: Unpack[Origin],
    ) -> Any:
        """Record a step that was done, with its messages; return its output as it is stored."""
        sent = wire.sent_messages(messages, None)
        body = {"digest": digest, "output": output, "messages": sent}
        document = await self._command("PUT", "steps", name, body=body, by=by)
        return document["output"]

    async def end_message(  # pyright: ignore[reportIncompatibleMethodOverride] - it takes more
        self,
        message_id: str,
        fence: int,
        message: Message | dict[str, Any] | None = None,
        *,
        step: str | None = None,
        digest: str = "",
        **by: Unpack[Origin],
    ) -> Message:
        """End a message that was begun in the turn; with ``step`` it is the step of that name."""
        given = None if message is None else wire.sent_message(message, None)
        body = {"fence": fence, "message": given, "step": step, "digest": digest}
        document = await self._post("streams", message_id, "end", body=body, by=by, keyed=False)
        return documents.message_from(document["message"])

    def __repr__(self) -> str:
        return f"<AsyncClientTurn {self.turn_id!r} of session {self.id!r}, attempt {self.attempt}>"
