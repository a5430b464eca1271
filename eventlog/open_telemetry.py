"""OpenTelemetry: metrics and spans of a log, through the API package alone (extra ``otel``).

Nothing here is imported before `eventlog.instrument` is called, and nothing is measured on a log that is not
instrumented. There is no span per append: with no SDK such a span costs a seventh of an append, with one
four fifths. What does more has one: a commit, an attempt at a task, a step of it. Appends are metrics.

Whoever called sets up providers and exporters; this module never does.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context, metrics, propagate, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from eventlog.engine.health import Health, health_of
from eventlog.errors import EventLogError, VersionConflict
from eventlog.redaction import redacted
from eventlog.telemetry import trace_sources
from eventlog.trace_context import TraceContext

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from eventlog.engine.engine import Engine
    from eventlog.records import Append, Appended, Metadata

__all__ = ["observe"]

SCOPE: Final = "eventlog"

DISTRIBUTION: Final = "eventlog-sessions"

CONVERSATION: Final = "gen_ai.conversation.id"
"""The session, under the name by which viewers put conversations together (semantic conventions for
generative AI, v0.1.0, in development)."""

HEALTH_SECONDS: Final = 1.0
"""How long one look at the log's health serves the gauges: they are all read together."""

_GAUGES: Final = {
    "queue_depth": ("eventlog.tasks.queued", "{task}", "Tasks that can be worked on now or later."),
    "running": ("eventlog.tasks.running", "{task}", "Tasks that are being worked on."),
    "due": ("eventlog.tasks.due", "{task}", "Tasks that wait for a worker now."),
    "oldest_due_seconds": ("eventlog.tasks.oldest_due", "s", "How long the oldest of them waits."),
    "expired_leases": ("eventlog.leases.expired", "{lease}", "Running tasks that nobody renewed."),
    "blocked_sessions": (
        "eventlog.sessions.blocked",
        "{session}",
        "Sessions whose commits wait for an archive that failed for good.",
    ),
    "wal_bytes": ("eventlog.wal.size", "By", "The size of the store's write-ahead log."),
}
"""The fields of `eventlog.Health` that are gauges: name, unit and description of each."""


def observe(
    engine: Engine, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
) -> None:
    """Measure a log from now on; see `eventlog.instrumentation.instrument`."""
    found = version(DISTRIBUTION)
    tracer = trace.get_tracer(SCOPE, found, tracer_provider)
    meter = metrics.get_meter(SCOPE, found, meter_provider)
    _observe_health(engine, meter)
    engine.observe(_Telemetry(tracer, meter))
    trace_sources[:] = [_current_trace]


def _current_trace() -> TraceContext | None:
    """Return the trace of the current span, if it is recording."""
    if not trace.get_current_span().is_recording():
        return None
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    traceparent = carrier.get("traceparent")
    return None if traceparent is None else TraceContext(traceparent, carrier.get("tracestate"))


class _Telemetry:
    """The observer of a log; see `eventlog.engine.observer.Observer`."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._append_seconds = meter.create_histogram(
            "eventlog.append.duration", "s", "How long the store took for a transaction of appends."
        )
        self._events = meter.create_counter(
            "eventlog.append.events", "{event}", "Events that were stored."
        )
        self._conflicts = meter.create_counter(
            "eventlog.append.conflicts", "{append}", "Appends that met another writer's."
        )
        self._task_seconds = meter.create_histogram(
            "eventlog.task.duration", "s", "How long an attempt at a task took."
        )
        self._lost = meter.create_counter(
            "eventlog.leases.lost", "{lease}", "Leases that another owner took over."
        )

    def appended(
        self, seconds: float, batch: Sequence[Append], answers: Sequence[Appended | EventLogError]
    ) -> None:
        self._append_seconds.record(seconds)
        conflicts = events = 0
        for append, answer in zip(batch, answers, strict=True):
            if not isinstance(answer, EventLogError):
                events += 0 if answer.replayed else len(append.records)
            elif isinstance(answer, VersionConflict):
                conflicts += 1
        if events:
            self._events.add(events)
        if conflicts:
            self._conflicts.add(conflicts)

    @contextmanager
    def commit(self, session_id: str) -> Generator[Callable[[Any], None]]:
        with self._span("commit", {CONVERSATION: session_id}) as span:

            def note(result: Any) -> None:
                span.set_attribute("eventlog.commit.status", result.status)
                if result.archive_id is not None:
                    span.set_attribute("eventlog.archive.id", result.archive_id)
                    span.set_attribute("eventlog.task.id", str(result.task_id))

            yield note

    @contextmanager
    def attempt(
        self, session_id: str, task_id: str, kind: str, number: int, cause: Metadata | None
    ) -> Generator[Callable[[str, BaseException | None], None]]:
        begun = time.perf_counter()
        attributes: dict[str, str | int] = {
            CONVERSATION: session_id,
            "messaging.operation.type": "process",
            "eventlog.task.id": task_id,
            "eventlog.task.kind": kind,
            "eventlog.task.attempt": number,
        }
        span = self._tracer.start_span(
            f"process {kind}",
            context.Context(),  # Later work is linked to what queued it, never a child of it.
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=_links(cause),
        )

        def note(outcome: str, problem: BaseException | None) -> None:
            seconds = time.perf_counter() - begun
            self._task_seconds.record(
                seconds, {"eventlog.task.kind": kind, "eventlog.task.outcome": outcome}
            )
            if outcome == "lease_lost":
                self._lost.add(1, {"eventlog.task.kind": kind})
            span.set_attribute("eventlog.task.outcome", outcome)
            if problem is not None:
                _fail(span, problem)

        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield note
        finally:
            span.end()

    @contextmanager
    def step(self, session_id: str, task_id: str, name: str) -> Generator[None]:
        attributes = {CONVERSATION: session_id, "eventlog.task.id": task_id}
        with self._span(f"step {name}", attributes):
            yield

    @contextmanager
    def _span(self, name: str, attributes: dict[str, str]) -> Generator[Span]:
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                _fail(span, error)
                raise


def _fail(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, redacted(error)))


def _links(cause: Metadata | None) -> list[Link]:
    """Return a link to the span of the command that queued a task, if it was recorded."""
    if cause is None or cause.traceparent is None:
        return []
    carrier = {"traceparent": cause.traceparent}
    if cause.tracestate is not None:
        carrier["tracestate"] = cause.tracestate
    span = trace.get_current_span(propagate.extract(carrier, context.Context()))
    found = span.get_span_context()
    return [Link(found)] if found.is_valid else []


def _observe_health(engine: Engine, meter: Meter) -> None:
    """Offer the log's health as gauges, which are read when somebody collects metrics."""
    looks = _Looks(engine)
    for field, (name, unit, description) in _GAUGES.items():
        meter.create_observable_gauge(name, [looks.gauge(field)], unit, description)


class _Looks:
    """Looks at the health of a log, once for all gauges that are collected together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.ref(engine)
        self._health: Health | None = None
        self._at = float("-inf")

    def gauge(self, field: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """Return the callback of the gauge for one field."""

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            health = self._look()
            value = None if health is None else getattr(health, field)
            return [] if value is None else [Observation(value)]

        return observe

    def _look(self) -> Health | None:
        now = time.monotonic()
        if now - self._at > HEALTH_SECONDS:
            engine = self._engine()
            try:
                self._health = (
                    None if engine is None else health_of(engine.store, engine.clock(), None)
                )
            except EventLogError:  # Closed, or not available just now.
                self._health = None
            self._at = now
        return self._health
