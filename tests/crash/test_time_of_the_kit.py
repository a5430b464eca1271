"""In the crash kit only the program moves time: no lease is renewed by the clock on the wall (K1, F2)."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import Finalizer, Log, Message, Summary, Worker
from eventlog.engine.heartbeat import Heartbeat
from eventlog.testing import FakeClock, Host
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.model.backing import MemoryBacking, Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog import SummaryRequest

SOURCE = Path(eventlog.__file__).parent


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The leases that a thread began to renew."""
    found: list[str] = []
    monkeypatch.setattr(Heartbeat, "begin", lambda *_, **named: found.append(str(named)))
    return found


@pytest.fixture(params=["host", "process"])
def kit_log(request: pytest.FixtureRequest) -> Iterator[Log]:
    """A log as the kit opens it."""
    if request.param == "host":
        with Host() as host:
            yield host.open_log()
    else:
        process = Process(
            MemoryBacking(), clock=FakeClock(), ids=NumberedIds(), estimate_tokens=len
        )
        yield process.log
        process.end()


def summarize(request: SummaryRequest) -> Summary:
    return Summary(overview="overview", abstract="short")


def test_no_lease_of_a_log_of_the_kit_is_renewed(kit_log: Log, begun: list[Any]) -> None:
    session = kit_log.session("s", create=True)
    with session.turn("t") as turn:
        session.append(Message.user("hello"))
        with turn.stream(background=False) as out:
            out.write("answer")
        turn.end()
    session.commit()

    completed = Worker(kit_log, Finalizer(summarizer=summarize)).run_once()

    assert completed == 1
    assert begun == []


def test_the_kit_can_still_every_heartbeat_of_the_library() -> None:
    """A search for others: a heartbeat that is not made by the engine would go by the wall clock."""
    makers = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Heartbeat"
    ]

    assert makers == ["engine/engine.py"]
