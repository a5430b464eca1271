"""OpenTelemetry: what is measured, with the SDK, and that nothing is where it is not asked for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import eventlog
from eventlog import (
    Finalizer,
    InvalidArgument,
    Log,
    Message,
    RetryPolicy,
    Summary,
    SummaryRequest,
    TaskRequest,
    Worker,
)
from eventlog import telemetry as logging_of_facts
from eventlog.testing.clock import FakeClock


class Measured:
    """A tracer and a meter that keep what they get."""

    def __init__(self) -> None:
        self.tracers = TracerProvider()
        self._spans = InMemorySpanExporter()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._metrics = InMemoryMetricReader()
        self.meters = MeterProvider([self._metrics])

    def instrument(self, log: Any) -> None:
        eventlog.instrument(log, tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def metrics(self) -> dict[str, Any]:
        """Return the points of each metric by name."""
        data = self._metrics.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def measured() -> Iterator[Measured]:
    found = Measured()
    yield found
    logging_of_facts.trace_sources.clear()
    found.meters.shutdown()


@pytest.fixture
def log(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    monkeypatch.chdir(tmp_path)
    with eventlog.open("sqlite:///log.db", clock=clock) as opened:
        yield opened


def summarize(request: SummaryRequest) -> Summary:
    return Summary(overview="# done", abstract="done")


def refuse(request: SummaryRequest) -> Summary:
    raise eventlog.NonRetryableError("prompt is too long, key sk-abcdefghijklmnopqrstuvwxyz123456")


def committed(log: Log, name: str = "s") -> None:
    session = log.session(name, create=True)
    session.append(Message.user("hello"))
    session.commit()


# ---- spans ------------------------------------------------------------------------------------


def test_a_commit_and_its_finalisation_are_spans_and_an_append_is_none(
    log: Log, measured: Measured
) -> None:
    measured.instrument(log)
    committed(log)
    Worker(log, Finalizer(summarize)).run_once()

    assert [span.name for span in measured.spans] == ["commit", "step summary", "process finalise"]
    for span in measured.spans:
        assert (span.attributes or {})["gen_ai.conversation.id"] == "s"
    commit = dict(measured.named("commit").attributes or {})
    assert commit["eventlog.archive.id"] == "archive_001"
    process = measured.named("process finalise")
    attributes = dict(process.attributes or {})
    assert attributes["eventlog.task.id"] == commit["eventlog.task.id"]
    assert attributes["eventlog.task.outcome"] == "completed"
    assert process.kind is SpanKind.CONSUMER
    step = measured.named("step summary")
    assert step.parent is not None
    assert process.context is not None
    assert step.parent.span_id == process.context.span_id


def test_later_work_is_linked_to_what_queued_it_and_is_no_child_of_it(
    log: Log, measured: Measured
) -> None:
    measured.instrument(log)
    tracer = measured.tracers.get_tracer("app")
    with tracer.start_as_current_span("request") as request:
        committed(log)
    with tracer.start_as_current_span("worker"):
        Worker(log, Finalizer(summarize)).run_once()

    process = measured.named("process finalise")
    (link,) = process.links
    assert link.context.trace_id == request.get_span_context().trace_id
    commit = measured.named("commit")
    assert commit.parent is not None
    assert link.context.span_id == commit.parent.span_id
    assert process.parent is None
    assert process.context is not None
    assert process.context.trace_id != link.context.trace_id
    (prepared,) = [each for each in log.read("s") if each.type == "commit_prepared"]
    assert f"{link.context.trace_id:032x}" in str(prepared.metadata.traceparent)


def test_a_trace_that_is_given_goes_before_the_current_one(log: Log, measured: Measured) -> None:
    measured.instrument(log)
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    session = log.session("s", create=True)
    with measured.tracers.get_tracer("app").start_as_current_span("request"):
        session.append(Message.user("hello"), trace=given)
    session.append(Message.user("outside"))

    _, first, second = log.read("s")
    assert first.metadata.traceparent == given
    assert second.metadata.traceparent is None


def test_a_failed_attempt_says_why_without_secrets(log: Log, measured: Measured) -> None:
    measured.instrument(log)
    committed(log)
    Worker(log, Finalizer(refuse)).run_once()

    process = measured.named("process finalise")
    assert process.status.status_code is StatusCode.ERROR
    assert "prompt is too long" in str(process.status.description)
    assert "sk-abc" not in str(process.to_json())
    assert (process.attributes or {})["error.type"] == "NonRetryableError"
    assert (process.attributes or {})["eventlog.task.outcome"] == "failed"


def test_steps_of_callables_are_spans_that_run_once(log: Log, measured: Measured) -> None:
    measured.instrument(log)
    attempts: list[int] = []

    async def index(request: TaskRequest) -> str:
        found = await request.step("fetch", lambda: "page")
        attempts.append(request.attempt)
        if request.attempt == 1:
            raise eventlog.RetryableError("busy")
        return str(found)

    log.session("s", create=True).queue_task("acme.index", {})
    worker = Worker(
        log,
        Finalizer(kinds={"acme.index": index}),
        retry=RetryPolicy(attempts=3, base_seconds=0.0, cap_seconds=0.0),
    )
    worker.run_once()

    assert attempts == [1, 2]
    assert [span.name for span in measured.spans] == [
        "step fetch",
        "process acme.index",
        "process acme.index",
    ]


def test_no_text_of_a_message_is_in_a_span_or_metric(log: Log, measured: Measured) -> None:
    measured.instrument(log)
    session = log.session("s", create=True)
    session.append(Message.user("a secret of the user"))
    session.commit()
    Worker(log, Finalizer()).run_once()

    told = "".join(span.to_json() for span in measured.spans) + str(measured.metrics())
    assert "a secret of the user" not in told


def test_the_asynchronous_face_is_measured_as_well(tmp_path: Path, measured: Measured) -> None:
    async def run() -> None:
        async with eventlog.open_async(f"sqlite:///{tmp_path}/log.db") as log:
            measured.instrument(log)
            session = await log.session("s", create=True)
            await session.append(Message.user("hello"))
            await session.commit()

    asyncio.run(run())

    assert [span.name for span in measured.spans] == ["commit"]
    assert measured.metrics()["eventlog.append.events"][0].value >= 4


# ---- metrics ----------------------------------------------------------------------------------


def test_appends_are_metrics(log: Log, measured: Measured) -> None:
    measured.instrument(log)
    session = log.session("s", create=True)
    for number in range(5):
        session.append(Message.user(str(number), id=f"m-{number}"))
    session.append(Message.user("4", id="m-4"))  # A repetition stores nothing.

    metrics = measured.metrics()

    assert metrics["eventlog.append.events"][0].value == 6
    assert metrics["eventlog.append.duration"][0].count >= 5
    assert "eventlog.append.conflicts" not in metrics


def test_what_waits_and_what_is_stuck_are_gauges(
    log: Log, measured: Measured, clock: FakeClock
) -> None:
    measured.instrument(log)
    for name in ("a", "b", "c"):
        committed(log, name)
    clock.advance(30)

    metrics = {name: points[0] for name, points in measured.metrics().items()}

    assert metrics["eventlog.tasks.due"].value == 3
    assert metrics["eventlog.tasks.oldest_due"].value == 30.0
    assert metrics["eventlog.sessions.blocked"].value == 0
    assert metrics["eventlog.wal.size"].value > 0


def test_the_gauges_of_a_closed_log_are_silent(log: Log, measured: Measured) -> None:
    measured.instrument(log)
    log.close()

    assert "eventlog.tasks.due" not in measured.metrics()


def test_attempts_are_counted_by_their_outcome(log: Log, measured: Measured) -> None:
    measured.instrument(log)
    committed(log, "a")
    Worker(log, Finalizer(summarize)).run_once()
    committed(log, "b")
    Worker(log, Finalizer(refuse)).run_once()

    points = measured.metrics()["eventlog.task.duration"]

    outcomes = {point.attributes["eventlog.task.outcome"]: point.count for point in points}
    assert outcomes == {"completed": 1, "failed": 1}


# ---- who does not ask -------------------------------------------------------------------------


def test_a_log_is_instrumented_once(log: Log, measured: Measured) -> None:
    measured.instrument(log)
    with pytest.raises(InvalidArgument, match="already"):
        measured.instrument(log)


def test_a_log_that_is_not_instrumented_has_no_spans_and_imports_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, eventlog\n"
        "from eventlog import Finalizer, Message, Worker\n"
        "with eventlog.open('memory:') as log:\n"
        "    session = log.session('s', create=True)\n"
        "    session.append(Message.user('hello'))\n"
        "    session.commit()\n"
        "    Worker(log, Finalizer()).run_once()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "import eventlog\n"
        "log = eventlog.open('memory:')\n"
        "try:\n"
        "    eventlog.instrument(log)\n"
        "except eventlog.UnsupportedStore as error:\n"
        "    print(error)\n"
        "log.session('s', create=True).append({'role': 'user', 'content': 'hello'})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "pip install 'eventlog-sessions[otel]'" in done.stdout
