"""Shared by several folders of tests: a log on every store, and a clock that does not move."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import psycopg
import pytest
from hypothesis import HealthCheck, settings

import eventlog
from eventlog import Log
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.jumping import JumpingTime
from eventlog.testing.servers.nats import NatsCluster, NatsServer, delete_log
from eventlog.testing.servers.postgres import VERSIONS, PostgresServer
from eventlog.testing.servers.server import ServerFailed
from tests.account import (
    missing,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)
from tests.shares import CRASH_SHARE, NIGHTLY, PARTS, Share, rounds

__all__ = ["pytest_sessionfinish", "pytest_terminal_summary", "pytest_testnodedown"]

settings.register_profile(
    "suite",
    max_examples=rounds(40, 4_000),  # Of tests that name no number.
    deadline=None,
    derandomize=not NIGHTLY,
    database=None,
    print_blob=NIGHTLY,
    # A busy machine makes drawing slow, which says nothing about the code.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--nats-cluster",
        action="store_true",
        help="three NATS servers that replicate wherever one would do: all tests, more slowly",
    )
    parser.addoption(
        "--every-interrupt",
        action="store_true",
        help="interrupt calls at every point of tests/signals, not at a fixed share of them",
    )
    parser.addoption(
        "--part",
        choices=sorted(PARTS),
        help="the tests that branch coverage is measured with in .ci/run, the rest, or the quick ones",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "packaging: builds and installs the distribution")
    # A shell starts what runs in the background with Ctrl-C ignored.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are not of the part that was asked for."""
    part = config.getoption("--part")
    if part is not None:
        belongs = PARTS[part]
        config.hook.pytest_deselected(items=[item for item in items if not belongs(item)])
        items[:] = [item for item in items if belongs(item)]


OTHER_POSTGRES = os.environ.get("EVENTLOG_TEST_POSTGRES")
"""The URL of a database to test with, instead of servers started here."""


@pytest.fixture(scope="session")
def start_postgres() -> Iterator[Callable[[int], str]]:
    """Start a PostgreSQL server of a version, once, and return the URL of a database.

    A server that does not start is a failure in CI; elsewhere the run says so at its end.
    """
    started: dict[int, PostgresServer] = {}

    def start(version: int) -> str:
        try:
            if version not in started:
                started[version] = PostgresServer(version)
        except ServerFailed as error:
            if os.environ.get("CI"):
                raise
            missing[f"PostgreSQL {version}"] = str(error)
            pytest.skip(str(error))
        return started[version].url()

    yield start
    for server in started.values():
        server.close()


@pytest.fixture(scope="session", params=["other"] if OTHER_POSTGRES else VERSIONS)
def postgres(request: pytest.FixtureRequest, start_postgres: Callable[[int], str]) -> str:
    """The URL of a PostgreSQL database, of each version in turn."""
    return OTHER_POSTGRES or start_postgres(request.param)


@pytest.fixture(scope="session")
def newest_postgres(start_postgres: Callable[[int], str]) -> str:
    """The URL of a PostgreSQL database of the newest version."""
    return OTHER_POSTGRES or start_postgres(VERSIONS[-1])


@pytest.fixture
def postgres_schema() -> Iterator[Callable[[str, object], str]]:
    """The URL of a log in a new schema, by a database's URL and a key."""
    schemas: set[str] = set()

    def url(database: str, key: object) -> str:
        schema = f"test-{sha256(str(key).encode()).hexdigest()[:16]}"
        schemas.add(schema)
        return f"{database}{'&' if '?' in database else '?'}schema={schema}"

    yield url
    if OTHER_POSTGRES:  # Servers of these tests end with all that is in them.
        with psycopg.connect(OTHER_POSTGRES, autocommit=True) as connection:
            for schema in schemas:
                connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())


@pytest.fixture
def postgres_url(
    postgres: str, postgres_schema: Callable[[str, object], str], tmp_path: Path
) -> str:
    """The URL of an empty log on PostgreSQL, on each version in turn."""
    return postgres_schema(postgres, tmp_path)


OTHER_NATS = os.environ.get("EVENTLOG_TEST_NATS")
"""The address of a NATS server with JetStream to test with, instead of one started here."""


@pytest.fixture(scope="session")
def single_nats() -> Iterator[str]:
    """The address of a NATS server with JetStream that is alone."""
    if OTHER_NATS:
        yield OTHER_NATS
    else:
        with NatsServer() as server:
            yield server.url()


@pytest.fixture(scope="session")
def nats_server(request: pytest.FixtureRequest) -> str:
    """The address of a NATS server with JetStream, or of three."""
    if request.config.getoption("--nats-cluster"):
        return str(request.getfixturevalue("nats_cluster").url())
    return str(request.getfixturevalue("single_nats"))


@pytest.fixture(scope="session")
def nats_cluster() -> Iterator[NatsCluster]:
    """Three NATS servers that replicate, for tests that leave them as they are."""
    with NatsCluster() as cluster:
        yield cluster


@pytest.fixture
def nats_log() -> Iterator[Callable[[str, object], str]]:
    """The URL of a new log, by a server's address and a key."""
    made: set[tuple[str, str]] = set()

    def url(address: str, key: object) -> str:
        stream = f"test-{sha256(str(key).encode()).hexdigest()[:16]}"
        made.add((address, stream))
        return f"{address}{'&' if '?' in address else '?'}stream={stream}"

    yield url
    if OTHER_NATS:  # Servers of these tests end with all that is in them.
        for address, stream in made:
            delete_log(address, stream)


@pytest.fixture
def nats_url(nats_server: str, nats_log: Callable[[str, object], str], tmp_path: Path) -> str:
    """The URL of an empty log on NATS JetStream."""
    return nats_log(nats_server, tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    """The clock of the test's logs; it moves only when the test moves it."""
    return FakeClock()


@pytest.fixture
def loop_time() -> Iterator[JumpingTime]:
    """The time of the test's event loops: it jumps to the next timer when everybody waits."""
    with JumpingTime().installed() as time:
        yield time


@pytest.fixture
def ids() -> NumberedIds:
    """The ids of the test's logs: 1, 2, 3 and so on."""
    return NumberedIds()


@pytest.fixture(params=["memory", "sqlite", "files", "postgres", "nats"])
def log_url(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    postgres_schema: Callable[[str, object], str],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """The URL of an empty log, on each store in turn."""
    if request.param == "nats":
        return str(request.getfixturevalue("nats_url"))
    if request.param == "postgres":
        # Leases are counted in the server's time, which these tests cannot move.
        monkeypatch.delattr("eventlog.stores.postgres.store.PostgresStore.now")
        return postgres_schema(request.getfixturevalue("newest_postgres"), tmp_path)
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


@pytest.fixture(scope="session")
def nightly() -> bool:
    """Whether ``HYPOTHESIS_PROFILE=nightly`` asks for more, and for other, random runs."""
    return NIGHTLY


@pytest.fixture
def share(request: pytest.FixtureRequest) -> Share:
    """The steps that are crashed in this run.

    Which share it is depends on the test, so that all of them together crash in every phase.
    """
    return Share(CRASH_SHARE, 1 + crc32(request.node.name.encode()) % CRASH_SHARE)


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder that a process of another user can get to, which pytest's own are not."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)
