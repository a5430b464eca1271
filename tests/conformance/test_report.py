"""The conformance report, as the author of a store uses it (K2)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOY = '''
"""A toy store: everything in lists and dicts."""

import threading

from eventlog.errors import DuplicateEvent, VersionConflict
from eventlog.records import ANY, EMPTY_HEAD, START, Appended, Head
from eventlog.store import Blob


class ToyStore:
    durability = "none"

    def __init__(self, folder):
        self.log, self.streams, self.entries, self.blobs = [], {}, {}, {}
        self.lock = threading.RLock()
        self.news = threading.Condition(self.lock)

    def append(self, batch):
        with self.news:
            self.news.notify_all()
            return [self.append_one(append) for append in batch]

    def append_one(self, append):
        stream = self.streams.get(append.stream, [])
        ids, known = [r.event_id for r in append.records], [r.event_id for r in stream]
        if len(set(ids)) < len(ids) or (set(ids) & set(known)):
            first = known.index(ids[0]) if ids[0] in known else 0
            if known[first : first + len(ids)] != ids:
                return DuplicateEvent(append.stream, "known in part, or in another order")
            return Appended(tuple(range(first + 1, first + len(ids) + 1)), (), replayed=True)
        last = stream[-1].hash if stream else EMPTY_HEAD.hash
        if len(stream) != append.expected or append.previous not in (None, last):
            return VersionConflict(append.stream, append.expected, len(stream))
        placed = [r._replace(position=len(self.log) + n) for n, r in enumerate(append.records, 1)]
        self.log = self.log + placed
        self.streams[append.stream] = stream + placed
        self.put_index(append.entries)
        return Appended(tuple(r.version for r in placed), tuple(r.position for r in placed))

    def read(self, stream, *, after=0, until=None, limit=None, reverse=False):
        found = self.streams.get(stream, [])[after:until]
        yield from (found[::-1] if reverse else found)[:limit]

    def read_all(self, *, after=START, types=(), limit=None):
        yield from [r for r in self.log[after:] if not types or r.type in types][:limit]

    def head(self, stream):
        with self.lock:
            last = next(self.read(stream, reverse=True, limit=1), None)
        return Head(last.version, last.hash, last.position, last.time) if last else EMPTY_HEAD

    def tip(self):
        return len(self.log)

    def find(self, stream, ids):
        wanted = set(ids)
        return {r.event_id: r.version for r in self.read(stream) if r.event_id in wanted}

    def scan(self, start, end, limit=None):
        with self.lock:
            found = sorted(kv for kv in self.entries.items() if start <= kv[0] < end)
        yield from found[:limit]

    def wait(self, after, timeout):
        with self.news:
            return self.news.wait_for(lambda: len(self.log) > after, timeout)

    def put_blob(self, key, data, expected=ANY):
        with self.lock:
            known = self.blobs.get(key, Blob(b"", 0)).revision
            if expected not in (ANY, known):
                raise VersionConflict(key, expected, known)
            self.blobs[key] = Blob(data, known + 1)
            return known + 1

    def get_blob(self, key):
        return self.blobs.get(key)

    def put_index(self, entries):
        changed = {**self.entries, **dict(entries)}
        self.entries = {key: value for key, value in changed.items() if value is not None}

    def check(self):
        return []

    def settings(self):
        return {"records": str(len(self.log))}

    def reopen_after_fork(self):
        self.__init__(None)

    def close(self):
        pass
'''
"""A store as a user would write one."""

UNIQUE_ONLY = ("len(stream) != append.expected", "len(stream) > append.expected")
FORGETFUL = (" or (set(ids) & set(known))", "")
NO_INDEX = ("def put_index", "def put_keys")


def examine(
    folder: Path, store: str = "toy_store:ToyStore", *changes: tuple[str, str]
) -> tuple[int, str]:
    """Run the report as a user does, beside the toy store; return exit code and what it prints."""
    source = TOY
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    (folder / "toy_store.py").write_text(source)
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-m", "eventlog.testing", store],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "100", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr


def test_a_store_that_keeps_the_contract_is_told_so(tmp_path: Path) -> None:
    code, said = examine(tmp_path)

    assert code == 0, said
    assert "broken" not in said
    assert re.search("holds +any other version than the expected one is a conflict", said)
    kept, _, all_of_them = said.splitlines()[-1].partition(" keeps ")[2].split()[:3]
    assert int(kept) == int(all_of_them) > 50


def test_a_store_that_checks_for_uniqueness_alone_is_told_what_to_mend(tmp_path: Path) -> None:
    """K5: a version that is too high goes through."""
    code, said = examine(tmp_path, "toy_store:ToyStore", UNIQUE_ONLY)

    assert code == 1
    assert re.search("broken +any other version than the expected one is a conflict", said)
    explained = said.partition("broken: any other version than the expected one")[2]
    assert "Too low and too high alike: versions are compared for equality." in explained
    assert "seen in conformance/appends.py" in explained
    assert "isinstance(Appended(versions=" in explained
    assert re.search("holds +a repeated append answers with the original versions", said)


def test_a_store_whose_append_is_not_idempotent_is_told_what_to_mend(tmp_path: Path) -> None:
    """K5, P8."""
    code, said = examine(tmp_path, "toy_store:ToyStore", FORGETFUL)

    assert code == 1
    explained = said.partition("broken: a repeated append answers with the original versions")[2]
    assert "Ids are checked before versions" in explained
    assert re.search("holds +any other version than the expected one is a conflict", said)


def test_a_store_that_lacks_a_verb_is_told_which_and_what_it_is_for(tmp_path: Path) -> None:
    code, said = examine(tmp_path, "toy_store:ToyStore", NO_INDEX)

    assert code == 1
    assert "lacks put_index: Store or remove index entries in one transaction" in said
    assert "keeps" not in said


def test_a_store_is_named_by_its_url_too(tmp_path: Path) -> None:
    code, said = examine(tmp_path, "memory:")

    assert code == 0, said
    assert said.splitlines()[-1].startswith("memory: keeps ")


@pytest.mark.parametrize("store", ["nowhere:", "toy_store:Nobody", "no_such_module:Store"])
def test_a_store_that_cannot_be_opened_is_a_mistake_of_the_call(tmp_path: Path, store: str) -> None:
    code, said = examine(tmp_path, store)

    assert code == 2
    assert f"{store} cannot be opened" in said
