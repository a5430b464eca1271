"""A disk that is full or fails at any step, and power that fails: typed errors, and no harm (K4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from eventlog import Indeterminate, Log, Message, StoreUnavailable
from eventlog.errors import UnsupportedStore
from eventlog.stores.files import FilesStore, checksum
from eventlog.testing import CrashFound, Host, every_crash
from eventlog.testing.conformance import draft, must_append, unplaced
from eventlog.testing.disk.disk import Disk
from eventlog.testing.disk.fates import LOST
from eventlog.testing.disk.files import DiskFiles
from eventlog.testing.model.laws import check_laws
from tests.shares import Share

AT = "2026-01-01T00:00:00Z"


def message(name: str) -> Message:
    return Message.user(f"text of {name}", id=name, created_at=AT)


# ---- a disk that fails ------------------------------------------------------------------------


def append_until_struck(store: FilesStore, disk: Disk) -> tuple[int, Exception | None]:
    """Append until the fault has come; return how many were acknowledged, and what was raised."""
    for number in range(12):
        try:
            must_append(store, draft("s", 1, expected=number, entries=(("k", b"%d" % number),)))
        except (StoreUnavailable, Indeterminate) as error:
            return number, error
    return 12, None


@pytest.mark.parametrize("fault", ["full", "cut"])
def test_a_disk_that_fails_at_any_step_loses_nothing_and_the_store_goes_on(
    fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed append answers with what is true of it, and can be repeated."""
    monkeypatch.setattr("eventlog.stores.files.index.FLUSH_AT", 4)
    calm = Disk()
    append_until_struck(_store(calm), calm)
    errors: list[str] = []
    for step in range(1, calm.steps.count + 1):
        disk = Disk()
        store = _store(disk)
        disk.steps.fail(step, fault)
        acknowledged, error = append_until_struck(store, disk)
        disk.steps.spare()
        if error is not None:
            errors.append(type(error).__name__)
            stored = store.head("s").version
            assert stored in (acknowledged, acknowledged + 1)
            if isinstance(error, StoreUnavailable):
                assert stored == acknowledged, "it said that nothing was stored"
            (again,) = must_append(store, draft("s", 1, expected=acknowledged))
            assert again.versions == (acknowledged + 1,)
        count = store.head("s").version
        assert unplaced(store.read("s")) == list(draft("s", count).records)
        must_append(store, draft("s", 1, expected=count))
        assert store.check() == []
        store.close()
        reopened = _store(disk)
        assert reopened.head("s").version == count + 1
        assert reopened.check() == []
    assert "StoreUnavailable" in errors
    assert "Indeterminate" in errors


def _store(disk: Disk) -> FilesStore:
    return FilesStore("/log", files=DiskFiles(disk), segment_bytes=700)


def test_a_torn_tail_that_cannot_be_cut_off_is_not_written_behind() -> None:
    """Each step of mending fails once: the next write mends the log before it appends."""
    disk = Disk()
    store = _store(disk)
    must_append(store, draft("s", 1))
    store.close()
    torn = disk.after_crash(LOST)
    file = torn.open("/log/segments/0000000001.log")
    torn.write(file, torn.size(file), b"torn")
    torn.sync(file)
    for step in range(1, 20):
        left = torn.after_crash(LOST)
        mended = _store(left)
        left.steps.fail(step, "cut")
        with suppress(StoreUnavailable, Indeterminate):
            must_append(mended, draft("s", 1, expected=1))
        left.steps.spare()
        must_append(mended, draft("s", 1, expected=1))
        must_append(mended, draft("s", 1, expected=2))
        assert mended.check() == []
        assert unplaced(_store(left.after_crash(LOST)).read("s")) == list(draft("s", 3).records)


def test_what_a_failed_sync_has_left_in_memory_only_is_written_again() -> None:
    """The system takes the pages of a failed sync for written: the next sync proves nothing."""
    disk = Disk()
    store = _store(disk)
    must_append(store, draft("s", 1))
    disk.steps.fail(disk.steps.count + 2, "cut")

    with pytest.raises(Indeterminate, match="the sync failed"):
        store.append([draft("s", 1, expected=1)])

    assert store.head("s").version == 2
    left = _store(disk.after_crash(LOST))
    assert unplaced(left.read("s")) == list(draft("s", 2).records)
    must_append(store, draft("s", 1, expected=2))
    left = _store(disk.after_crash(LOST))
    assert unplaced(left.read("s")) == list(draft("s", 3).records)
    store.close()


# ---- power that fails -------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _few_records_per_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventlog.stores.files.index.FLUSH_AT", 4)


def open_log(host: Host, files: Any = None) -> Log:
    store = FilesStore("/log", files=files or host.files, segment_bytes=1_500)
    return Log(store, clock=host.clock, ids=host.ids)


