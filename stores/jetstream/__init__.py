"""The NATS JetStream store: a distributed log, replicated by its servers."""

from eventlog.stores.jetstream.store import JetStreamStore, has_log, open_store

__all__ = ["JetStreamStore", "has_log", "open_store"]
