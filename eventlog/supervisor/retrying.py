"""Calls of models that are tried again: with back-off and jitter, on errors that may pass (R2).

The loop is tenacity's; its sleep and hooks are given per call, so a test needs no time. It is the
optional extra ``runs``, imported when the first call is made.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from eventlog.clock import Clock, system_clock
from eventlog.errors import (
    InvalidArgument,
    LeaseLost,
    NonRetryableError,
    RetryableError,
    UnsupportedFeature,
)
from eventlog.redaction import redacted, redacted_with_causes
from eventlog.worker.callables import call as call_function
from eventlog.worker.retry_policy import (
    Classifier,
    ResultClassifier,
    RetryPolicy,
    as_text,
    classify,
    classify_result,
    holds,
    retry_after,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable


__all__ = [
    "CallAttempt",
    "CallTerms",
    "CallableFailed",
    "retry_calls",
    "retrying",
    "retrying_plain",
]


class _TryState(Protocol):
    """What tenacity says of a try: the names of its `RetryCallState` that are used here."""

    attempt_number: int
    outcome: Any
    next_action: Any


class CallableFailed(InvalidArgument):
    """A function that was given beside the call raised, so nobody knows what to do about the call."""

    def __init__(self, name: str, problem: BaseException) -> None:
        super().__init__(f"{name} raised {redacted(problem)}; correct the function")


@contextmanager
def _asking(name: str, error: BaseException | None) -> Generator[None]:
    """Ask a function of users about a call; if it raises, the call's own error is the cause."""
    try:
        yield
    except Exception as problem:  # noqa: BLE001 - a user's function
        raise CallableFailed(name, problem) from (error or problem)


class CallAttempt(NamedTuple):
    """One try of a call: the ``number``-th, from 1.

    After ``failed`` the call is tried again ``delay_seconds`` later; ``refused`` is the last one.
    """

    number: int
    outcome: Literal["succeeded", "failed", "refused"]
    error: str | None
    delay_seconds: float | None
    result: Any = None
    raised: BaseException | None = None
    """What the try raised; ``error`` is its text, without secrets."""


@dataclass(frozen=True, slots=True)
class CallTerms:
    """How a call is tried again."""

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    classify: Classifier = classify
    classify_result: ResultClassifier = classify_result
    draw: Callable[[], float] = random.random
    clock: Clock = system_clock

    def is_fatal(self, error: BaseException) -> bool:
        """Return whether no other try is to follow an error."""
        if not isinstance(error, Exception) or holds(error, LeaseLost):
            return True  # A cancellation, the end of the process, or that of the attempt.
        if isinstance(error, CallableFailed):
            return True
        with _asking("classifier", error):
            return self.classify(error) == "fatal"

    def may_pass(self, error: BaseException) -> bool:
        """Return whether another try may succeed."""
        return not self.is_fatal(error)

    def checked(self, result: Any) -> Any:
        """Return a result; raise `NonRetryableError` or `RetryableError` for an error as text."""
        with _asking("result_classifier", None):
            found = self.classify_result(result)
            is_fatal = found == "fatal"
        if found is None:
            return result
        kind = NonRetryableError if is_fatal else RetryableError
        raise kind(f"the call returned an error as text: {as_text(result)}")

    def delay(self, state: _TryState) -> float:
        """Return the seconds before the next try: drawn, and at least what the service asked for."""
        error = None if state.outcome is None else state.outcome.exception()
        with _asking("draw", error):
            drawn = self.policy.delay(state.attempt_number, self.draw())
        with _asking("clock", error):
            asked = 0 if error is None else retry_after(error, self.clock())
        return max(drawn, asked) / 1_000_000

    def options(self) -> dict[str, Any]:
        """Return the options of tenacity's loops but for how they sleep and tell."""
        tenacity = _tenacity()
        return {
            "stop": tenacity.stop_after_attempt(self.policy.attempts),
            "wait": self.delay,
            "retry": tenacity.retry_if_exception(self.may_pass),
            "reraise": True,
        }


def _tenacity() -> Any:
    try:
        return import_module("tenacity")
    except ImportError as error:
        raise UnsupportedFeature(
            "tenacity is not installed; pip install 'eventlog-sessions[runs]'"
        ) from error


