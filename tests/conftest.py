"""What several folders of tests share: a log on every store, and time that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

import eventlog
from eventlog import Log
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds

settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    # A busy machine makes drawing slow, which says nothing about the code.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "packaging: builds and installs the distribution")


@pytest.fixture
def clock() -> FakeClock:
    """The clock of the test's logs; it moves only when the test moves it."""
    return FakeClock()


@pytest.fixture
def ids() -> NumberedIds:
    """The ids of the test's logs: 1, 2, 3 …"""
    return NumberedIds()


@pytest.fixture(params=["memory", "sqlite", "files"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty log, on each store in turn."""
    urls = {
        "memory": "memory:",
        "sqlite": f"sqlite:///{tmp_path / 'log.db'}",
        # Several logs of a test write to it in turns, as if they were of several processes.
        "files": f"files:///{tmp_path / 'log'}?writers=many",
    }
    return urls[str(request.param)]


@pytest.fixture
def log(log_url: str, clock: FakeClock, ids: NumberedIds) -> Iterator[Log]:
    """An empty log, on each store in turn, closed afterwards."""
    with eventlog.open(log_url, clock=clock, ids=ids) as opened:
        yield opened


@pytest.fixture
def rival(log: Log, log_url: str, clock: FakeClock, ids: NumberedIds) -> Iterator[Log]:
    """Another log on the same storage, as another process has it: it shares no state."""
    if log_url == "memory:":
        with Log(log.store, clock=clock, ids=ids) as opened:
            yield opened
    else:
        with eventlog.open(log_url, clock=clock, ids=ids) as opened:
            yield opened


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder that a process of another user can get to, which pytest's own are not."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)
