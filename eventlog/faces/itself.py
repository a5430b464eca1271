"""The session itself: its creation, its end, its settings, and an application's own events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.engine import arguments, queries
from eventlog.faces.base import Base
from eventlog.recorded import Recorded
from eventlog.records import ANY, Expected
from eventlog.session.commands import CreateSession
from eventlog.session.messages import Message

if TYPE_CHECKING:
    from eventlog.event_values import Value
    from eventlog.events import Event
    from eventlog.session.events import FailedArchives
    from eventlog.trace_context import TraceContext

__all__ = ["OwnVerbs"]


class OwnVerbs(Base):
    """The session itself: its creation, its end, its settings, and an application's own events."""

    def ensure_created(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Record the creation of a new session at once, not with its first write; return whether
        this call created it.

        An existing session stays as it is, also if it is closed. Raises `OwnerMismatch` if another
        owner has created the session since it was opened here.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        created: bool = self._do(CreateSession(self._core.creation), by)
        return created

    def record(
        self,
        *events: Event | Message | dict[str, Any],
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Recorded, ...]:
        """Record events of an application's own types, in one atomic append.

        Messages may be among them, as `append` takes them: they are recorded in the same append, at
        their place. So whoever reads sees all of it or nothing. The bytes of a `Value` in an event
        are stored before. Repeating the call records events again, unless it has an
        ``idempotency_key``.

        ``expected`` is the version that the session must be at; another one raises
        `VersionConflict`. Raises `IllegalTransition` for an event of one of the library's own
        types, `InvalidMessage`, and `DuplicateEvent` if another message has the id of one of these.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        recorded: tuple[Recorded, ...] = self._do(
            arguments.events(
                self._core, self._engine.estimate_tokens, events, idempotency_key, self._fence
            ),
            by,
            arguments.expected_version(expected),
        )
        return recorded

    def value(self, value: Value | str) -> bytes:
        """Return the bytes that an event of the session names by a `Value`, or by its SHA-256.

        Raises `CorruptLog` if they are missing or damaged.
        """
        return self._engine.shelter.read(queries.read_value, self._core, value)

    def assign_project(
        self,
        project: str,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Set the project of a session that has none; return whether it was set."""
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        done: bool = self._do(arguments.project(project), by)
        return done

    def set_failed_archives(
        self,
        policy: FailedArchives,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Have commits wait for archives that failed for good (``block``), or go on (``skip``).

        Under ``skip`` the messages of a failed archive stay in contexts until a later overview
        covers them. Returns whether the policy was another one before.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        done: bool = self._do(arguments.failed_archives(policy), by)
        return done

    def memory_session(
        self,
        provider: str,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> str:
        """Return the session's id at a provider that has no sessions of its own.

        The first call records ``{provider}-{session id}-{seconds}``; later calls return the same
        id.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        memory_session_id: str = self._do(arguments.memory_session(provider), by)
        return memory_session_id

    def close(
        self,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Close the session: it takes no more messages. Its open tasks are still completed."""
        self._do(
            arguments.closing(reason, self._engine.estimate_tokens),
            arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key),
        )

    def delete(
        self,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Close the session for good, and abandon its open tasks.

        The records stay in the log. Raises `SessionClosed` if it was deleted before.
        """
        self._do(
            arguments.deletion(reason, self._engine.estimate_tokens),
            arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key),
        )
