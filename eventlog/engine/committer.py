"""Group commit (L7): concurrent commands share one durable transaction, with no timer.

Requests are queued. While one batch is being written, the next one gathers. A synchronous caller
that finds no write under way writes at once, in its own thread; the main thread, where signal
handlers may raise, has a thread of the log do it (`eventlog.engine.shelter`).

Each request of a batch is decided on the state after its predecessors in the batch, and gets its
own answer. The rounds of one log never overlap, so the methods of requests run one at a time.
"""

from __future__ import annotations

import logging
import threading
from _queue import SimpleQueue
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from eventlog.errors import (
    DuplicateEvent,
    EventLogError,
    Indeterminate,
    LogClosed,
    StoreUnavailable,
    VersionConflict,
)
from eventlog.offloop import future_of_work
from eventlog.records import Append, Appended, Position
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Iterable, Sequence

    from eventlog.recorded import Recorded
    from eventlog.store import Store

__all__ = ["Committer", "Follower", "Request"]

BATCH_LIMIT: Final = 1_024
"""Requests per transaction: it bounds the latency of the first one; larger batches gain nothing."""

CONFLICT_LIMIT: Final = 1_000
"""Decisions of one request: more of them mean a defect, not competing writers."""


DOUBT_LIMIT: Final = 5
"""Decisions of one request if the outcome of its appends remains unknown each time."""


class Follower(Protocol):
    """Something that writes what was recorded to another place."""

    def note(self, recorded: Sequence[Recorded]) -> None:
        """Note what was recorded, to write it with the next `follow`."""
        ...

    def follow(self, *, foreign: bool = False) -> None:
        """Write what was noted, and with ``foreign`` what others recorded; never raises."""
        ...

    def release(self) -> None:
        """Write what is left, then nothing more; idempotent."""
        ...


class Subject(Protocol):
    """What requests are decided on: the core of one stream."""

    wants_after_round: bool
    """Whether `Request.after_round` should be called once all requests are answered."""

    follower: Follower | None
    """Writes files after it; every caller lets it do so before returning the answer."""

    @property
    def watches(self) -> Sequence[object]:
        """What `note_watched` tells of records; mostly there is none."""
        ...

    def note_watched(self, append: Append, positions: Sequence[Position]) -> None:
        """Have the live projections note what was stored."""
        ...

    def invalidate(self) -> None:
        """Note that the stream may have records that were not folded yet."""
        ...


class Request:
    """One command on its way through the committer: decided, stored, folded, answered."""

    __slots__ = (
        "append",
        "decisions",
        "done",
        "error",
        "future",
        "keeps",
        "loop",
        "predecessor",
        "result",
        "subject",
        "unkept",
        "waits",
    )

    waits: bool
    """Whether it was not decided because it must follow others of this round: in a later round."""
    keeps: bool
    """Whether something may have to be stored before it is queued, which `keep_values` does: large
    values, or the rest of messages that it ends."""
    unkept: bool
    """Whether `keep_values` is to be called, since something is missing that must be stored first."""
    predecessor: Request | None
    """What must be stored before it, found when it was to be decided; set together with `waits`."""
    loop: AbstractEventLoop | None
    future: Future[Any] | None
    done: threading.Lock | None

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.append: Append | None = None
        self.decisions = 0
        self.result: Any = None
        self.error: BaseException | None = None
        self.waits = self.keeps = self.unkept = False
        self.loop = self.future = self.done = self.predecessor = None

    def prepare(self, round: int) -> Append | None:
        """Decide: return what to store, or None with the result set, or raise to refuse.

        Requests of one ``round`` are stored together, in the order of these calls.
        """
        raise NotImplementedError

    def confirm(self, appended: Appended) -> bool:
        """Fold what was stored and set the result; False if later requests must decide again."""
        raise NotImplementedError

    def with_predecessor(self) -> list[Request]:
        """Return what is to be decided next: this request, after the one that must come first."""
        first, self.predecessor = self.predecessor, None
        return [self] if first is None else [first, self]

    def recall(self) -> bool:
        """Return whether the append was stored after all; if so, set the result."""
        raise NotImplementedError

    def refused(self, answer: EventLogError) -> EventLogError:
        """Return the error of a request that the store refused with an answer."""
        return answer

    def keep_values(self) -> None:
        """Store what is missing; called before queuing, never on the thread that writes."""
        raise NotImplementedError

    def after_round(self) -> Request | None:
        """Do work that can wait until after a round, such as writing a snapshot; never raises.

        A request that is returned, for a command that follows from others, runs in the next round.
        """
        raise NotImplementedError

    def awaited_by(self, loop: AbstractEventLoop) -> Future[Any]:
        """Answer through a future of this loop."""
        self.loop, self.future = loop, future_of_work(loop)
        return self.future

    def waited_for(self) -> None:
        """Answer by releasing the thread that calls `wait`."""
        self.done = threading.Lock()
        self.done.acquire()

    def wait(self) -> Any:
        """Wait for the answer if need be, and return or raise it."""
        if self.done is not None:
            self.done.acquire()
        if self.error is not None:
            raise self.error
        return self.result


