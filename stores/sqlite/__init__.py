"""The SQLite store: one database file, the default kind of log."""

from eventlog.stores.sqlite.store import SQLiteStore, open_store

__all__ = ["SQLiteStore", "open_store"]
