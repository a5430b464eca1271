"""The files store: one log in segments of framed records, written by one process."""

from eventlog.stores.files.store import FilesStore, open_store

__all__ = ["FilesStore", "open_store"]
