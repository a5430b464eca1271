"""What is stuck is seen without folding a session: health, blocked sessions, and who summarises."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Generator
from contextlib import contextmanager

import pytest
import structlog

from eventlog import (
    AsyncLog,
    CommitBlocked,
    Finalizer,
    InvalidArgument,
    Log,
    Message,
    NonRetryableError,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.audit.index_check import compare_index
from eventlog.engine.listings import finalizer_names, list_sessions
from eventlog.log import engine_of
from eventlog.telemetry import log_fact
from eventlog.testing import FakeClock


def refuse(request: SummaryRequest) -> Summary:
    raise NonRetryableError("prompt is too long")


def describe(request: SummaryRequest) -> Summary:
    return Summary(overview="# all", abstract="all")


def committed(log: Log, name: str = "s") -> Session:
    session = log.session(name, create=True)
    session.append(Message.user("a"))
    session.commit()
    return session


def blocked_names(log: Log) -> list[str]:
    return [line.session_id for line in list_sessions(engine_of(log).store) if line.blocked]


def test_what_waits_is_counted(log: Log, clock: FakeClock) -> None:
    assert log.health()[1:9] == (0, 0, 0, None, 0, 0, None, None)
    for name in ("a", "b"):
        committed(log, name)
    clock.advance(30)

    health = log.health()

    assert health.durability == log.durability
    assert (health.queue_depth, health.due, health.oldest_due_seconds) == (2, 2, 30.0)
    Worker(log, Finalizer(describe)).run_once()
    assert log.health()[1:9] == (0, 0, 0, None, 0, 0, None, None)


def test_a_blocked_session_is_seen_in_its_metadata_in_lists_and_by_a_probe(log: Log) -> None:
    session = committed(log)
    committed(log, "fine")
    assert session.meta.blocked_by is None
    Worker(log, Finalizer(refuse)).run_once()
    session.append(Message.user("b"))

    assert session.meta.blocked_by == "archive_001"
    assert log.health().blocked_sessions == 2
    assert blocked_names(log) == ["fine", "s"]
    with pytest.raises(CommitBlocked):
        session.commit()

    assert session.set_failed_archives("skip", actor="ops")
    assert not session.set_failed_archives("skip")
    assert session.meta.blocked_by is None
    assert blocked_names(log) == ["fine"]
    assert session.commit().status == "accepted"
    assert session.set_failed_archives("block")
    assert session.meta.blocked_by == "archive_001"
    assert list(compare_index(log.store)) == []


def test_a_policy_that_is_none_is_refused(log: Log) -> None:
    session = committed(log)
    with pytest.raises(InvalidArgument, match="'block' or 'skip'"):
        session.set_failed_archives("ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_how_far_a_follower_is_behind(log: Log, clock: FakeClock) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("a"))
    checkpoint = log.checkpoint()
    assert log.health(after=checkpoint)[7:9] == (0, 0.0)
    session.append(Message.user("b"))
    clock.advance(5)
    session.append(Message.user("c"))

    assert log.health(after=checkpoint)[7:9] == (2, 5.0)
    assert asyncio.run(AsyncLog(log).health(after=checkpoint))[7:9] == (2, 5.0)


def test_who_makes_the_summaries_is_recorded_and_indexed(log: Log) -> None:
    committed(log, "a")
    Worker(log, Finalizer()).run_once()
    committed(log, "b")
    Worker(log, Finalizer(describe)).run_once()
    committed(log, "c")
    Worker(log, Finalizer(describe, name="acme/v2")).run_once()

    own = f"{describe.__module__}.describe"
    assert finalizer_names(engine_of(log).store) == sorted(["extractive", own, "acme/v2"])
    (made,) = (each.event for each in log.read("c") if each.type == "archive_finalized")
    assert vars(made)["finalizer"] == "acme/v2"
    assert list(compare_index(log.store)) == []


@contextmanager
def written_by(formatter: logging.Formatter | None) -> Generator[io.StringIO]:
    """Have one handler with a formatter on the library's logger, and give what it writes.

    Within the test, since pytest adds handlers for the time of the call.
    """
    written = io.StringIO()
    logger = logging.getLogger("eventlog")
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter)
    before, propagated = logger.handlers[:], logger.propagate
    logger.handlers[:], logger.propagate = [handler], False
    yield written
    logger.handlers[:], logger.propagate = before, propagated


@pytest.mark.parametrize("formatter", [None, logging.Formatter("%(message)s")])
def test_fields_of_a_log_line_are_in_its_text_where_only_that_is_shown(
    formatter: logging.Formatter | None,
) -> None:
    with written_by(formatter) as stream:
        log_fact(logging.WARNING, "lease_lost", session_id="s 1", attempts=2, error="\x1b[2Jno")

    assert stream.getvalue() == "lease_lost session_id='s 1' attempts=2 error='\\x1b[2Jno'\n"


def test_fields_of_a_log_line_are_fields_under_structlog() -> None:
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[meta, structlog.processors.JSONRenderer()],
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
    )
    with written_by(formatter) as stream:
        log_fact(logging.WARNING, "lease_lost", session_id="s 1", attempts=2)

    fields = {"session_id": "s 1", "attempts": 2}
    assert json.loads(stream.getvalue()) == {"event": "lease_lost", **fields}
