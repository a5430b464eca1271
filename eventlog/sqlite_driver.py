"""The copy of SQLite that this process uses: pysqlite3's where it is installed, else Python's.

Python's SQLite is the operating system's or the image's, often years old; pysqlite3, which the extra
``sqlite`` installs, brings a recent one under the same interface. sqlite-utils makes the same choice.

It is one choice for the whole process. Locks on a file belong to a process, and closing a file drops
all of them (https://sqlite.org/howtocorrupt.html, section 2.2.1): two copies of SQLite that have one
file open in one process take each other's locks away. So whatever opens the file of a log in the same
process takes ``sqlite3`` from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        from pysqlite3 import dbapi2 as sqlite3
    except ImportError:
        import sqlite3

__all__ = ["driver_name", "sqlite3"]


def driver_name() -> str:
    """Return the name of the package that SQLite comes from."""
    return sqlite3.__name__.partition(".")[0]
