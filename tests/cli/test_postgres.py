"""The command line on a PostgreSQL log: a typing error creates nothing, and no password is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eventlog.store_url import public_url

if TYPE_CHECKING:
    from typing import Any

    CommandLine = Any  # Of this folder's conftest, which cannot be imported from here.


@pytest.fixture
def url(newest_postgres: str, postgres_schema: Callable[[str, object], str], tmp_path: Path) -> str:
    return postgres_schema(newest_postgres, tmp_path).replace("eventlog@", "eventlog:secret@")


def test_reading_where_there_is_no_log_creates_none(run: CommandLine, url: str) -> None:
    for _ in range(2):
        answer = run("--store", url, "ls")

        assert answer.code == 3
        assert answer.stderr.startswith("eventlog: no log in postgresql://")
    assert run("--store", url, "append", "s", "hello", "--create").code == 0
    assert run("--store", url, "ls").code == 0


def test_no_answer_shows_the_password(run: CommandLine, url: str) -> None:
    missing = run("--store", url, "ls")
    run("--store", url, "append", "s", "hello", "--create")
    doctor = run("--store", url, "doctor", "--json")

    assert doctor.code == 0
    assert doctor.document["store"] == url.replace("secret", "***")
    assert doctor.document["settings"]["feed"] == "nothing is held back"
    assert "secret" not in missing.stderr + doctor.stdout + doctor.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p%40x@h1:1,h2:2/db?x=1", "postgresql://u:***@h1:1,h2:2/db?x=1"),
        ("postgresql://u@h/db?password=abc&x=1", "postgresql://u@h/db?password=***&x=1"),
        ("postgresql:///db?x=1&password=abc", "postgresql:///db?x=1&password=***"),
        ("postgresql://h:5432,k:1/db", "postgresql://h:5432,k:1/db"),
        ("sqlite:///agent.db", "sqlite:///agent.db"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert public_url(url) == shown
