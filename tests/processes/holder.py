"""Hold the write lock of a SQLite file until a line arrives. Argument: the file."""

from __future__ import annotations

import sys

from eventlog.sqlite_driver import sqlite3


def main(path: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    print("held", flush=True)
    sys.stdin.readline()
    connection.execute("ROLLBACK")
    connection.close()
    print("released", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
