"""A disk that is full or fails at any write or sync of SQLite: reported, and nothing is lost (K4)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from eventlog import Message
from eventlog.errors import UnavailableError
from eventlog.testing import KEPT, LOST, Host, check_laws

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from eventlog import Session
    from eventlog.testing.crashing import Fault

CHAT: Final = "chat"
AT: Final = "2026-01-01T00:00:00Z"


def say(name: str) -> Callable[[Session], Any]:
    return lambda session: session.append(Message.user(f"text of {name}", id=name, created_at=AT))


def commit(key: str) -> Callable[[Session], Any]:
    return lambda session: session.commit(keep_recent=1, idempotency_key=key)


ACTIONS: Final = (say("m1"), say("m2"), commit("c1"), say("m3"), commit("c2"), say("m4"))


def carry_out(host: Host) -> int:
    """Do everything, and do again what failed, as a service does; return how often that was."""
    failures = 0
    log = host.open_log()
    session = log.session(CHAT, create=True)
    for action in ACTIONS:
        for _ in range(9):
            try:
                action(session)
            except UnavailableError:
                failures += 1
            else:
                break
        else:
            pytest.fail("it never worked again")
    return failures


def seen(host: Host) -> tuple[list[str], list[str], int]:
    """Return what is in the log, whose laws must hold."""
    log = host.open_log()
    check_laws(log.store)
    session = log.session(CHAT)
    history = [message.id for message in session.history()]
    return history, [message.id for message in session.tail()], len(session.archives())


def host_with_a_log() -> Host:
    host = Host()
    host.open_store()
    return host


def steps_of_all() -> int:
    with host_with_a_log() as host:
        before = host.steps.count
        carry_out(host)
        return host.steps.count - before


@pytest.mark.parametrize("fault", ["full", "cut"])
def test_a_fault_at_any_write_or_sync_loses_nothing_that_was_acknowledged(
    fault: Fault, points: Counter[str]
) -> None:
    """A failure is reported or made good; what is then acknowledged survives a loss of power too."""
    for step in range(1, steps_of_all() + 1):
        with host_with_a_log() as host:
            host.steps.fail(host.steps.count + step, fault)
            carry_out(host)
            assert host.steps.struck == [fault]
            for fate in (KEPT, LOST):
                with host.after_crash(fate) as left:
                    assert seen(left) == (["m1", "m2", "m3", "m4"], ["m3", "m4"], 2), (step, fate)
        points[f"sqlite on a simulated disk, {fault}"] += 1


@pytest.mark.parametrize("fault", ["full", "cut"])
def test_a_log_that_cannot_be_created_is_told_and_can_be_later(
    fault: Fault, points: Counter[str]
) -> None:
    with Host() as calm:
        calm.open_store()
        steps = calm.steps.count
    for step in range(1, steps + 1):
        with Host() as host:
            host.steps.fail(step, fault)
            with suppress(UnavailableError):
                host.open_store()
            carry_out(host)
            # Where a folder cannot be synchronised SQLite tells nobody: only the names are at risk.
            fate = KEPT if host.steps.trace[step - 1] == "sync /" else LOST
            with host.after_crash(fate) as left:
                assert seen(left)[0] == ["m1", "m2", "m3", "m4"], step
        points[f"sqlite on a simulated disk, {fault}"] += 1
