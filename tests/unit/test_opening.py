"""From a URL to a log (L1), also to stores of third parties (L9)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import eventlog
from eventlog import InvalidArgument, Message, UnsupportedStore
from eventlog.stores.memory import MemoryStore


@pytest.mark.parametrize(
    "url", ["", "agent.db", "mysql://host/db", "/tmp/agent.db", "sqlight:///a.db", "://"]
)
def test_a_url_that_no_store_serves_is_refused(url: str) -> None:
    with pytest.raises(
        UnsupportedStore, match="write one of bundle:, files:, memory:, nats:, postgresql:, sqlite:"
    ) as caught:
        eventlog.open(url)
    assert repr(url) in str(caught.value)


@pytest.mark.parametrize("url", ["memory:x", "memory:///x", "memory:?x=1"])
def test_the_memory_has_no_places(url: str) -> None:
    with pytest.raises(InvalidArgument, match="write memory: and nothing after it"):
        eventlog.open(url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite:///",
        "sqlite:///{}?mode=rx",
        "sqlite:///{}?busy_timeout=long",
        "sqlite:///{}?synchronous=often",
    ],
)
def test_options_of_sqlite_that_make_no_sense_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidArgument):
        eventlog.open(url.format(tmp_path / "log.db"))
    assert list(tmp_path.iterdir()) == []


def test_options_of_sqlite_reach_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}?synchronous=normal&busy_timeout=0.5"
    with eventlog.open(url) as log:
        assert log.durability == "process"
        assert log.store.settings()["busy_timeout"] == "0.5 s"


def test_a_path_behind_three_slashes_is_relative_and_behind_four_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with eventlog.open("sqlite:///relative.db") as log:
        log.session("s", create=True).append(Message.user("a"))
    assert (tmp_path / "relative.db").exists()

    with eventlog.open(f"sqlite:///{tmp_path}/relative.db") as log:
        assert log.exists("s")
    with eventlog.open("sqlite:relative.db") as log:
        assert log.exists("s")


STORE = '''
"""A third party's store: in memory, and it keeps what it was opened with."""

from eventlog.stores.memory import MemoryStore


def open_store(url, location, options):
    store = MemoryStore()
    store.opened_with = (url, location, options)
    return store
'''
METADATA = "Metadata-Version: 2.1\nName: acme-store\nVersion: 1.0\n"


def test_a_store_of_somebody_else_is_found_by_its_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L9: one module, and an entry point of its distribution."""
    (tmp_path / "acme_store.py").write_text(STORE)
    info = tmp_path / "acme_store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("[eventlog.stores]\nacme = acme_store\n")
    monkeypatch.syspath_prepend(tmp_path)

    with eventlog.open("acme://host:1/place%20one?speed=9") as log:
        assert isinstance(log.store, MemoryStore)
        opened_with = getattr(log.store, "opened_with", None)
        log.session("s", create=True).append(Message.user("a"))

    url = "acme://host:1/place%20one?speed=9"
    assert opened_with == (url, "host:1/place one", {"speed": "9"})
    sys.modules.pop("acme_store")


def test_a_store_whose_driver_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("eventlog.stores.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(UnsupportedStore, match=r"pip install 'eventlog-sessions\[postgres\]'"):
        eventlog.open("postgresql://127.0.0.1:1/postgres")
