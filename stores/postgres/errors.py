"""PostgreSQL's errors, mapped to ours in one place; the cause is kept."""

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
"""What a server says that will not take a connection however often it is tried, and what to do.
Before a connection stands an error has no code, so its text has to tell; in another language than
English it is taken for a passing trouble."""


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
                f"{where}: {said}; a part of the log was dropped, restore it from a backup"
            )
        case _, "53100":
            return StoreUnavailable(
                f"there is no room left on {where}; nothing was stored, free some and try again"
            )
        case "XX", "XX001" | "XX002":
            return CorruptLog(f"{where} is damaged ({said}); restore it from a backup")
        case _ if isinstance(error, psycopg.DataError):
            return InvalidArgument(f"{said}; PostgreSQL cannot hold that in a name, type or key")
        case _:
            return StoreUnavailable(f"{where}: {said}")


def mapped_connect(error: psycopg.Error, where: str) -> EventLogError:
    """Return the error to raise when no connection came about."""
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
    """Raise our errors for PostgreSQL's."""
    try:
        yield
    except psycopg.Error as error:
        raise mapped(error, where) from error
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{error.object!r} has a lone surrogate, which no UTF-8 text can hold; mend it"
        ) from error
