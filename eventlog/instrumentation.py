"""The door to OpenTelemetry, which is imported when a log is instrumented, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.aio import AsyncLog, async_engine_of
from eventlog.errors import InvalidArgument, UnsupportedStore
from eventlog.log import Log, engine_of

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["instrument"]


def instrument(
    log: Log | AsyncLog,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Measure a log from now on, through OpenTelemetry; call it once, right after opening.

    Without providers those that the application has set, or will set, are used. Spans: ``commit``,
    ``process KIND`` of a worker's attempts, with a link to what queued the task, and ``step NAME``.
    Metrics: ``eventlog.append.duration`` (seconds per transaction), ``eventlog.append.events``,
    ``eventlog.append.conflicts``, ``eventlog.task.duration`` and ``eventlog.leases.lost``, and as gauges
    what `Log.health` counts. No text of a message is in any of them.

    From the first call on, commands of this process without ``trace=`` carry the trace of the span
    that is recording, if one is.

    Raises `UnsupportedStore` without the package ``opentelemetry-api``, and `InvalidArgument` for a log
    that is instrumented already.
    """
    engine = engine_of(log) if isinstance(log, Log) else async_engine_of(log).blocking
    if engine.observer is not None:
        raise InvalidArgument("the log is instrumented already; call instrument once")
    try:
        from eventlog.open_telemetry import observe
    except ModuleNotFoundError as error:
        raise UnsupportedStore(
            f"{error.name} is not installed; pip install 'eventlog-sessions[otel]'"
        ) from error
    observe(engine, tracer_provider, meter_provider)