def talk(host: Host, files: Any = None) -> None:
    """Append, extend, commit and keep a value, across segments and runs."""
    log = open_log(host, files)
    session = log.session("chat", create=True)
    for name in ("m1", "m2", "m3"):
        host.told.append(session.append(message(name)).id)
    host.told.append(session.commit(keep_recent=1, idempotency_key="first").archive_id)
    session.extend([message("m4"), message("m5")])
    host.told += ["m4", "m5"]
    log.store.put_blob("value", b"0123456789" * 5)
    host.told.append("value")
    log.close()


def nothing_is_lost(host: Host) -> list[str]:
    """Check what is left, go on, and return what there is then."""
    log = open_log(host)
    session = log.session("chat", create=True)
    stored = [found.id for found in session.history()]
    told = [name for name in host.told if name.startswith("m")]
    assert stored[: len(told)] == told
    if "archive_001" in host.told:
        assert [view.archive_id for view in session.archives()] == ["archive_001"]
    if "value" in host.told:
        value = log.store.get_blob("value")
        assert value is not None
        assert value.data == b"0123456789" * 5
    check_laws(log.store)
    session.append(message("afterwards"))
    check_laws(log.store)
    there = [found.id for found in session.history()]
    log.close()
    return there


def test_a_power_failure_at_any_step_loses_nothing_that_was_acknowledged(
    share: Share,
) -> None:
    """K3, P9: a share of the steps, with each write kept, lost, torn, or left as zeros."""
    report = every_crash(talk, nothing_is_lost, every=share.every, first=share.first)

    assert report.steps > 60
    assert report.images > 200 / share.every


def test_a_power_failure_while_a_log_is_mended_does_no_harm(share: Share) -> None:
    def say_one_thing(host: Host) -> None:
        log = open_log(host)
        log.session("chat", create=True).append(message("m1"))
        host.told.append("m1")

    report = every_crash(
        say_one_thing, nothing_is_lost, recovery=True, every=share.every, first=share.first
    )

    assert report.recoveries > 100 / share.every


class Careless(DiskFiles):
    """A file system, as a program uses it that leaves out one kind of sync (K5)."""

    def __init__(self, host: Host, omitted: str) -> None:
        super().__init__(host.disk)
        self._omitted = omitted

    def open(self, path: str, *, empty: bool = False) -> Any:
        return self._careless(path, super().open(path, empty=empty))

    def create(self, path: str, *, like: str | None = None) -> Any:
        return self._careless(path, super().create(path, like=like))

    def _careless(self, path: str, file: Any) -> Any:
        if self._omitted == path.rpartition(".")[2]:
            file.sync = lambda: None
        return file

    def sync_folder(self, path: str) -> None:
        if path != self._omitted:
            super().sync_folder(path)


# The value is kept as the last thing, so a crash before its steps would show nothing.
@pytest.mark.parametrize(
    ("omitted", "first"),
    [("log", 1), ("new", 1), ("/log/segments", 1), ("/log", 1), ("/log/blobs", 60)],
)
def test_each_sync_that_is_left_out_is_found(omitted: str, first: int) -> None:
    """K5: of the log itself, of new segments and blobs, and of the folders that name them."""

    def talk_carelessly(host: Host) -> None:
        talk(host, Careless(host, omitted))

    with pytest.raises(CrashFound):
        every_crash(talk_carelessly, nothing_is_lost, first=first)


# ---- checksums --------------------------------------------------------------------------------


@pytest.fixture
def without_wheel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine where the extra ``files`` is not installed."""
    import sys

    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    checksum._crc32c.cache_clear()
    yield
    checksum._crc32c.cache_clear()


@pytest.mark.usefixtures("without_wheel")
def test_without_the_wheel_a_log_is_checked_by_zlib_and_says_so(tmp_path: Path) -> None:
    store = FilesStore(tmp_path / "log")
    must_append(store, draft("s", 3))
    assert store.settings()["checksum"] == "CRC-32"
    store.close()

    checksum._crc32c.cache_clear()
    reopened = FilesStore(tmp_path / "log")
    assert unplaced(reopened.read("s")) == list(draft("s", 3).records)
    assert reopened.check() == []
    reopened.close()


def test_a_log_with_crc_32c_needs_the_wheel(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = FilesStore(tmp_path / "log")
    must_append(store, draft("s", 3))
    assert store.settings()["checksum"] == "CRC-32C"
    store.close()

    request.getfixturevalue("without_wheel")

    with pytest.raises(UnsupportedStore, match=r"pip install 'eventlog-sessions\[files\]'"):
        FilesStore(tmp_path / "log")
