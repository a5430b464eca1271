"""Several stores on one file: they see each other's records, and one merges while others read."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import eventlog
from eventlog import DuplicateEvent, EventLogError, Message, VersionConflict
from eventlog.records import Appended
from eventlog.sqlite_driver import sqlite3
from eventlog.stores.sqlite import SQLiteStore
from eventlog.stores.sqlite.batch import Batch
from eventlog.stores.sqlite.tail import MERGE_AT
from eventlog.testing.conformance import draft, make_record, unplaced

Stores = tuple[SQLiteStore, SQLiteStore]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    """Two stores on one file, as two processes have them."""
    first, second = SQLiteStore(tmp_path / "log.db"), SQLiteStore(tmp_path / "log.db")
    yield first, second
    first.close()
    second.close()


def indexed(path: Path) -> int:
    """Return the position up to which the index tables hold the log."""
    with closing(sqlite3.connect(path)) as raw:
        (position,) = raw.execute("SELECT position FROM progress").fetchone()
        return int(position)


# ---- two of them ------------------------------------------------------------------------------


def test_each_sees_what_the_other_appends(stores: Stores) -> None:
    first, second = stores
    for number in range(6):
        writer, reader = stores if number % 2 else stores[::-1]
        writer.append([draft("s", 2, expected=2 * number, entries=(("k", b"%d" % number),))])
        assert unplaced(reader.read("s")) == list(draft("s", 2 * number + 2).records)
        assert reader.head("s") == writer.head("s")
        assert reader.tip() == writer.tip()
        assert list(reader.scan("k", "l")) == [("k", b"%d" % number)]
    first.put_blob("b", b"1")
    assert second.put_blob("b", b"2", 1) == 2


def test_a_foreign_append_is_a_conflict_and_then_known(stores: Stores) -> None:
    first, second = stores
    first.append([draft("s", 2)])
    second.append([draft("s", 1, expected=2)])

    conflict, repeated, overlap = first.append(
        [
            draft("s", 1, expected=2, key="rival"),
            draft("s", 1, expected=2),
            draft("s", 2, expected=2),
        ]
    )

    assert isinstance(conflict, VersionConflict)
    assert conflict.actual == 3
    assert isinstance(repeated, Appended)
    assert (repeated.versions, repeated.replayed) == ((3,), True)
    assert isinstance(overlap, DuplicateEvent)
    (answer,) = first.append([draft("s", 1, expected=3)])
    assert isinstance(answer, Appended)


def test_a_stream_made_by_one_is_the_same_stream_for_the_other(stores: Stores) -> None:
    """Also where both looked for it before it was there."""
    first, second = stores
    assert first.head("s").version == second.head("s").version == 0

    first.append([draft("s")])
    second.append([draft("s", 1, expected=1), draft("t")])
    first.append([draft("t", 1, expected=1)])

    assert first.head("t") == second.head("t")
    assert [record.version for record in second.read("t")] == [1, 2]


def test_one_merges_while_the_other_has_an_older_tail(stores: Stores, tmp_path: Path) -> None:
    """The tail of the other holds records that the index tables hold by now; no harm."""
    first, second = stores
    second.append([draft("s", 10), draft("other", 5)])
    assert second.head("s").version == 10
    for start in range(10, MERGE_AT + 110, 100):
        first.append([draft("s", 100, expected=start)])
    length = first.head("s").version
    assert indexed(tmp_path / "log.db") > 0

    for store in stores:
        everything = unplaced(store.read("s"))
        assert everything == list(draft("s", length).records)
        assert unplaced(store.read("s", reverse=True)) == everything[::-1]
        assert unplaced(store.read("other")) == list(draft("other", 5).records)
        ids = [make_record("s", version).event_id for version in (1, 10, 11, length)]
        assert list(store.find("s", ids).values()) == [1, 10, 11, length]
        (repeated,) = store.append([draft("s", 3, expected=9)])
        assert isinstance(repeated, Appended)
        assert repeated.versions == (10, 11, 12)
        assert store.check() == []


def test_a_store_that_was_idle_while_much_was_written_catches_up(
    stores: Stores, tmp_path: Path
) -> None:
    first, second = stores
    assert second.tip() == 0
    for start in range(0, 3 * MERGE_AT, 512):
        first.append([draft("s", 512, expected=start)])
    assert indexed(tmp_path / "log.db") >= 2 * MERGE_AT

    assert second.head("s") == first.head("s")
    (answer,) = second.append([draft("s", 1, expected=3 * MERGE_AT)])
    assert isinstance(answer, Appended)
    assert [record.version for record in first.read("s", after=3 * MERGE_AT)] == [3 * MERGE_AT + 1]
    assert second.check() == []


def test_an_append_is_not_refused_for_what_a_reader_has_seen_by_then(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader shares the tail: what it finds is news for the append, which was decided before."""
    first, second = stores
    second.append([draft("s", 1, expected=0)])
    second.append([draft("s", 1, expected=1)])
    first.append([draft("s", 1, expected=2)])
    decide = Batch.run

    def run(batch: Batch) -> list[Appended | EventLogError]:
        answers = decide(batch)
        with ThreadPoolExecutor(1) as reader:
            assert reader.submit(second.head, "s").result().version == 3
        return answers

    monkeypatch.setattr(Batch, "run", run)
    (answer,) = second.append([draft("s", 1, expected=3)])

    assert isinstance(answer, Appended)


