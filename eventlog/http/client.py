"""The client of a log over HTTP; generated from `eventlog.http.async_client`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from time import sleep
from types import TracebackType
from typing import Any, Literal, Self

import httpx2
from typing_extensions import Unpack

from eventlog import (
    ANY,
    ArchivedMessages,
    ArchiveView,
    BegunMessage,
    CommitResult,
    Context,
    Health,
    InvalidArgument,
    Message,
    Recorded,
    SessionClosed,
    SessionMeta,
    SessionNotFound,
    StoredMessage,
    TaskView,
    ToolOutput,
    ToolPart,
    UnavailableError,
)
from eventlog.http import documents, wire
from eventlog.http.limits import LEASE_SECONDS
from eventlog.http.wire import By, Origin, Sent

__all__ = ["Client", "ClientSession"]


class Connection:
    """Makes requests to one server, again if need be."""

    def __init__(
        self,
        http: httpx2.Client,
        attempts: int,
        sleep: Callable[[float], None],
    ) -> None:
        self.http = http
        self.attempts = attempts
        self.sleep = sleep

    def send(self, request: Sent) -> Any:
        """Make a request, again if need be, and return the document of its answer."""
        for attempt in count(1):
            response: httpx2.Response | None = None
            error: httpx2.TransportError | None = None
            try:
                response = self.http.request(**wire.request_options(request))
            except httpx2.TransportError as raised:
                error = raised
            pause = wire.try_again_after(attempt, self.attempts, response)
            if pause is not None:
                self.sleep(pause)
            elif response is None:
                raise wire.failed(error or OSError(), request) from error
            else:
                return wire.answer_of(response)
        raise AssertionError

    def retry(self, session: str, subject: str, reason: str | None, by: By) -> str:
        """Give a task new attempts, named by its id or by its archive's."""
        request = wire.post(
            "sessions", session, "archives", subject, "retry", body={"reason": reason}, by=by
        )
        status: str = (self.send(request))["status"]
        return status

    def abandon(self, session: str, subject: str, reason: str | None, by: By) -> None:
        """Abandon a task, named by its id or by its archive's."""
        request = wire.post(
            "sessions", session, "archives", subject, "abandon", body={"reason": reason}, by=by
        )
        self.send(request)


