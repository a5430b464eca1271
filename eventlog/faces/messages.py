"""Recording messages, results and usage, and taking messages back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from eventlog.engine import arguments, queries
from eventlog.faces.base import Base
from eventlog.records import ANY, Expected
from eventlog.session.commands import ABANDONED
from eventlog.session.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventlog.trace_context import TraceContext

__all__ = ["MessageVerbs"]


class MessageVerbs(Base):
    """Recording messages, results and usage, and taking messages back."""

    def append(
        self,
        message: Message | dict[str, Any],
        *,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Message:
        """Append one message and return it, with its id.

        The message's id is its idempotency key: appending the same message again changes nothing
        and returns the stored one. A dictionary in the chat format, ``{"role": …, "content": …}``,
        is accepted too. A tool output that is too large for its message is stored beside the log;
        the returned message, and every later reading of it, has a preview in its place.

        With ``expected``, a version of the session, the message is appended only if no other
        message, result, withdrawal or commit came after that version; otherwise `VersionConflict`
        is raised. The same call again is still a repetition, as everywhere.

        Raises `InvalidMessage`, `SessionClosed`, `DuplicateEvent` if another message has this id,
        and `MessageWithdrawn` if the message was withdrawn.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        request = arguments.append_one(
            self._core,
            self._engine.estimate_tokens,
            message,
            idempotency_key,
            by,
            expected,
            self._fence,
        )
        appended: Message = self._engine.append_one(request)
        return appended

    def extend(
        self,
        messages: Iterable[Message | dict[str, Any]],
        *,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Append messages in one atomic batch, all validated first; raises as `append` does."""
        command = arguments.append(
            self._core, self._engine.estimate_tokens, messages, idempotency_key, self._fence
        )
        if not command.messages:
            return ()
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        appended: tuple[Message, ...] = self._do(command, by, arguments.expected_version(expected))
        return appended

    def record_tool_result(
        self,
        message_id: str,
        tool_id: str,
        output: str,
        status: Literal["running", "completed", "error"] = "completed",
        *,
        duration_ms: float | None = None,
        occurrence: int | None = None,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Record the result of a tool call; every later read of the call's message includes it.

        Message, call and status together are the idempotency key: the same output again changes
        nothing, another one raises `DuplicateEvent`. If the message has several calls with one id,
        ``occurrence`` picks one, counted from 0; without it the first open call is answered, and an
        output that one of them already has counts as a repetition. An ``idempotency_key`` is
        recorded, but decides nothing. ``expected`` is as in `append`. Raises `InvalidMessage` if the
        session has no such message or call, `MessageWithdrawn` if the message was withdrawn, and
        `SessionClosed`.
        """
        command = arguments.tool_result(
            self._core,
            self._engine.estimate_tokens,
            message_id,
            tool_id,
            output,
            status,
            duration_ms,
            occurrence,
        )
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        self._do(command, by, arguments.expected_version(expected))

    def abandon_call(
        self,
        message_id: str,
        tool_id: str,
        *,
        occurrence: int | None = None,
        reason: str = ABANDONED,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Close a live call that will get no answer; return whether it was open.

        Its result has the status ``error``, the output ``reason`` and the field ``abandoned``, so
        that its round can be archived and the next request to a model is valid. A result that
        arrives later replaces it. ``occurrence`` is as in `record_tool_result`. Raises
        `InvalidMessage` for a call that no message made.
        """
        command = arguments.abandoned_call(
            self._engine.estimate_tokens, message_id, tool_id, reason, occurrence
        )
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        was_open: bool = self._do(command, by, arguments.expected_version(expected))
        return was_open

    def withdraw(
        self,
        *,
        last: int | None = None,
        message_ids: Sequence[str] | None = None,
        after: int | None = None,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Take live messages out of the session for good, and return them.

        Exactly one of the three says which: the newest ``last``, those with ``message_ids``, or all
        ``after`` a version. What is withdrawn is in no tail, context, archive or folder any more;
        `history` has it with ``withdrawn=True``. Results go with the messages of their calls; a call
        whose result is in a withdrawn message awaits one again. ``expected`` is as in `append`; with
        it, or with an ``idempotency_key``, the same call again changes nothing.

        Raises `InvalidMessage` for an id that is not live, saying where it is, and where a result
        would stay without its call.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(
            arguments.withdrawal, last, message_ids, after, expected
        )
        version: int = self._do(command, by, arguments.expected_version(expected))
        return self._engine.shelter.read(queries.read_withdrawn, self._core, version)

    def replace(
        self,
        *,
        messages: Iterable[Message | dict[str, Any]],
        message_ids: Sequence[str] | None = None,
        after: int | None = None,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Put messages in the place of live ones, and return those that are withdrawn.

        Either ``message_ids`` says which, or ``after`` a version, which means all behind it. As many
        messages as there were ids are put in one by one; otherwise all at the place of the first. The
        live messages behind that place keep their order: they are recorded once more, with the
        results so far. The ids of replaced messages may be used again. Otherwise as `withdraw`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(
            arguments.replacement,
            self._core,
            self._engine.estimate_tokens,
            messages,
            message_ids,
            after,
            expected,
        )
        version: int = self._do(command, by, arguments.expected_version(expected))
        return self._engine.shelter.read(queries.read_withdrawn, self._core, version)

    def clear(
        self,
        *,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Withdraw all live messages, and return them; contexts show nothing from before.

        Archives and their tasks stay, and can be read; neither contexts nor the summaries of later
        archives see anything of them. A folder does not say so: a session that is adopted from one shows
        the newest overview again. Otherwise as `withdraw`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(arguments.clearing, expected)
        version: int = self._do(command, by, arguments.expected_version(expected))
        return self._engine.shelter.read(queries.read_withdrawn, self._core, version)

    def used(
        self,
        contexts: Sequence[str] = (),
        skill: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Record that contexts (URIs) and a skill were used; they belong to the next commit."""
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        self._do(arguments.usage(contexts, skill), by)
