"""Calls of models that are tried again (R2)."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from eventlog import (
    CallAttempt,
    InvalidArgument,
    LeaseLost,
    Log,
    Message,
    NonRetryableError,
    PlainRun,
    RetryPolicy,
    Run,
    Session,
    StoreUnavailable,
    Supervisor,
    UnsupportedFeature,
    retrying,
)
from tests.runs.driving import check, run_of

if TYPE_CHECKING:
    from eventlog.testing.clock import FakeClock


class Answered(Exception):
    """An error with the status of a response."""

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.retry_after = retry_after


def failing(*errors: Exception | str) -> Any:
    left = list(errors)

    def call() -> str:
        if left:
            found = left.pop(0)
            if isinstance(found, str):
                return found
            raise found
        return "hello"

    return call


def tried(call: Any, **options: Any) -> tuple[Any, list[float], list[CallAttempt]]:
    slept: list[float] = []
    attempts: list[CallAttempt] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def main() -> Any:
        try:
            return await retrying(
                call, draw=lambda: 1.0, sleep=sleep, on_attempt=attempts.append, **options
            )
        except Exception as error:  # noqa: BLE001 - looked at by the test
            return error

    return asyncio.run(main()), slept, attempts


def test_an_error_that_may_pass_is_tried_again_after_a_growing_time() -> None:
    found, slept, attempts = tried(
        failing(Answered(503), ConnectionResetError("reset"), Answered(529)),
        policy=RetryPolicy(attempts=4),
    )

    assert found == "hello"
    assert slept == [1, 2, 4]
    assert [(each.number, each.outcome, each.delay_seconds) for each in attempts] == [
        (1, "failed", 1.0),
        (2, "failed", 2.0),
        (3, "failed", 4.0),
        (4, "succeeded", None),
    ]


@pytest.mark.parametrize(
    "error",
    [
        Answered(401),
        NonRetryableError("no"),
        ValueError("prompt is too long"),
        "Prompt is too long",
    ],
    ids=str,
)
def test_a_fatal_error_is_raised_at_once(error: Exception | str) -> None:
    found, slept, attempts = tried(failing(error))
    assert isinstance(found, Exception)
    assert slept == []
    assert [each.outcome for each in attempts] == ["refused"]


def test_the_last_error_is_raised_as_it_is() -> None:
    last = Answered(500)
    found, slept, attempts = tried(failing(Answered(500), Answered(500), last))
    assert found is last
    assert slept == [1, 2]
    assert [each.outcome for each in attempts] == ["failed", "failed", "refused"]


def test_a_service_that_names_a_time_is_given_it() -> None:
    _, slept, _ = tried(failing(Answered(429, 30)))
    assert slept == [30]


def test_an_error_returned_as_text_is_one() -> None:
    found, slept, _ = tried(failing("API Error: 529 overloaded"))
    assert (found, slept) == ("hello", [1])


def test_the_wait_is_drawn_and_capped() -> None:
    drawn = iter([0.5, 0.0, 1.0])
    slept: list[float] = []

    async def main() -> None:
        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        call = failing(*[Answered(500)] * 3)
        policy = RetryPolicy(attempts=4, base_seconds=10, cap_seconds=15)
        await retrying(call, policy, draw=lambda: next(drawn), sleep=sleep)

    asyncio.run(main())
    assert slept == [5, 0, 15]


@pytest.mark.parametrize("ends", ["hello", Answered(401), Answered(503)])
def test_whoever_is_told_repeats_no_call(ends: Any) -> None:
    """An error of what records a try, such as an outage of the store, costs nothing more."""
    paid: list[int] = []

    def call() -> str:
        paid.append(1)
        if isinstance(ends, Exception):
            raise ends
        return str(ends)

    def tell(attempt: CallAttempt) -> None:
        if attempt.outcome != "failed":
            raise StoreUnavailable("gone")

    async def main() -> None:
        await retrying(call, RetryPolicy(2, base_seconds=0), on_attempt=tell)

    with pytest.raises(StoreUnavailable):
        asyncio.run(main())
    assert len(paid) == (2 if str(ends) == "status 503" else 1)


def _broken(*_: object) -> Any:
    raise KeyError("a bug")


@pytest.mark.parametrize("name", ["classifier", "draw", "clock"])
def test_a_function_beside_the_call_that_raises_is_named_and_the_error_of_the_call_survives(
    name: str,
) -> None:
    original = Answered(503)
    paid: list[int] = []
    attempts: list[CallAttempt] = []

    def call() -> None:
        paid.append(1)
        raise original

    async def main() -> None:
        broken: dict[str, Any] = {name: _broken}
        await retrying(call, on_attempt=attempts.append, **broken)

    with pytest.raises(InvalidArgument, match=f"{name} raised KeyError: 'a bug'") as raised:
        asyncio.run(main())
    assert raised.value.__cause__ is original
    assert isinstance(raised.value.__context__, KeyError)
    assert paid == [1]
    assert [(each.outcome, each.raised) for each in attempts] == [("refused", original)]


def test_a_result_that_nobody_can_judge_is_not_paid_again() -> None:
    found, slept, attempts = tried(failing(), result_classifier=_broken)
    assert isinstance(found, InvalidArgument)
    assert "result_classifier raised KeyError" in str(found)
    assert (slept, [each.outcome for each in attempts]) == ([], ["refused"])


def test_what_is_told_of_a_try_and_raises_has_the_error_of_the_call_as_its_cause() -> None:
    original = Answered(503)

    async def main() -> None:
        await retrying(failing(original), on_attempt=_broken)

    with pytest.raises(KeyError) as raised:
        asyncio.run(main())
    assert raised.value.__cause__ is original


@pytest.mark.parametrize("style", ["async", "plain"])
@pytest.mark.parametrize("what", ["classifier", "usage"])
def test_in_a_run_the_call_and_its_error_are_recorded_whatever_is_broken(
    log: Log, session: Session, style: str, what: str
) -> None:
    run_id = session.enqueue(Message.user("x"))
    paid: list[int] = []

    def call() -> str:
        paid.append(1)
        if what == "classifier":
            raise NonRetryableError("key sk-0123456789abcdef is wrong")
        return "hello"

    async def agent(run: Run) -> None:
        await run.call(call, usage=_broken)

    def plain(run: PlainRun) -> None:
        run.call(call, usage=_broken)

    chosen: Any = agent if style == "async" else plain
    classifier: dict[str, Any] = {"classifier": _broken} if what == "classifier" else {}
    asyncio.run(Supervisor(log, chosen, **classifier).run_once())

    view = run_of(log, run_id)
    assert (view.state, view.calls, paid) == ("failed", 1, [1])
    said = f"CallableFailed: {what} raised KeyError: 'a bug'; correct the function"
    cause = " (from NonRetryableError: key [redacted] is wrong)" if what == "classifier" else ""
    assert view.error == said + cause
    check(log)


def test_a_call_whose_attempt_is_over_is_not_tried_again() -> None:
    lost = LeaseLost("t", 1, "it is over", of="turn")
    for error in (lost, ExceptionGroup("both", [ConnectionError(), lost])):
        found, slept, attempts = tried(failing(error))
        assert (found, slept) == (error, [])
        assert [attempt.outcome for attempt in attempts] == ["refused"]


@pytest.mark.parametrize("hint", [1e300, 10**400], ids=["long", "longer"])
def test_a_service_that_asks_for_too_long_is_given_an_hour(hint: float) -> None:
    _, slept, _ = tried(failing(Answered(503, hint)))
    assert slept == [3600.0]


def test_a_cancelled_call_is_not_tried_again() -> None:
    calls: list[int] = []

    async def main() -> None:
        begun = asyncio.Event()

        async def call() -> None:
            calls.append(1)
            begun.set()
            await asyncio.sleep(3600)

        task = asyncio.create_task(retrying(call))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert calls == [1]


def test_without_tenacity_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tenacity", None)
    with pytest.raises(UnsupportedFeature, match=r"eventlog-sessions\[runs\]"):
        asyncio.run(retrying(lambda: 1))


@pytest.mark.parametrize("style", ["async", "plain"])
def test_every_try_in_a_run_is_an_event(
    log: Log, session: Session, clock: FakeClock, style: str
) -> None:
    run_id = session.enqueue(Message.user("x"))
    call = failing(Answered(503, 0))
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    policy = RetryPolicy(base_seconds=0)

    async def agent(run: Run) -> str:
        found: str = await run.call(call, policy, name="ask", usage=lambda _: usage)
        return found

    def plain(run: PlainRun) -> str:
        found: str = run.call(call, policy, name="ask", usage=lambda _: usage)
        return found

    chosen: Any = agent if style == "async" else plain
    asyncio.run(Supervisor(log, chosen).run_once())

    found: list[Any] = [entry.event for entry in log.read("s") if entry.type == "model_called"]
    said = [(each.call, each.number, each.outcome, each.error) for each in found]
    assert said == [("ask", 1, "failed", "Answered: status 503"), ("ask", 2, "succeeded", None)]
    view = run_of(log, run_id)
    assert (view.state, view.calls) == ("completed", 2)
    assert view.usage == {**usage, "total_tokens": 10}
    check(log)


def test_a_usage_that_is_none_is_refused(log: Log, session: Session) -> None:
    run_id = session.enqueue(Message.user("x"))

    async def agent(run: Run) -> None:
        await run.call(lambda: "x", usage=lambda _: {"dollars": 3})

    asyncio.run(Supervisor(log, agent).run_once())
    view = run_of(log, run_id)
    assert view.state == "failed"
    assert "dollars" in (view.error or "")
    with pytest.raises(InvalidArgument):
        RetryPolicy(attempts=0)