class Appending(Protocol):
    """What the committer needs of a store."""

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]: ...


class Committer:
    """The one writer of a log."""

    def __init__(self, store: Store) -> None:
        self._store: Appending = store
        self.reset()

    def store_through(self, store: Appending) -> None:
        """Append through something around the store from now on."""
        self._store = store

    def reset(self) -> None:
        """Start over with an empty queue and no thread, as a forked child must."""
        self._rounds = 0
        self._mutex = threading.Lock()
        self._queue: deque[Request] = deque()
        self._writing = False
        self._closed = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._idle = threading.Condition(self._mutex)

    def run(self, request: Request) -> Any:
        """Return the answer to a request; write in the caller's thread if no other is writing."""
        with self._mutex:
            self._refuse_if_closed()
            leads = not self._writing
            if leads:
                self._writing = True
            else:
                request.waited_for()
                self._queue.append(request)
        if leads:
            self._lead(request)
        return request.wait()

    def submit(self, request: Request) -> None:
        """Queue a request whose answer is awaited elsewhere."""
        with self._mutex:
            self._refuse_if_closed()
            self._start_thread()
            self._queue.append(request)
            if not self._writing:
                # An event loop may run in the main thread, but no signal is handled between these
                # two lines.
                self._writing = True
                self._wake.put(None)

    def close(self) -> None:
        """Answer everything in the queue, then accept no more; idempotent."""
        with self._mutex:
            self._closed = True
            while self._writing:
                self._idle.wait()
        thread, self._thread = self._thread, None
        if thread is not None:
            self._wake.put(None)
            thread.join()

    # ---- who writes ---------------------------------------------------------------------------

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise LogClosed

    def _lead(self, request: Request) -> None:
        """Write in the caller's thread until its request is answered, then hand the rest over."""
        batch = [request]
        try:
            while not self._round(batch, leader=request):
                batch = self._take()
        finally:
            # Under one lock, so that no request is stranded: a caller that comes later finds no
            # writer, and leads itself.
            with self._mutex:
                rest = bool(self._queue)
                if not rest:
                    self._finish()
            if rest:
                self._hand_over()

    def _hand_over(self) -> None:
        self._start_thread()
        self._wake.put(None)

    def _start_thread(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="eventlog-committer", daemon=True)
            thread.start()
            self._thread = thread  # Only once it runs: the caller may be interrupted before.

    def _work(self) -> None:
        wake = self._wake
        while True:
            wake.get()
            while True:
                with self._mutex:
                    if not self._queue:
                        closed = self._closed
                        self._finish()
                        break
                self._round(self._take())
            if closed:
                return

    def _finish(self) -> None:
        self._writing = False
        if self._closed:
            self._idle.notify_all()

    def _take(self) -> list[Request]:
        with self._mutex:
            queue = self._queue
            if len(queue) <= BATCH_LIMIT:
                batch = list(queue)
                queue.clear()
            else:
                batch = [queue.popleft() for _ in range(BATCH_LIMIT)]
        return batch

    # ---- one round ----------------------------------------------------------------------------

    def _round(self, batch: list[Request], leader: Request | None = None) -> bool:
        """Decide, store, fold and answer a batch; return whether the leader has its answer.

        Requests that must be decided again go back to the front of the queue, in their order.
        """
        # The order is what makes answers trustworthy. The store's `append` returns when the batch
        # is as durable as the store declares, and only then are states folded: so no answer and no
        # later decision rests on a record that may not be stored. Requests to decide again are
        # queued before any answer is given: so a caller that acts on its answer comes after them.
        # Snapshots and follow-ups come last, when all answers are given: so they delay nobody but
        # the leader, in whose thread they run, and their failure is no caller's.
        self._rounds += 1
        batch = [
            request for request in batch if request.future is None or not request.future.cancelled()
        ]
        answered: list[Request] = []
        again: list[Request] = []
        try:
            appends = self._prepare(batch)
            answers = self._store_all(appends, batch, answered, again)
            if answers is not None:
                self._settle(batch, answers, answered, again)
        except BaseException as error:
            self._abort(batch, answered, error)
            again = []
            if leader is not None:
                raise
        finally:
            if again:
                with self._mutex:
                    self._queue.extendleft(reversed(again))
            _answer(answered)
        self._after_round(answered, leader)
        return leader is not None and leader not in again

    def _after_round(self, answered: Sequence[Request], leader: Request | None) -> None:
        """Do the work that could wait, and run the requests that follow from it."""
        follow_ups = [
            follow_up
            for request in answered
            if request.subject.wants_after_round
            and (follow_up := request.after_round()) is not None
        ]
        if not follow_ups:
            return
        self._round(follow_ups, leader and follow_ups[0])
        for request in follow_ups:
            follower = request.subject.follower
            if request.error is not None:
                log_fact(logging.WARNING, "automatic_command_refused", error=str(request.error))
            elif follower is not None:
                # In another thread: a follower writes files, and may record that it did.
                threading.Thread(
                    target=follower.follow, name="eventlog-follower", daemon=True
                ).start()

    def _prepare(self, batch: Iterable[Request]) -> list[Append]:
        appends: list[Append] = []
        for request in batch:
            request.decisions += 1
            request.append = request.error = None
            try:
                append = request.prepare(self._rounds)
            except Exception as error:  # noqa: BLE001 - the request's caller gets it
                request.error = error
            else:
                if append is not None:
                    request.append = append
                    appends.append(append)
        return appends

    def _store_all(
        self,
        appends: list[Append],
        batch: Sequence[Request],
        answered: list[Request],
        again: list[Request],
    ) -> list[Appended | EventLogError] | None:
        """Store the appends; None if the store gave no answers, so that they were handled here."""
        if not appends:
            return []
        try:
            return self._store.append(appends)
        except Indeterminate as error:
            self._resolve(batch, error, answered, again)
        except Exception as error:  # noqa: BLE001 - the requests' callers get it
            for request in batch:
                request.subject.invalidate()
                if request.append is not None or request.error is None:
                    request.error = error
                answered.append(request)
        return None

    def _settle(
        self,
        batch: Sequence[Request],
        answers: Sequence[Appended | EventLogError],
        answered: list[Request],
        again: list[Request],
    ) -> None:
        """Sort requests by the store's answers: answered, or to be decided again.

        ``answers`` has one answer for each request with an append, in order.
        """
        # A request is decided on the assumption that its predecessors in the batch are stored as
        # decided. `broken` has the subjects for which that turned out wrong: a request was refused,
        # must decide again, or was a repetition whose records are elsewhere in the stream. A later
        # append to such a subject needs no care: its version or its previous hash no longer fits,
        # so the store answers with a `VersionConflict`. But a decision to record nothing, or to
        # refuse, was never checked by the store (its answer is None), so it is taken again.
        #
        # A `DuplicateEvent` is final only at the second decision. The first may have been taken on
        # a state that lacks the records with these ids; after `invalidate` they are folded, and the
        # command can recognise its own repetition, or refuse for the proper reason.
        broken: set[int] = set()
        remaining = iter(answers)
        for request in batch:
            subject = id(request.subject)
            answer = None if request.append is None else next(remaining)
            if isinstance(answer, Appended):
                if not request.confirm(answer):
                    broken.add(subject)
                elif request.subject.watches and request.append is not None:
                    request.subject.note_watched(request.append, answer.positions)
            elif (
                isinstance(answer, VersionConflict)
                or request.waits
                or (isinstance(answer, DuplicateEvent) and request.decisions == 1)
                or (answer is None and subject in broken)
            ):
                broken.add(subject)
                request.subject.invalidate()
                if request.decisions < CONFLICT_LIMIT:
                    again.extend(request.with_predecessor())
                    continue
                request.error = answer or request.error
            elif answer is not None:
                broken.add(subject)
                request.error = request.refused(answer)
            answered.append(request)

    def _resolve(
        self,
        batch: Sequence[Request],
        error: Indeterminate,
        answered: list[Request],
        again: list[Request],
    ) -> None:
        """Find out what an append of unknown outcome did (L4), or answer that it is unknown."""
        log_fact(logging.WARNING, "append_outcome_unknown", requests=len(batch), error=str(error))
        for request in batch:
            request.subject.invalidate()
            try:
                stored = request.append is not None and request.recall()
            except EventLogError:
                records = () if request.append is None else request.append.records
                ids = [record.event_id for record in records]
                request.error = Indeterminate(str(error.__cause__ or error), ids)
                answered.append(request)
                continue
            if not stored and request.decisions >= DOUBT_LIMIT:
                request.error = StoreUnavailable(
                    f"{error.__cause__ or error}; it was tried {DOUBT_LIMIT} times and nothing was "
                    "stored"
                )
                answered.append(request)
            elif stored:
                answered.append(request)
            else:
                again.extend(request.with_predecessor())

    def _abort(
        self, batch: Sequence[Request], answered: list[Request], error: BaseException
    ) -> None:
        """Answer every request with the error that ended the round; interrupts are for the leader."""
        if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
            error = Indeterminate(f"the writing thread was stopped by {type(error).__name__}")
        for request in batch:
            request.subject.invalidate()
            if request not in answered:
                request.error = error
                answered.append(request)


def _answer(requests: Iterable[Request]) -> None:
    """Wake the callers: with one call per event loop, not per request."""
    by_loop: dict[AbstractEventLoop, list[Request]] = {}
    for request in requests:
        loop = request.loop
        if loop is not None:
            if loop in by_loop:
                by_loop[loop].append(request)
            else:
                by_loop[loop] = [request]
        elif request.done is not None:
            request.done.release()
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve_futures, settled)
        except RuntimeError:
            # The loop was closed while its request was under way, so no caller is left.
            log_fact(logging.DEBUG, "answer_undeliverable", requests=len(settled))


def _resolve_futures(requests: list[Request]) -> None:
    for request in requests:
        future = request.future
        if future is None or future.done():
            continue
        if request.error is not None:
            future.set_exception(request.error)
        else:
            future.set_result(request.result)
