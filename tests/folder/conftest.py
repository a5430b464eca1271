"""Shared by the tests of session folders: a session, and a place for its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventlog import Log, Session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the session's folder is to be."""
    return tmp_path / "sessions" / "chat"


@pytest.fixture
def session(log: Log) -> Session:
    """A session without a folder."""
    return log.session("chat", create=True, owner="ada")
