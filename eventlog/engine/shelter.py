"""Running calls of the main thread in other threads, where no signal handler can raise.

Python runs signal handlers only in the main thread, after any call and at any backward jump. An
exception from a handler may leave a leader's flag set, a transaction open or a state half folded,
and then every other thread waits for ever. So the main thread hands whatever touches shared state
to a thread of the log, and waits for the answer. A handler can then end the wait, but never the
work.

Calls of every other thread run where they are, and so do those of the main thread where no thread can be
had: beyond a limit of the system, and while Python is shutting down.

The price of a hand-over is two thread switches. What they cost depends on what the main thread waits for:
releasing a lock wakes it while the other thread still has Python's own lock (the GIL), so it wakes, finds
that lock taken, and sleeps again; writing to a pipe gives up the GIL first. So answers come through a
pipe. A short write is made without a hand-over if nothing but Ctrl-C could interrupt it
(`eventlog.interrupts`).
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from _queue import SimpleQueue
from collections import deque
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeAlias, TypeVar

from eventlog.interrupts import call_uninterrupted, is_only_ctrl_c_handled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Shelter"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Argument = TypeVar("Argument")
Entry = TypeVar("Entry")

PAGE_SIZE: Final = 256
"""Entries of an iteration that are read for the main thread at a time."""

SETTLING_SECONDS: Final = 5.0
"""How long an interrupted write is waited for, so that its caller learns the outcome."""

BRIEF_SECONDS: Final = 0.1
"""A write that took longer was none that one can wait for without a way to end the waiting."""


class Shelter:
    """The threads that work for the main thread on one log; started when first needed.

    Usually there is one. There are more while an interrupted call is still under way, or while a
    signal handler uses the log. They end when the shelter is dropped.
    """

    def __init__(self) -> None:
        self._idle: deque[_Hand] = deque()
        self._was_brief = True
        """Whether the last brief write was one."""
        self._is_uninterrupted = False
        """Whether the main thread is in a write that Ctrl-C does not interrupt."""

    def reset(self) -> None:
        """Forget the threads, which a forked child does not have, and close their pipes."""
        for hand in self._idle:
            _close(hand.pipe)
        self._idle = deque()

    def dismiss(self) -> None:
        """End the threads that are idle."""
        self._idle.clear()

    def read(
        self,
        verb: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Call a function that reads; an exception from a signal handler is raised at once."""
        if self._can_call():
            return verb(*args, **kwargs)
        result: Result = self._call(_Job(verb, args, kwargs), settling_seconds=0)
        return result

    def write(
        self,
        verb: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Call a function that writes: it runs to its end, or is never begun.

        An exception from a signal handler is raised when the write has ended, or after
        `SETTLING_SECONDS`, whichever is first; a second one is raised at once. The write goes on.
        """
        if self._can_call():
            return verb(*args, **kwargs)
        result: Result = self._call(_Job(verb, args, kwargs), settling_seconds=SETTLING_SECONDS)
        return result

    def write_briefly(self, verb: Callable[[Argument], Result], argument: Argument) -> Result:
        """Call a function that writes and should take milliseconds, at less cost than `write`.

        It runs in the main thread itself if only Ctrl-C could interrupt it, which then does so when it
        has ended. After one that took longer, the next one can be interrupted as `write` can.
        """
        if self._can_call():
            return verb(argument)
        begun = monotonic()
        try:
            if not self._was_brief or not is_only_ctrl_c_handled():
                return self.write(verb, argument)
            return call_uninterrupted(self._call_in_place, (verb, argument))
        finally:
            self._was_brief = monotonic() - begun < BRIEF_SECONDS

    def _call_in_place(self, call: tuple[Callable[[Argument], Result], Argument]) -> Result:
        verb, argument = call
        self._is_uninterrupted = True
        try:
            return verb(argument)
        finally:
            self._is_uninterrupted = False

    def _can_call(self) -> bool:
        """Return whether a call may be made where it is: nothing can interrupt it, or no other thread
        can be had."""
        return (
            threading.get_ident() != _main_thread or self._is_uninterrupted or sys.is_finalizing()
        )

    def run(self, verb: Callable[[], Result], end: Callable[[], object]) -> Result:
        """Call a function that runs for long, such as a worker, and that ``end`` makes come to an end.

        An exception from a signal handler calls ``end`` in a thread, and is raised when the function
        has ended; a second one is raised at once.
        """
        if self._can_call():
            return verb()
        ending = self._idle_or_new()
        if ending is None:
            return verb()
        job = _Job(end, (), {})
        job.pipe = None  # Nobody waits for it.
        # One call in C, so that a second interrupt comes before it or after it, never in between.
        call_end = partial(ending.inbox.put, job)
        result: Result = self._call(_Job(verb, (), {}), settling_seconds=-1, end=call_end)
        self._idle.append(ending)
        return result

    def iterate(
        self,
        verb: Callable[Parameters, Iterator[Entry]],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Iterator[Entry]:
        """Return what a method yields; for the main thread it is read ahead, in pages."""
        if self._can_call():
            return verb(*args, **kwargs)
        return self._read_ahead(_begun_when_read(verb, args, kwargs))

    def _read_ahead(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        while True:
            page, error = self.read(_next_page, entries)
            yield from page
            if error is not None:
                raise error
            if len(page) < PAGE_SIZE:
                return

    def _call(
        self, job: _Job, *, settling_seconds: float, end: Callable[[], object] | None = None
    ) -> Any:
        try:
            hand = self._idle_or_new()
            if hand is None:
                return job.verb(*job.args, **job.kwargs)
            if hand.run(job):
                # Only now: a thread that answers late, to nobody, is not used again.
                self._idle.append(hand)
        except BaseException:
            # Each thread sets its flag before it reads the other's, so at least one of them sees
            # the other's: either that thread leaves the job alone, or this one waits for it.
            job.is_withdrawn = True
            if job.has_begun and not job.has_ended:
                if end is not None:
                    end()
                job.done.acquire(timeout=settling_seconds)
            raise
        error = job.error
        if error is not None:
            try:
                raise error
            finally:
                job.error = error = None  # Its traceback holds this frame.
        return job.result

    def _idle_or_new(self) -> _Hand | None:
        """Return a thread that has nothing to do; None if the system, or Python's end, allows none."""
        with suppress(IndexError):
            return self._idle.pop()
        # What the caller is handling is the context of any error here, and no interrupt.
        handled = sys.exc_info()[1]
        try:
            return _Hand()
        except RuntimeError as error:
            # What interrupts the waiting of `Thread.start` arrives as the context of such an error.
            if error.__context__ is not None and error.__context__ is not handled:
                raise error.__context__ from None
            return None


def _begun_when_read(
    verb: Callable[..., Iterator[Entry]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Entry]:
    yield from verb(*args, **kwargs)


def _next_page(entries: Iterator[Entry]) -> tuple[list[Entry], Exception | None]:
    """Return the next entries, and the error after them: entries before damage stay readable."""
    page: list[Entry] = []
    try:
        page.extend(islice(entries, PAGE_SIZE))
    except Exception as error:  # noqa: BLE001 - the caller raises it
        return page, error
    return page, None


class _Job:
    """One call that was handed over."""

    __slots__ = (
        "args",
        "context",
        "done",
        "error",
        "has_begun",
        "has_ended",
        "is_withdrawn",
        "kwargs",
        "pipe",
        "result",
        "verb",
    )

    pipe: int | None
    """Where the end is reported besides `done`: the end of a pipe to write to."""

    def __init__(
        self, verb: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.verb, self.args, self.kwargs = verb, args, kwargs
        self.context = copy_context()
        self.result: Any = None
        self.error: BaseException | None = None
        self.has_begun = self.has_ended = self.is_withdrawn = False
        self.done = threading.Lock()
        self.done.acquire()

    def run(self) -> None:
        """Make the call, unless the caller has gone; never raises."""
        self.has_begun = True
        try:
            if not self.is_withdrawn:
                self.result = self.context.run(self.verb, *self.args, **self.kwargs)
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            self.error = error
        self.has_ended = True


class _Hand:
    """One thread and its inbox; the thread ends when this object is no longer referenced."""

    def __init__(self) -> None:
        self.inbox: _Inbox = SimpleQueue()
        self.pipe: list[int] = []
        """The two ends of the pipe for answers, opened and closed by the thread, in which nothing can
        interrupt that; empty before the first answer, and where the system allows no pipe."""
        # No `__del__`: a signal handler could interrupt that, too. This callback is one call in C.
        end = weakref.ref(self, self.inbox.put)  # pyright: ignore[reportArgumentType, reportCallIssue]
        threading.Thread(
            target=_serve,
            args=(self.inbox, self.pipe, end),
            name="eventlog-shelter",
            daemon=True,
        ).start()

    def run(self, job: _Job) -> bool:
        """Have the thread make the call, and wait; return whether it can take another one."""
        pipe = self.pipe
        job.pipe = pipe[1] if pipe else None
        self.inbox.put(job)
        if pipe and job.pipe is not None:
            try:
                return bool(os.read(pipe[0], 1))
            except OSError:
                # A program that becomes a daemon closes whatever is open. The numbers may be others'
                # by now, so they are not closed again.
                pipe.clear()
                job.done.acquire()
                return False
        job.done.acquire()
        return True


_Inbox: TypeAlias = "SimpleQueue[_Job | weakref.ref[_Hand]]"


def _serve(inbox: _Inbox, pipe: list[int], end: weakref.ref[_Hand]) -> None:
    """Run the jobs that arrive, until ``end`` does, which this frame keeps alive."""
    while isinstance(job := inbox.get(), _Job):
        job.run()
        report_to = job.pipe
        job.done.release()
        del job
        if report_to is None:
            _open(pipe)
        else:
            with suppress(OSError):
                os.write(report_to, b".")
    _close(pipe)


def _open(pipe: list[int]) -> None:
    """Open a pipe that a forked child inherits and other programs do not, if there is none."""
    if not pipe:
        with suppress(OSError):
            pipe.extend(os.pipe())


def _close(pipe: list[int]) -> None:
    """Close both ends of a pipe, if there is one; nobody uses it any more."""
    for each in pipe:
        with suppress(OSError):
            os.close(each)
    pipe.clear()


_main_thread = threading.main_thread().ident


def _note_main_thread() -> None:
    global _main_thread  # noqa: PLW0603 - a process has one
    _main_thread = threading.main_thread().ident


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_main_thread)
