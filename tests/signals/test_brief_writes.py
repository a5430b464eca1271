"""G7: an append that runs in the main thread is whole, or never begun, when Ctrl-C interrupts it."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import EventLogError, Log, Message, interrupts
from eventlog.engine import shelter
from eventlog.engine.shelter import Shelter
from eventlog.interrupts import call_uninterrupted, is_only_ctrl_c_handled
from eventlog.records import Append, Appended
from eventlog.stores.memory import MemoryStore
from eventlog.testing.interrupting import Interrupted, Interrupter, is_interrupt_held

press = partial(signal.raise_signal, signal.SIGINT)


class Noting(MemoryStore):
    """Notes in which thread it appends, and does something else before."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.before = before
        self.threads: list[int] = []

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        self.threads.append(threading.get_ident())
        self.before()
        return super().append(batch)


@contextmanager
def handled(number: int, handler: Any) -> Generator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.fixture(autouse=True)
def _untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace functions of these tests press Ctrl-C, and never raise by themselves."""
    monkeypatch.setattr(interrupts, "is_traced", lambda: False)


def append_again(log: Log) -> bool:
    """Append to a session that exists; return whether it was in the main thread."""
    session = log.session("s", create=True)
    session.append(Message.user("the first one creates the session"))
    session.append(Message.user("more"))
    assert isinstance(log.store, Noting)
    return log.store.threads[-1] == threading.get_ident()


def test_an_append_runs_in_the_main_thread_if_only_ctrl_c_could_interrupt_it() -> None:
    with Log(Noting()) as log:
        assert append_again(log)
    with Log(Noting()) as log, handled(signal.SIGINT, signal.SIG_IGN):
        assert append_again(log)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGRTMAX, signal.SIGINT])
def test_an_append_runs_in_another_thread_if_a_handler_of_the_program_could_interrupt_it(
    number: int,
) -> None:
    with Log(Noting()) as log:
        assert append_again(log)
        with handled(number, lambda *_: None):
            assert not append_again(log)
        assert append_again(log)


def test_an_append_runs_in_another_thread_in_an_event_loop() -> None:
    async def append() -> bool:
        with Log(Noting()) as log:
            return append_again(log)

    assert not asyncio.run(append())


def test_a_store_on_a_server_is_never_waited_for_in_the_main_thread() -> None:
    store = Noting()
    store.appends_briefly = False
    with Log(store) as log:
        assert not append_again(log)


@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_ctrl_c_at_any_point_leaves_an_append_whole_or_never_begun(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """With the signal itself, at every point at which Python looks for one."""
    step = 1 if request.config.getoption("--every-interrupt") else 11
    held = 0
    for at in count(1, step):
        where = tmp_path / f"{at}"
        with eventlog.open(f"{kind}:///{where}?synchronous=off") as log:
            session = log.session("s", create=True)
            session.append(Message.user("before"))
            interrupter = Interrupter(at, press)
            was_pressed = interrupter.run(partial(session.append, Message.user("m", id="m")))
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            stored = [message.id for message in session.tail()][1:]
            session.append(Message.user("after", id="after"))
            assert [message.id for message in session.tail()][1:] == [*stored, "after"]
            assert log.verify("s") == []
        assert stored in ([], ["m"]), interrupter.place
        held += stored == ["m"]
        if not was_pressed:
            break
    assert held > 2


def test_ctrl_c_is_raised_when_the_append_has_ended() -> None:
    with Log(Noting(press)) as log:
        session = log.session("s", create=True)
        with pytest.raises(KeyboardInterrupt):
            session.append(Message.user("m"))

        assert [message.text for message in session.tail()] == ["m"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_of_an_interrupted_append_is_the_context_of_the_interrupt() -> None:
    def fail(_: object) -> None:
        press()
        raise ValueError("the append failed")

    with pytest.raises(KeyboardInterrupt) as raised:
        call_uninterrupted(fail, None)

    assert isinstance(raised.value.__context__, ValueError)


def test_a_handler_that_the_append_sets_is_kept() -> None:
    def set_handler(_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    with handled(signal.SIGINT, signal.default_int_handler):
        call_uninterrupted(set_handler, None)

        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_ctrl_c_interrupts_even_if_its_handler_could_not_be_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise Interrupted

    def forbid(_: object) -> None:
        monkeypatch.setattr(interrupts, "signal", refuse)

    with handled(signal.SIGINT, signal.default_int_handler):
        with pytest.raises(Interrupted):
            call_uninterrupted(forbid, None)
        assert is_interrupt_held()
        with pytest.raises(KeyboardInterrupt):
            press()


def test_after_a_slow_append_the_next_one_is_made_by_another_thread_until_one_is_quick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So who waits for a disk that hangs can end the waiting."""
    main, seen = threading.get_ident(), list[bool]()
    kept, took = Shelter(), [0.0, 5.0, 5.0, 0.0, 0.0]
    clock = [0.0]
    monkeypatch.setattr(shelter, "monotonic", lambda: clock[0])

    def work(seconds: float) -> None:
        clock[0] += seconds
        seen.append(threading.get_ident() == main)

    for seconds in took:
        kept.write_briefly(work, seconds)

    assert seen == [True, True, False, False, True]


def test_only_ctrl_c_is_handled_in_a_program_without_handlers() -> None:
    assert is_only_ctrl_c_handled()
    with handled(signal.SIGHUP, signal.SIG_IGN):
        assert is_only_ctrl_c_handled()


def test_an_append_runs_in_another_thread_under_a_trace_function_which_may_raise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    before = sys.gettrace()
    with Log(Noting()) as log:
        sys.settrace(lambda *_: None)
        try:
            assert not append_again(log)
        finally:
            sys.settrace(before)
