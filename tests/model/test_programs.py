"""Random programs of commands against the model, with a fault at any step (P1 to P8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis.stateful import run_state_machine_as_test

from eventlog.testing.files import FilesBacking
from eventlog.testing.machine import SessionMachine, TaskMachine
from eventlog.testing.model.backing import Backing, MemoryBacking
from eventlog.testing.servers.nats_backing import NatsBacking
from eventlog.testing.servers.postgres_backing import PostgresBacking
from eventlog.testing.sqlite import SQLiteBacking

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

    from hypothesis import settings

    from eventlog.testing.servers.nats import NatsCluster


class MemoryPrograms(SessionMachine):
    """Programs on the memory store: a fault strikes between its calls."""

    def make_backing(self) -> Backing:
        return MemoryBacking()


def test_programs_on_memory_do_what_the_model_does(
    examples: Callable[[int], settings], programs: Counter[str]
) -> None:
    """P1 to P8, whatever is said, committed, worked on, cut and killed in whatever order."""
    run_state_machine_as_test(MemoryPrograms, settings=examples(20))
    programs.update({f"memory {what}": count for what, count in MemoryPrograms.ran.items()})


class MemoryTasks(TaskMachine):
    """Programs about tasks, on the memory store."""

    def make_backing(self) -> Backing:
        return MemoryBacking()


def test_tasks_keep_every_law_at_each_step(
    examples: Callable[[int], settings], programs: Counter[str]
) -> None:
    """P4 to P7: late and lost workers, retries, abandons, crashes, and a clock that jumps."""
    run_state_machine_as_test(MemoryTasks, settings=examples(4))
    programs.update({f"task {what}": count for what, count in MemoryTasks.ran.items()})


def test_programs_on_sqlite_do_what_the_model_does(
    examples: Callable[[int], settings],
    programs: Counter[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on memory, but a fault also strikes between the statements of a transaction.

    Records are merged into the index tables after every few, not after thousands, so that programs
    of a few commands cross that too.
    """
    for module in ("store", "lookup"):
        monkeypatch.setattr(f"eventlog.stores.sqlite.{module}.MERGE_AT", 5)

    class SQLitePrograms(SessionMachine):
        def make_backing(self) -> Backing:
            for path in tmp_path.iterdir():
                path.unlink()
            return SQLiteBacking(tmp_path / "log.db")

    run_state_machine_as_test(SQLitePrograms, settings=examples(6))
    programs.update({f"SQLite {what}": count for what, count in SQLitePrograms.ran.items()})


def test_programs_on_postgres_do_what_the_model_does(
    examples: Callable[[int], settings],
    programs: Counter[str],
    newest_postgres: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on memory, on a real server."""
    # Leases are counted in the server's time, which programs cannot move and the model not know.
    monkeypatch.delattr("eventlog.stores.postgres.store.PostgresStore.now")

    class PostgresPrograms(SessionMachine):
        def make_backing(self) -> Backing:
            return PostgresBacking(newest_postgres, "programs")

    try:
        run_state_machine_as_test(PostgresPrograms, settings=examples(3))
    finally:
        with psycopg.connect(newest_postgres, autocommit=True) as connection:
            connection.execute('DROP SCHEMA IF EXISTS programs, "programs-image" CASCADE')
    programs.update({f"PostgreSQL {what}": count for what, count in PostgresPrograms.ran.items()})


def test_programs_on_files_do_what_the_model_does(
    examples: Callable[[int], settings], programs: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on memory, but a fault also strikes between the writes and syncs of a batch, and each sync
    and write may fail.

    Segments and runs are begun after a few records, so that programs of a few commands cross that.
    """
    monkeypatch.setattr("eventlog.stores.files.index.FLUSH_AT", 5)

    class FilesPrograms(SessionMachine):
        def make_backing(self) -> Backing:
            return FilesBacking(segment_bytes=2_000)

    run_state_machine_as_test(FilesPrograms, settings=examples(6))
    programs.update({f"files {what}": count for what, count in FilesPrograms.ran.items()})


@pytest.mark.parametrize(("servers", "count"), [("nats_server", 2), ("nats_cluster", 1)])
def test_programs_on_jetstream_do_what_the_model_does(
    servers: str,
    count: int,
    examples: Callable[[int], settings],
    programs: Counter[str],
    request: pytest.FixtureRequest,
) -> None:
    """As on memory, on a real server, and on three that replicate."""
    started: str | NatsCluster = request.getfixturevalue(servers)
    address = started if isinstance(started, str) else started.url()

    class JetStreamPrograms(SessionMachine):
        def make_backing(self) -> Backing:
            return NatsBacking(address)

    run_state_machine_as_test(JetStreamPrograms, settings=examples(count))
    name = servers.replace("nats", "JetStream").replace("_", " ")
    programs.update({f"{name} {what}": found for what, found in JetStreamPrograms.ran.items()})
