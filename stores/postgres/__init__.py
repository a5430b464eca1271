"""The PostgreSQL store: a log in one schema of a database, shared by any number of hosts."""

from eventlog.stores.postgres.store import PostgresStore, has_log, open_store

__all__ = ["PostgresStore", "has_log", "open_store"]