async def retrying(
    call: Callable[[], Any],
    policy: RetryPolicy | None = None,
    *,
    on_attempt: Callable[[CallAttempt], Any] | None = None,
    classifier: Classifier = classify,
    result_classifier: ResultClassifier = classify_result,
    draw: Callable[[], float] = random.random,
    clock: Clock = system_clock,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Any:
    """Call a plain or asynchronous function until it succeeds, as often as the policy allows.

    An error that may pass (a connection, a status of 5xx, a rate limit) is followed by another try
    after a random time up to ``base_seconds`` · 2ⁿ, at most ``cap_seconds``, and at least as long as
    the service asked for (``Retry-After``). Any other error is raised at once, and so is the last one.
    Errors that were returned as text count as errors. ``on_attempt`` is called after each try, also an
    asynchronous one; in a run, `Run.call` records each as an event instead.

    If one of ``classifier``, ``result_classifier``, ``draw`` and ``clock`` raises, no other try is made:
    `InvalidArgument` says which one, and is raised from the error of the call. Needs the extra ``runs``;
    without it raises `UnsupportedFeature`.
    """
    terms = CallTerms(policy or RetryPolicy(), classifier, result_classifier, draw, clock)
    tell = None if on_attempt is None else _telling(on_attempt)
    return await retry_calls(call, terms, tell, sleep)


def _telling(on_attempt: Callable[[CallAttempt], Any]) -> Callable[[CallAttempt], Any]:
    """Return what tells of a try, and raises its own error from that of the call."""

    async def tell(attempt: CallAttempt) -> None:
        try:
            answer = on_attempt(attempt)
            if inspect.isawaitable(answer):
                await answer
        except Exception as problem:
            if problem.__cause__ is None and attempt.raised not in (None, problem):
                raise problem from attempt.raised
            raise

    return tell


async def retry_calls(
    call: Callable[[], Any],
    terms: CallTerms,
    tell: Callable[[CallAttempt], Any] | None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Any:
    """Call a function as `retrying` does."""

    async def told(attempt: CallAttempt) -> None:
        answer = None if tell is None else tell(attempt)
        if inspect.isawaitable(answer):
            await answer

    async def told_failed(state: _TryState) -> None:
        await told(_failed(state))

    tries = _Tries()
    loop = _tenacity().AsyncRetrying(sleep=sleep, before_sleep=told_failed, **terms.options())

    async def tried() -> Any:
        with tries.one():
            return terms.checked(await call_function(call))

    try:
        result = await loop(tried)
    except Exception as error:
        if tries.ended_with(error):
            await told(tries.refused())
        raise
    await told(tries.succeeded(result))
    return result


def retrying_plain(
    call: Callable[[], Any],
    terms: CallTerms,
    tell: Callable[[CallAttempt], Any] | None,
    sleep: Callable[[float], Any] | None = None,
) -> Any:
    """Call a plain function as `retrying` does, in the calling thread."""

    def told(attempt: CallAttempt) -> None:
        if tell is not None:
            tell(attempt)

    def told_failed(state: _TryState) -> None:
        told(_failed(state))

    tries = _Tries()
    loop = _tenacity().Retrying(sleep=sleep or _sleep, before_sleep=told_failed, **terms.options())

    def tried() -> Any:
        with tries.one():
            return terms.checked(call())

    try:
        result = loop(tried)
    except Exception as error:
        if tries.ended_with(error):
            told(tries.refused())
        raise
    told(tries.succeeded(result))
    return result


class _Tries:
    """The tries of a call, counted.

    The last one is told of once it is over: an error of whoever is told must not repeat a call that
    was paid.
    """

    def __init__(self) -> None:
        self.number = 0
        self.error: Exception | None = None
        """What the latest try raised."""

    @contextmanager
    def one(self) -> Generator[None]:
        """Count a try, and note what it raises."""
        self.number += 1
        self.error = None
        try:
            yield
        except Exception as error:
            self.error = error
            raise

    def ended_with(self, error: Exception) -> bool:
        """Return whether an error is that of the last try, or says that nobody can judge that one."""
        cannot_judge = isinstance(error, CallableFailed) and error.__cause__ is self.error
        return error is self.error or cannot_judge

    def succeeded(self, result: Any) -> CallAttempt:
        return CallAttempt(self.number, "succeeded", None, None, result)

    def refused(self) -> CallAttempt:
        said = "" if self.error is None else redacted_with_causes(self.error)
        return CallAttempt(self.number, "refused", said, None, raised=self.error)


def _failed(state: _TryState) -> CallAttempt:
    """Return a try that is followed by another one."""
    error = None if state.outcome is None else state.outcome.exception()
    seconds = 0.0 if state.next_action is None else float(state.next_action.sleep)
    said = None if error is None else redacted_with_causes(error)
    return CallAttempt(state.attempt_number, "failed", said, seconds, raised=error)


def _sleep(seconds: float) -> None:
    threading.Event().wait(seconds)
