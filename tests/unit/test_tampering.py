"""What `eventlog/docs/tampering.md` says about a writer with access to the storage is true (A1, G8)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eventlog import InvalidArgument, Log, Message, Record
from eventlog.audit.index_check import rebuild_index
from eventlog.chain import GENESIS, chained_record
from eventlog.engine.checkpoints import ID_KEY
from eventlog.records import Append
from eventlog.stores.memory import MemoryStore


def original() -> tuple[MemoryStore, str]:
    """Return a log, and a checkpoint of its end that is kept elsewhere."""
    store = MemoryStore()
    log = Log(store)
    session = log.session("s", create=True)
    for text in ("a", "b", "c"):
        session.append(Message.user(text, id=text))
    return store, log.checkpoint()


def forged(source: MemoryStore, records: Sequence[Record]) -> Log:
    """Return a log that holds these records with a chain and an index of the forger's own."""
    store, previous = MemoryStore(), GENESIS
    for version, record in enumerate(records, 1):
        stream, _, _, event_id, type_, schema, time, data, metadata, _ = record
        chained = chained_record(
            previous, stream, version, event_id, type_, schema, time, data, metadata
        )
        store.append([Append(stream, version - 1, (chained,))])
        previous = chained.hash
    rebuild_index(store)
    blob = source.get_blob(ID_KEY)
    assert blob is not None
    store.put_blob(ID_KEY, blob.data)
    return Log(store)


def test_a_cut_end_is_seen_by_a_checkpoint_alone() -> None:
    store, checkpoint = original()
    log = forged(store, list(store.read("s"))[:-1])

    assert log.verify("s") == []
    with pytest.raises(InvalidArgument, match="ends at position"):
        log.follow(after=checkpoint)


def test_a_recomputed_chain_is_seen_by_a_checkpoint_alone() -> None:
    store, checkpoint = original()
    records = list(store.read("s"))
    records[1] = records[1]._replace(data=records[1].data.replace(b'"text":"a"', b'"text":"x"'))
    log = forged(store, records)

    assert log.verify("s") == []
    assert log.session("s").tail()[0].text == "x"
    with pytest.raises(InvalidArgument, match="not the one that was followed"):
        log.follow(after=checkpoint)


def test_an_untouched_log_is_followed_from_the_checkpoint() -> None:
    store, checkpoint = original()
    log = forged(store, list(store.read("s")))
    following = log.follow(after=checkpoint)
    log.session("s").append(Message.user("d", id="d"))

    assert next(following).version == 5


def test_a_snapshot_that_was_left_behind_gives_a_cut_end_away() -> None:
    store = MemoryStore()
    session = Log(store).session("s", create=True)
    for number in range(300):
        session.append(Message.user(f"{number}"))
    Log(store).checkpoint()
    snapshot = store.get_blob("snapshot/s/session")
    assert snapshot is not None
    log = forged(store, list(store.read("s"))[:100])
    log.store.put_blob("snapshot/s/session", snapshot.data)

    (finding,) = log.verify("s")

    assert (finding.kind, finding.version) == ("snapshot", 100)
