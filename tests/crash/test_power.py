"""SQLite that loses power: FULL keeps its promise, and weaker settings are found (K5).

Real SQLite on a simulated disk, through the SQLite store. The canaries set a pragma behind the
store's back, as a driver, a file system or a careless option would: the store declares ``power``.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pytest

from eventlog import Message, Session
from eventlog.stores.sqlite import connections, store, wal
from eventlog.testing import Crash, CrashFound, Host, check_laws, every_crash
from eventlog.testing.conformance import draft
from eventlog.testing.disk.fates import random_fate
from tests.shares import rounds

if TYPE_CHECKING:
    from collections import Counter

    from tests.shares import Share

CRASHES: Final = {
    "full": rounds(100, 36_000),
    "normal": rounds(60, 36_000),
    "delete": rounds(60, 36_000),
}
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "full": {},
    "normal": {"synchronous": 1},
    "delete": {"journal_mode": "delete", "locking_mode": "normal"},
}
"""What SQLite really does: as the store says, WAL with NORMAL, a rollback journal with FULL."""

STREAMS: Final = ("a", "b")


@pytest.fixture
def seed(nightly: bool) -> int:
    """Where the random crashes begin: another place each night, printed to be repeated."""
    drawn = Random().randrange(1 << 32) if nightly else 1
    return int(os.environ.get("EVENTLOG_CRASH_SEED", drawn))


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoint, begin the WAL anew and merge every few records: short programs crash there, too."""
    monkeypatch.setattr(connections, "_CHECKPOINT_PAGES", 12)
    monkeypatch.setattr(store, "MERGE_AT", 5)
    monkeypatch.setattr(wal, "LOOK_EVERY", 3)
    monkeypatch.setattr(wal.WalKeeper, "_file_size", lambda self: wal.LIMIT)


def append_at_random(host: Host, random: Random) -> None:
    """Append batches of any size to two streams, until the power fails; note what was stored."""
    store = host.open_store()
    versions = dict.fromkeys(STREAMS, 0)
    if random.random() < 0.9:
        host.steps.fail(host.steps.count + random.randint(1, 120))
    for _ in range(random.randint(1, 12)):
        batch = []
        for stream in random.sample(STREAMS, random.randint(1, 2)):
            size = random.choice((1, 1, 2, 5))
            data = b'{"text":"%s"}' % (b"x" * random.choice((10, 100, 6_000)))
            batch.append(draft(stream, size, expected=versions[stream], data=data))
            versions[stream] += size
        store.append(batch)
        host.told = [dict(versions)]


def stored_versions(host: Host) -> dict[str, int]:
    """Return how far each stream goes; assert that what is there is whole."""
    store = host.open_store()
    assert store.check() == []
    found = {stream: store.head(stream).version for stream in STREAMS}
    for stream, version in found.items():
        assert [record.version for record in store.read(stream)] == list(range(1, version + 1))
    return found


def crash_at_random(seed: int, pragmas: dict[str, Any]) -> tuple[int, int]:
    """Crash once; return how many records were lost of those acknowledged, and how many were not."""
    random = Random(seed)
    with Host(pragmas=pragmas) as host:
        with suppress(Crash):
            append_at_random(host, random)
        acknowledged = host.told[-1] if host.told else dict.fromkeys(STREAMS, 0)
        with host.after_crash(random_fate(random, len(host.disk.pending))) as left:
            found = stored_versions(left)
            store = left.open_store()
            for stream, version in found.items():  # P8: it goes on where it stopped.
                store.append([draft(stream, 1, expected=version)])
                assert store.head(stream).version == version + 1
    lost = sum(max(0, acknowledged[stream] - found[stream]) for stream in STREAMS)
    return lost, sum(acknowledged.values())


@pytest.mark.parametrize("setting", SETTINGS)
def test_random_power_failures(
    setting: str, seed: int, points: Counter[str], canaries: list[str]
) -> None:
    """With FULL no acknowledged record is lost; with less some are, though no file is corrupt."""
    lost = acknowledged = losses = 0
    first = 0
    for number in range(1, CRASHES[setting] + 1):
        missing, told = crash_at_random(seed * 1_000_003 + number, SETTINGS[setting])
        if setting == "full":
            assert missing == 0, f"{missing} records lost: EVENTLOG_CRASH_SEED={seed}, {number}"
        lost, acknowledged, losses = lost + missing, acknowledged + told, losses + bool(missing)
        first = first or (number if missing else 0)
    points[f"sqlite at random, {setting}, EVENTLOG_CRASH_SEED={seed}"] += number
    if setting != "full":
        assert lost > 0, f"no crash of {number} lost anything: the alarm does not ring"
        canaries.append(
            f"found {setting} after {first} random crashes: in {losses} of {number} crashes {lost} of "
            f"{acknowledged} acknowledged records were lost"
        )


# ---- the same, found by the first program that anybody would write -----------------------------


def two_messages(host: Host) -> None:
    session = host.open_log().session("chat", create=True)
    host.told.append(session.append(Message.user("hello", id="m1")).id)
    host.told.append(session.append(Message.user("and?", id="m2")).id)


def acknowledged_messages_are_there(host: Host) -> list[str]:
    log = host.open_log()
    check_laws(log.store)
    session = log.session("chat", create=True)
    stored = [message.id for message in session.history()] if log.exists("chat") else []
    assert stored[: len(host.told)] == host.told
    return stored


def test_nothing_is_found_with_full(share: Share, points: Counter[str]) -> None:
    report = every_crash(
        two_messages, acknowledged_messages_are_there, every=share.every, first=share.first
    )

    points["sqlite from its creation on"] += report.points
    points["sqlite from its creation on, images"] += report.images
    assert report.steps > 50
    assert report.points >= report.steps // share.every


@pytest.mark.parametrize("setting", ["normal", "delete"])
def test_a_setting_that_promises_too_much_is_found(setting: str, canaries: list[str]) -> None:
    def make_host() -> Host:
        return Host(pragmas=SETTINGS[setting])

    with pytest.raises(CrashFound) as caught:
        every_crash(two_messages, acknowledged_messages_are_there, make_host=make_host)

    finding = caught.value.finding
    assert finding.host.told, "what was lost had been acknowledged"
    assert "LOST" in str(caught.value)
    canaries.append(
        f"found {setting} by the first program: append, append, crash at step "
        f"{finding.host.steps.count}, {finding.fate}"
    )


def test_no_thread_waits_for_one_that_has_crashed() -> None:
    """Whoever waits for the transaction of a thread that is no more finds that out, too."""
    for step in range(1, 40, 3):
        with Host() as host:
            log = host.open_log()
            sessions = [log.session(f"s{number}", create=True) for number in range(4)]
            host.steps.fail(host.steps.count + step)

            def talk(session: Session) -> str:
                try:
                    for _ in range(4):
                        session.append(Message.user("hello"))
                        session.tail()
                except Crash:
                    return "crashed"
                return "done"

            with ThreadPoolExecutor(4) as pool:
                ended = list(pool.map(talk, sessions))
            assert "crashed" in ended