def test_readers_see_whole_streams_while_others_append_and_merge(stores: Stores) -> None:
    """Whatever the moment: gapless, in order, and as long as the head says."""
    first, second = stores
    rounds, size = 40, 256
    done = threading.Event()

    def read(store: SQLiteStore) -> int:
        looks = 0
        while not done.is_set():
            known = store.head("s").version
            versions = [record.version for record in store.read("s", after=max(0, known - 700))]
            assert versions == list(
                range(max(0, known - 700) + 1, versions[-1] + 1 if versions else 1)
            )
            assert not versions or versions[-1] >= known
            looks += 1
        return looks

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read, store) for store in (first, second, second)]
        try:
            for number in range(rounds):
                writer = stores[number % 2]
                writer.append([draft("s", size, expected=number * size)])
        finally:
            done.set()
        assert all(reader.result() for reader in readers)

    assert first.head("s").version == rounds * size
    assert first.check() == second.check() == []


def test_a_reader_may_know_a_batch_before_its_writer_notes_it(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the commit and the note readers, and other writers, have gone on already."""
    first, second = stores
    monkeypatch.setattr("eventlog.stores.sqlite.store.MERGE_AT", 5)
    commit = first._commit
    sent = 0

    def commit_and_be_overtaken(connection: sqlite3.Connection) -> None:
        commit(connection)
        second.append([draft("t", 1, expected=sent), draft("u", 1, expected=sent)])
        assert first.head("s").version == 2 * sent + 2
        assert first.head("t").version == sent + 1

    monkeypatch.setattr(first, "_commit", commit_and_be_overtaken)
    for sent in range(12):
        first.append([draft("s", 2, expected=2 * sent)])
        assert first.head("t").version == sent + 1

    for store in stores:
        for stream, length in (("s", 24), ("t", 12), ("u", 12)):
            assert unplaced(store.read(stream)) == list(draft(stream, length).records)
            ids = [record.event_id for record in draft(stream, length).records]
            assert list(store.find(stream, ids).values()) == list(range(1, length + 1))
        assert store.check() == []


# ---- the tail and the index tables ------------------------------------------------------------


@pytest.mark.parametrize("count", [MERGE_AT - 1, MERGE_AT, MERGE_AT + 1, 2 * MERGE_AT])
def test_tail_and_index_tables_agree_around_a_merge(tmp_path: Path, count: int) -> None:
    store = SQLiteStore(tmp_path / "log.db")
    for start in range(0, count, 1_000):
        store.append([draft("s", min(1_000, count - start), expected=start)])

    merged = indexed(tmp_path / "log.db")
    assert (merged >= MERGE_AT) is (count > MERGE_AT + 1_000)
    assert store.check() == []
    assert unplaced(store.read("s", after=count - 3)) == list(draft("s", count).records)[-3:]
    store.close()
    assert indexed(tmp_path / "log.db") == count
    again = SQLiteStore(tmp_path / "log.db")
    assert unplaced(again.read("s")) == list(draft("s", count).records)
    assert again.check() == []
    again.close()


def test_a_process_that_ends_without_closing_leaves_a_tail_for_the_next(tmp_path: Path) -> None:
    """The index tables lag behind; the log is the truth."""
    program = (
        "import os, sys\n"
        "from eventlog.stores.sqlite.store import SQLiteStore\n"
        "from eventlog.testing.conformance import draft\n"
        "store = SQLiteStore(sys.argv[1])\n"
        "store.append([draft('s', 700), draft('t', 3)])\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "log.db")], check=True)
    assert indexed(tmp_path / "log.db") == 0

    store = SQLiteStore(tmp_path / "log.db")
    assert unplaced(store.read("s")) == list(draft("s", 700).records)
    assert unplaced(store.read("t", reverse=True)) == list(draft("t", 3).records)[::-1]
    (again,) = store.append([draft("s", 700)])
    assert isinstance(again, Appended)
    assert again.replayed
    store.close()
    assert indexed(tmp_path / "log.db") == 703


# ---- several processes ------------------------------------------------------------------------

MAKER = """
import json, sys
import eventlog
from eventlog import Message

sys.stdin.readline()
with eventlog.open("sqlite:///" + sys.argv[1]) as log:
    session = log.session("shared", create=True)
    own = log.session(sys.argv[2], create=True)
    for number in range(10):
        session.append(Message.user(f"{sys.argv[2]}-{number}"))
        own.append(Message.user(str(number)))
    print(json.dumps(log.store.check()))
"""


def test_several_processes_make_one_new_file_at_once(tmp_path: Path) -> None:
    """L8: one creates it, the others find it created; all of them write."""
    path, count = tmp_path / "log.db", 5
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKER, str(path), f"p{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    outputs = [maker.communicate(timeout=600) for maker in makers]

    assert [maker.returncode for maker in makers] == [0] * count, outputs
    assert [json.loads(out) for out, _ in outputs] == [[]] * count
    with eventlog.open(f"sqlite:///{path}") as log:
        said = [message.text for message in log.session("shared").tail()]
        assert sorted(said) == sorted(f"p{p}-{n}" for p in range(count) for n in range(10))
        for number in range(count):
            own = [text for text in said if text.startswith(f"p{number}-")]
            assert own == [f"p{number}-{n}" for n in range(10)]
            assert log.verify(f"p{number}") == []
        assert log.verify("shared") == []
        assert log.store.check() == []


# ---- tampering --------------------------------------------------------------------------------

REMOVE = (
    "DELETE FROM records WHERE version = 3",
    "UPDATE record_runs SET positions = json_remove(positions, '$[2]')",
    "DELETE FROM record_ids WHERE version = 3",
)
SWAP = (
    "CREATE TEMP TABLE t AS SELECT * FROM records WHERE version IN (2, 3)",
    *(
        f"UPDATE records SET {column} = (SELECT t.{column} FROM t WHERE t.version = 5 - "
        "records.version) WHERE version IN (2, 3)"
        for column in ("event_id", "type", "schema", "time", "hash", "metadata", "data")
    ),
)
SHIFT = (
    "UPDATE records SET position = position + 100 WHERE version >= 3",
    "UPDATE records SET position = position - 99, version = version + 1 WHERE version >= 3",
    (
        "INSERT INTO records SELECT 3, stream, 3, x'00', type, schema, time, hash, metadata, "
        "data FROM records WHERE version = 2"
    ),
    "DELETE FROM record_runs",
    "DELETE FROM record_ids",
    "UPDATE progress SET position = 0",
)


@pytest.mark.parametrize(
    ("statements", "version", "kind"),
    [
        (("UPDATE records SET data = replace(data, 'b', 'c') WHERE version = 3",), 3, "changed"),
        (('UPDATE records SET metadata = \'{"actor":"x"}\' WHERE version = 2',), 2, "changed"),
        (("UPDATE records SET time = time + 1 WHERE version = 4",), 4, "changed"),
        (("UPDATE records SET type = 'acme.x' WHERE version = 1",), 1, "changed"),
        (("UPDATE records SET hash = x'00' WHERE version = 5",), 5, "changed"),
        (REMOVE, 3, "removed"),
        (SWAP, 2, "reordered"),
        (SHIFT, 3, "inserted"),
    ],
    ids=["data", "metadata", "time", "type", "hash", "removed", "reordered", "inserted"],
)
def test_what_somebody_did_to_the_rows_is_named(
    tmp_path: Path, statements: tuple[str, ...], version: int, kind: str
) -> None:
    """A1: the first bad version, and what is wrong with it."""
    path = tmp_path / "log.db"
    with eventlog.open(f"sqlite:///{path}") as log:
        session = log.session("s", create=True)
        for text in ("a", "b", "c", "d", "e"):
            session.append(Message.user(f"{text}b"))
        assert log.verify("s") == []
    with closing(sqlite3.connect(path)) as raw:
        for statement in statements:
            raw.execute(statement)
        raw.commit()

    with eventlog.open(f"sqlite:///{path}") as log:
        finding = log.verify("s")[0]

    assert (finding.stream, finding.version, finding.kind) == ("s", version, kind)
