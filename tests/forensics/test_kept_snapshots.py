"""Snapshots that are kept along the way: a look at any version folds few records (B15, L12)."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import eventlog
from eventlog import Log, Message
from eventlog.audit import snapshot_check
from eventlog.audit.verify import Verified, verify_session
from eventlog.engine import snapshots
from eventlog.forensics import past
from eventlog.projection import replay
from eventlog.records import Record
from eventlog.session.folding import apply_records
from eventlog.session.projection import SessionFold
from eventlog.session.state import SessionState
from eventlog.testing.inside import core_of

EVERY = 512
"""Versions for each snapshot that is kept in these tests."""

NEAR = EVERY + 2 * snapshots.SNAPSHOT_INTERVAL
"""The most records that a look may fold: the next snapshot that is due is the one that is kept."""


def keep_often(patch: pytest.MonkeyPatch) -> None:
    for module in (snapshots, past, snapshot_check):
        patch.setattr(module, "KEPT_EVERY", EVERY)
    patch.setattr(past, "CHECKPOINT_EVERY", EVERY // 2)


@pytest.fixture(autouse=True)
def _kept_often(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_often(monkeypatch)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with one session of 2,500 records, among them commits."""
    path = tmp_path_factory.mktemp("kept") / "log.db"
    with pytest.MonkeyPatch.context() as patch:
        keep_often(patch)
        with eventlog.open(f"sqlite:///{path}?synchronous=off") as log:
            session = log.session("s", create=True, failed_archives="skip")
            for number in range(20):
                session.extend([Message.user(f"message {number}.{each}") for each in range(126)])
                if number % 7 == 3:
                    session.commit(keep_recent=5)
    return path


@pytest.fixture
def path(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(filled, tmp_path))


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The versions of the records that were folded in order to look back."""
    versions: list[int] = []
    fold = apply_records

    def noted(state: SessionState, records: Iterator[Record]) -> None:
        def each() -> Iterator[Record]:
            for record in records:
                versions.append(record.version)
                yield record

        fold(state, each())

    monkeypatch.setattr(past, "apply_records", noted)
    return versions


def opened(path: Path, options: str = "") -> Log:
    return eventlog.open(f"sqlite:///{path}{options}")


def state_at(log: Log, version: int) -> SessionState:
    return past.Past(core_of(log, "s").store, core_of(log, "s"), len).state(version)


def replayed(log: Log, version: int) -> SessionState:
    return replay(log.store.read("s", until=version), SessionFold("s"))


def kept(path: Path) -> dict[str, bytes]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT key, data FROM blobs WHERE key LIKE 'snapshot/s/%/%'")
        return dict(found.fetchall())


def write(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def verified(path: Path) -> Verified:
    with opened(path) as log:
        return verify_session(log.store, "s")


def test_any_version_is_folded_from_a_snapshot_near_it(path: Path, folded: list[int]) -> None:
    with opened(path) as log:
        head = log.session("s").version
    for version in (1, EVERY - 1, EVERY, 3 * EVERY - 1, 3 * EVERY + 300, head - 1, head):
        folded.clear()
        with opened(path) as log:
            log.session("s")
            assert state_at(log, version) == replayed(log, version)
        assert len(folded) <= NEAR
    assert verified(path).findings == []


def test_a_log_without_them_gets_them_by_a_first_look(path: Path, folded: list[int]) -> None:
    """So does a log of an earlier version, or a copy of one."""
    write(path, "DELETE FROM blobs")
    for expected in (4 * EVERY - 1, EVERY - 1):
        folded.clear()
        with opened(path) as log:
            log.session("s")
            assert state_at(log, 4 * EVERY - 1) == replayed(log, 4 * EVERY - 1)
        assert len(folded) == expected
    assert len(kept(path)) == 3
    assert verified(path).findings == []


def test_looking_back_in_evidence_writes_nothing(path: Path) -> None:
    write(path, "DELETE FROM blobs")
    with opened(path, "?mode=ro") as log:
        log.session("s")
        assert state_at(log, 4 * EVERY) == replayed(log, 4 * EVERY)
    assert kept(path) == {}


@pytest.mark.parametrize("damage", ["other bytes", "other code", "another history"])
def test_one_that_is_of_no_use_is_ignored_and_counted(path: Path, damage: str) -> None:
    (key, whole), *_ = sorted(kept(path).items())
    line, _, state = whole.partition(b"\n")
    header = json.loads(line)
    if damage == "other bytes":
        state = state[:-1]
    elif damage == "other code":
        header["fingerprint"] = "7"
    else:
        header["hash"] = bytes(32).hex()
    forged = json.dumps(header).encode() + b"\n" + state
    write(path, "UPDATE blobs SET data = ? WHERE key = ?", forged, key)
    found = verified(path)
    assert (found.findings, found.not_checked) == ([], 1)
    with opened(path) as log:
        log.session("s")
        assert state_at(log, 2 * EVERY - 1) == replayed(log, 2 * EVERY - 1)


def test_one_that_differs_from_the_events_is_found(path: Path) -> None:
    for key, whole in kept(path).items():
        line, _, state = whole.partition(b"\n")
        forged = state.replace(b'"keep_recent":5', b'"keep_recent":6')
        assert forged != state
        header = {**json.loads(line), "digest": hashlib.sha256(forged).hexdigest()}
        forged = json.dumps(header).encode() + b"\n" + forged
        write(path, "UPDATE blobs SET data = ? WHERE key = ?", forged, key)
    found = verified(path).findings
    assert [each.kind for each in found] == ["snapshot"] * len(kept(path))
    assert "keep_recent" in found[0].detail


def test_a_state_that_is_large_is_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_KEPT_BYTES", 64)
    write(path, "DELETE FROM blobs")
    with opened(path) as log:
        log.session("s")
        assert state_at(log, 4 * EVERY) == replayed(log, 4 * EVERY)
    assert kept(path) == {}
