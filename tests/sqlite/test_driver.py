"""One SQLite in a process: pysqlite3's where it is installed, and the one that sqlite-utils uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_utils import utils

import eventlog
from eventlog.sqlite_driver import driver_name, sqlite3

WHICH = "from eventlog.sqlite_driver import driver_name, sqlite3; print(driver_name(), sqlite3.x)"


def driver_of_a_process(folder: Path) -> list[str]:
    """Return the driver's name of a process that finds what a folder has, and a mark of it."""
    program = (
        f"import sys, sqlite3; sqlite3.x = 'python'; sys.path.insert(0, {str(folder)!r}); {WHICH}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a package `pysqlite3`."""
    (tmp_path / "pysqlite3").mkdir()
    (tmp_path / "pysqlite3" / "__init__.py").touch()
    return tmp_path / "pysqlite3"


def test_pysqlite3_is_used_where_it_is_installed(package: Path) -> None:
    (package / "dbapi2.py").write_text(
        "from sqlite3.dbapi2 import *\nx, __name__ = 'found', 'pysqlite3.dbapi2'\n"
    )
    assert driver_of_a_process(package.parent) == ["pysqlite3", "found"]


def test_one_that_cannot_be_loaded_counts_as_none(package: Path) -> None:
    """For instance a wheel of another system, whose library is missing."""
    (package / "dbapi2.py").write_text("from pysqlite3.missing import *\n")
    assert driver_of_a_process(package.parent) == ["sqlite3", "python"]


def test_sqlite_utils_uses_the_same_copy() -> None:
    """Two copies in one process that have one file open take each other's locks away."""
    assert vars(utils)["sqlite3"].sqlite_version == sqlite3.sqlite_version
    assert vars(utils)["sqlite3"].connect is sqlite3.connect


def test_a_log_says_which_it_uses(tmp_path: Path) -> None:
    with eventlog.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        settings = log.store.settings()
    assert settings["driver"] == driver_name()
    assert settings["sqlite"] == sqlite3.sqlite_version
