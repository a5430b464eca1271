"""Map PostgreSQL's errors to ours, in one place; the cause is kept."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import psycopg

from eventlog.errors import (
    CorruptLog,
    EventLogError,
    InvalidArgument,
    StoreUnavailable,
    UnsupportedStore,
)

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["closed", "mapped", "mapped_connect", "mapped_errors"]

_REFUSALS: Final = (
    ("authentication failed", "check the user and the password in the URL, or PGPASSWORD"),
    ("no password supplied", "give a password in the URL, in PGPASSWORD or in ~/.pgpass"),
    ("no pg_hba.conf entry", "allow this user and host in the server's pg_hba.conf"),
    ("does not exist", "create it, or check the name in the URL"),
)
"""Texts of refused connections that a retry does not help, and what to do. An error before the
connection is established has no code, so its text decides; in a language other than English it
counts as a temporary failure."""


def mapped(error: psycopg.Error, where: str) -> EventLogError:
    """Return the error to raise for one of PostgreSQL's."""
    said = " ".join(str(error).split())
    code = error.sqlstate or ""
    match code[:2], code:
        case _, "25006":
            return StoreUnavailable(
                f"{where} is read-only; connect to the primary: name all hosts in the URL, with "
                "target_session_attrs=read-write"
            )
        case _, "42501":
            return UnsupportedStore(f"{where}: {said}; grant it to the role, or use another role")
        case _, "42P01" | "42883" | "3F000":
            return CorruptLog(
                f"{where}: {said}; part of the log was dropped: restore it from a backup"
            )
        case _, "53100":
            return StoreUnavailable(
                f"no space is left on {where}; nothing was stored, free some space and try again"
            )
        case "XX", "XX001" | "XX002":
            return CorruptLog(f"{where} is damaged ({said}); restore it from a backup")
        case _ if isinstance(error, psycopg.DataError):
            return InvalidArgument(f"{said}; PostgreSQL cannot hold that in a name, type or key")
        case _:
            return StoreUnavailable(f"{where}: {said}")


def mapped_connect(error: psycopg.Error, where: str) -> EventLogError:
    """Return the error to raise if no connection could be opened."""
    said = " ".join(str(error).split())
    if "Multiple connection attempts failed" not in said:
        for text, advice in _REFUSALS:
            if text in said:
                return UnsupportedStore(f"{where}: {said}; {advice}")
    return StoreUnavailable(f"{where} cannot be reached: {said}")


def closed(where: str) -> StoreUnavailable:
    """Return the error of a store that was closed."""
    return StoreUnavailable(f"{where} is closed; open the log again")


@contextmanager
def mapped_errors(where: str) -> Generator[None, None, None]:
    """Raise our errors in place of PostgreSQL's."""
    try:
        yield
    except psycopg.Error as error:
        raise mapped(error, where) from error
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{error.object!r} has a lone surrogate, which no UTF-8 text can hold; mend it"
        ) from error
