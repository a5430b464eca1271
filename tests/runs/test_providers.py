"""Providers: the recorded one first, another one where it is gone (R4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventlog import (
    Log,
    Provider,
    ProviderGone,
    Run,
    Session,
)
from eventlog.testing.clock import FakeClock
from tests.runs.driving import check, run_of, types
from tests.runs.supervising import answer, begun_elsewhere, events, queued, states, work


def using(log: Log) -> list[str | None]:
    return [event.provider for event in events(log, "run_started")]


def test_the_recorded_provider_comes_first(log: Log, session: Session, clock: FakeClock) -> None:
    queued(session, "m1")
    work(log, answer, clock, providers=[Provider("gemini"), Provider("claude")])
    assert using(log) == ["claude"]


def test_another_provider_takes_over_where_the_recorded_one_is_not_available(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1")

    async def no() -> bool:
        return False

    providers = [Provider("claude", is_available=no), Provider("gemini", is_available=lambda: True)]
    work(log, answer, clock, providers=providers)
    assert using(log) == ["gemini"]
    assert states(log) == ["completed"]


def test_a_provider_that_goes_mid_run_is_replaced_within_the_same_turn(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")
    paid: list[str] = []

    async def agent(run: Run) -> str:
        assert run.provider is not None

        def pay() -> str:
            paid.append("once")
            return "found"

        await run.step("search", pay)
        if run.provider.name == "claude":
            raise ExceptionGroup("1", [ProviderGone("the key was revoked")])
        assert run.provider.client == 7
        return "done"

    work(log, agent, clock, providers=[Provider("claude"), Provider("gemini", 7)])

    assert (using(log), paid) == (["claude", "gemini"], ["once"])
    view = run_of(log, run_id)
    assert (view.state, view.fallbacks, view.provider) == ("completed", 1, "gemini")
    check(log)


def unavailable() -> bool:
    raise OSError("no such host")


@pytest.mark.parametrize("has_fallback", [True, False])
def test_51_orphans_of_a_provider_that_is_gone_are_drained_or_abandoned(
    log: Log, session: Session, clock: FakeClock, has_fallback: bool
) -> None:
    """R5: none is stuck."""
    runs = queued(session, *(f"m{number}" for number in range(51)))
    begun_elsewhere(log, runs[0])
    clock.advance(3600)
    providers = [Provider("claude", is_available=unavailable)]
    providers += [Provider("gemini")] if has_fallback else []

    work(log, answer, clock, providers=providers)

    assert states(log) == ["completed" if has_fallback else "abandoned"] * 51
    assert [*log.tasks("s", state="pending")] == []
    assert log.health().queue_depth == 0
    if not has_fallback:
        expected = "no provider can process it: claude is not available (OSError: no such host)"
        assert {run.error for run in log.runs("s")} == {expected}
    check(log)


def test_a_provider_without_sessions_gets_an_id_before_the_first_call(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1")
    ids: list[str] = []

    async def agent(run: Run) -> None:
        ids.append(await run.session.memory_session("gemini"))

    work(log, agent, clock, providers=[Provider("gemini", keeps_sessions=False)])
    place = types(log).index("memory_session_assigned")
    assert types(log)[place + 1] == "run_started"
    assert ids[0].startswith("gemini-s-")
    check(log)


async def _hangs() -> bool:
    await asyncio.sleep(86_400)
    return True


async def _is_cancelled() -> bool:
    raise asyncio.CancelledError


@pytest.mark.parametrize("is_available", [_hangs, _is_cancelled])
def test_a_provider_that_does_not_answer_is_not_available(
    log: Log, session: Session, clock: FakeClock, is_available: Any
) -> None:
    """R3, R4: whatever the question to a provider does, the supervisor goes on."""
    queued(session, "m1", "m2")
    providers = [Provider("claude", is_available=is_available), Provider("gemini")]
    work(log, answer, clock, providers=providers, for_seconds=30)
    assert states(log) == ["completed", "completed"]
    assert {run.provider for run in log.runs()} == {"gemini"}


def test_a_supervisor_stops_while_a_provider_is_asked(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1")
    work(log, answer, clock, providers=[Provider("claude", is_available=_hangs)], for_seconds=1)
    assert clock() < FakeClock()() + 2_000_000
    assert states(log) == ["idle"]
