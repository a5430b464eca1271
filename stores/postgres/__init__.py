"""The PostgreSQL store: a schema in a database that many hosts share."""

from eventlog.stores.postgres.store import PostgresStore, has_log, open_store

__all__ = ["PostgresStore", "has_log", "open_store"]