class Client:
    """A log that is served over HTTP, with the methods of `eventlog.Log` that it offers.

    Results and errors are those of the library. A request that gets no answer, or that the server
    cannot answer now, is made up to ``attempts`` times: each command has a key or an id, so it is
    recorded once. ``timeout`` is in seconds. ``transport`` and ``sleep`` are for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = wire.TIMEOUT_SECONDS,
        attempts: int = wire.ATTEMPTS,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = sleep,
    ) -> None:
        options = wire.client_options(url, token, timeout)
        http = httpx2.Client(**options, transport=transport)
        self._connection = Connection(http, attempts, sleep)

    # ---- sessions -----------------------------------------------------------------------------

    def session(
        self,
        id: str | None = None,
        *,
        create: bool = False,
        project: str | None = None,
        workspace: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        failed_archives: Literal["block", "skip"] = "block",
    ) -> ClientSession:
        """Open a session; with ``create=True``, one that may not exist yet.

        A new session is recorded at once. Raises as `eventlog.Log.session` does; another owner's
        session is not found, and cannot be created: `ConflictError`.
        """
        if id is None and not create:
            raise InvalidArgument("give the id of the session, or create=True for a new one")
        if id is not None:
            session = self._found(id)
            if session is not None:
                if create and session.meta.status != "open":
                    raise SessionClosed(id, session.meta.status)
                return session
            if not create:
                raise SessionNotFound(id)
        body = {
            "session_id": id,
            "project": project,
            "workspace": workspace,
            "provider": provider,
            "model": model,
            "failed_archives": failed_archives,
        }
        return ClientSession(
            self._connection, self._connection.send(wire.post("sessions", body=body, by={}))
        )

    def _found(self, session_id: str) -> ClientSession | None:
        try:
            document = self._connection.send(wire.get("sessions", session_id))
        except SessionNotFound:
            return None
        return ClientSession(self._connection, document)

    def sessions(
        self,
        *,
        workspace: str | None = None,
        updated_after: str | datetime | None = None,
        newest_first: bool = False,
    ) -> Iterator[str]:
        """Yield the ids of the sessions that the token may see, or of those in a workspace."""
        after: str | None = None
        while True:
            page = self._connection.send(
                wire.get(
                    "sessions",
                    workspace=workspace,
                    updated_after=updated_after,
                    newest_first=newest_first,
                    after=after,
                )
            )
            for entry in page["sessions"]:
                yield entry["session_id"]
            after = page["next"]
            if after is None:
                return

    def latest_session(self, workspace: str) -> str | None:
        """Return the id of the session in a workspace that was written to last, or None."""
        request = wire.get("sessions", workspace=workspace, newest_first=True, limit=1)
        found = (self._connection.send(request))["sessions"]
        return found[0]["session_id"] if found else None

    def exists(self, session: str) -> bool:
        """Return whether a session has any record, even if it is closed or deleted."""
        return self._found(session) is not None

    # ---- tasks --------------------------------------------------------------------------------

    def task(self, task_id: str) -> TaskView:
        """Return a task by its id; raises `TaskNotFound`."""
        return documents.task_from(self._connection.send(wire.get("tasks", task_id)))

    def tasks(
        self,
        session: str | None = None,
        state: str | None = None,
        kind: str | None = None,
    ) -> Iterator[TaskView]:
        """Yield tasks, the oldest first, filtered by session, state and kind."""
        after: str | None = None
        while True:
            request = wire.get("tasks", session=session, state=state, kind=kind, after=after)
            page = self._connection.send(request)
            for document in page["tasks"]:
                yield documents.task_from(document)
            after = page["next"]
            if after is None:
                return

    def retry(self, task_id: str, *, reason: str | None = None, **by: Unpack[By]) -> str:
        """Give a failed task of any kind new attempts; see `eventlog.Log.retry`."""
        session = (self.task(task_id)).session_id
        return self._connection.retry(session, task_id, reason, by)

    def abandon(self, task_id: str, *, reason: str | None = None, **by: Unpack[By]) -> None:
        """Abandon an unfinished task of any kind; what waits for it goes on."""
        session = (self.task(task_id)).session_id
        self._connection.abandon(session, task_id, reason, by)

    # ---- records ------------------------------------------------------------------------------

    def read(
        self,
        session: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
    ) -> Iterator[Recorded]:
        """Yield a session's events with ``after < version <= until``, lazily."""
        left = limit
        while left is None or left > 0:
            size = 1_000 if left is None else min(left, 1_000)
            page = self._connection.send(
                wire.get("sessions", session, "events", after=after, limit=size)
            )
            for document in page["events"]:
                if until is not None and document["version"] > until:
                    return
                yield documents.recorded_from(document)
            if len(page["events"]) < size:
                return
            after, left = page["next"], None if left is None else left - size

    def follow(
        self, session: str, *, after: int = 0, types: Sequence[str] | None = None
    ) -> Iterator[Recorded]:
        """Yield the events of a session after a version, then wait for new ones until it is closed.

        A connection that is lost is made again, and goes on after the last event. Raises
        `StoreUnavailable` if the server cannot be reached again.
        """
        attempt = 0
        while True:
            attempt += 1
            lost: UnavailableError | None = None
            response: httpx2.Response | None = None
            request = wire.get(
                "sessions",
                session,
                "events",
                headers={"Accept": "text/event-stream"},
                after=after,
                types=None if types is None else ",".join(types),
            )
            options = wire.request_options(request)
            try:
                with self._connection.http.stream(
                    **options, timeout=wire.STREAM_SECONDS
                ) as response:
                    if not response.is_success:
                        response.read()
                        wire.answer_of(response)
                    if response.status_code == 204:
                        return
                    for event in httpx2.EventSource(response, wire.EVENT_BYTES):
                        recorded = wire.streamed(event)
                        if recorded is not None:
                            attempt, after = 0, recorded.version
                            yield recorded
            except UnavailableError as error:
                lost = error
            except httpx2.TransportError as error:
                lost = wire.failed(error, request)
                response = None
            if lost is None:
                continue  # It ended, because the session is closed or the server stops.
            pause = wire.try_again_after(attempt, self._connection.attempts, response)
            if pause is None:
                raise lost
            self._connection.sleep(pause)

    def health(self) -> Health:
        """Return what waits in the log, what is stuck, and since when; for an operator's token."""
        return documents.health_from(self._connection.send(wire.get("health")))

    # ---- end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections; the log stays open where it is served."""
        self._connection.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class ClientSession:
    """One conversation on a server, with the methods of `eventlog.Session` that it offers."""

    def __init__(self, connection: Connection, document: dict[str, Any]) -> None:
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

    def _get(self, *segments: str, **query: Any) -> Any:
        return self._connection.send(wire.get("sessions", self.id, *segments, **query))

    def _post(
        self,
        *segments: str,
        body: Any,
        by: By | Origin,
        expected: int | Literal["any"] = ANY,
        keyed: bool = True,
    ) -> Any:
        request = wire.post(
            "sessions", self.id, *segments, body=body, by=by, expected=expected, keyed=keyed
        )
        document = self._connection.send(request)
        self._version = wire.version_of(document, self._version)
        return document

    # ---- reading ------------------------------------------------------------------------------

    def refresh(self) -> SessionMeta:
        """Fetch the metadata, and return it."""
        document = self._get()
        self._meta = documents.meta_from(document["meta"])
        self._version = document["version"]
        return self._meta

    def tail(self, last: int | None = None) -> tuple[Message, ...]:
        """Return the live messages in order, or only the ``last`` of them."""
        document = self._get("messages", last=last)
        return tuple(documents.message_from(message) for message in document["messages"])

    def context(self, token_budget: int = 128_000) -> Context:
        """Return what a model should see: the latest overview, and the messages it does not cover."""
        return documents.context_from(self._get("context", token_budget=token_budget))

    def archive(self, archive_id: str) -> ArchivedMessages:
        """Return a completed archive's summaries and messages."""
        return documents.archived_from(self._get("archives", archive_id))

    def archives(self) -> tuple[ArchiveView, ...]:
        """Return all archives with their states, the oldest first."""
        return documents.archives_from((self._get("archives"))["archives"])

    def tool_output(
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
            self._get(
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

    def append(
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
        document = self._post("messages", body=body, by=by, expected=expected, keyed=False)
        return documents.message_from(document["message"])

    def extend(
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
        document = self._post(
            "messages", "batch", body={"messages": sent}, by=by, expected=expected, keyed=False
        )
        return tuple(documents.message_from(message) for message in document["messages"])

    def record_tool_result(
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
        self._post("messages", message_id, "results", body=body, by=by, expected=expected)

    def message(self, message_id: str) -> StoredMessage:
        """Return the newest message with an id, with its version and the results so far."""
        return documents.stored_from(self._get("messages", message_id))

    def withdraw(
        self,
        *,
        last: int | None = None,
        message_ids: Sequence[str] | None = None,
        after: int | None = None,
        expected: int | Literal["any"] = ANY,
        **by: Unpack[By],
    ) -> tuple[Message, ...]:
        """Take live messages out of the session for good, and return them."""
        ids = None if message_ids is None else list(message_ids)
        body = {"last": last, "message_ids": ids, "after": after}
        return self._withdrawn("withdraw", body, expected, by)

    def replace(
        self,
        *,
        messages: Iterable[Message | dict[str, Any]],
        message_ids: Sequence[str] | None = None,
        after: int | None = None,
        expected: int | Literal["any"] = ANY,
        **by: Unpack[By],
    ) -> tuple[Message, ...]:
        """Put messages in the place of live ones, and return those that are withdrawn."""
        ids = None if message_ids is None else list(message_ids)
        sent = wire.sent_messages(messages, None)
        body = {"messages": sent, "message_ids": ids, "after": after}
        return self._withdrawn("replace", body, expected, by)

    def clear(
        self, *, expected: int | Literal["any"] = ANY, **by: Unpack[By]
    ) -> tuple[Message, ...]:
        """Withdraw all live messages, and return them; contexts show nothing from before."""
        return self._withdrawn("clear", {}, expected, by)

    def _withdrawn(
        self, verb: str, body: Any, expected: int | Literal["any"], by: By
    ) -> tuple[Message, ...]:
        document = self._post("messages", verb, body=body, by=by, expected=expected)
        return tuple(documents.message_from(message) for message in document["withdrawn"])

    def used(
        self,
        contexts: Sequence[str] = (),
        skill: dict[str, Any] | None = None,
        **by: Unpack[By],
    ) -> None:
        """Record that contexts (URIs) and a skill were used; they belong to the next commit."""
        if isinstance(contexts, str):
            raise InvalidArgument("contexts must be a list of URIs, not a single text")
        self._post("used", body={"contexts": list(contexts), "skill": skill}, by=by)

    # ---- messages that are written while they arrive ------------------------------------------

    def begin_message(
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
        document = self._post("streams", body=body, by=by)
        return BegunMessage(document["message_id"], document["fence"], document["sequence"])

    def append_chunk(
        self,
        message_id: str,
        fence: int,
        sequence: int,
        content: str | Sequence[Mapping[str, Any] | ToolPart],
    ) -> None:
        """Append a chunk of a message that was begun: a text, or parts; and renew the lease."""
        body = {"fence": fence, "sequence": sequence, "content": wire.sent_content(content)}
        self._post("streams", message_id, "chunks", body=body, by={}, keyed=False)

    def end_message(
        self,
        message_id: str,
        fence: int,
        message: Message | dict[str, Any] | None = None,
        **by: Unpack[Origin],
    ) -> Message:
        """End a message that was begun, and return it as it was recorded."""
        given = None if message is None else wire.sent_message(message, None)
        body = {"fence": fence, "message": given}
        document = self._post("streams", message_id, "end", body=body, by=by, keyed=False)
        return documents.message_from(document["message"])

    def interrupt_message(
        self, message_id: str, fence: int, **by: Unpack[Origin]
    ) -> Message | None:
        """End a message that will not be finished; return what arrived, marked ``interrupted``."""
        body = {"fence": fence, "interrupted": True}
        document = self._post("streams", message_id, "end", body=body, by=by, keyed=False)
        found = document["message"]
        return None if found is None else documents.message_from(found)

    # ---- commits and tasks --------------------------------------------------------------------

    def commit(
        self, keep_recent: int = 0, *, keep_turn_tokens: int | None = None, **by: Unpack[By]
    ) -> CommitResult:
        """Move the live messages into a new archive, and return at once."""
        body = {"keep_recent_count": keep_recent, "keep_turn_tokens": keep_turn_tokens}
        return documents.commit_from(self._post("commit", body=body, by=by))

    def retry(self, archive_id: str, *, reason: str | None = None, **by: Unpack[By]) -> str:
        """Give a failed archive, or another failed task by its id, new attempts."""
        return self._connection.retry(self.id, archive_id, reason, by)

    def abandon(self, archive_id: str, *, reason: str | None = None, **by: Unpack[By]) -> None:
        """Abandon an unfinished archive, or another unfinished task by its id."""
        self._connection.abandon(self.id, archive_id, reason, by)

    # ---- the session itself -------------------------------------------------------------------

    def close(self, *, reason: str | None = None, **by: Unpack[By]) -> None:
        """Close the session: it takes no more messages. Its open tasks are still completed."""
        request = wire.post("sessions", self.id, by=by, method="DELETE", reason=reason)
        self._connection.send(request)

    def __repr__(self) -> str:
        return f"<ClientSession {self.id!r} at version {self.version}>"
