"""When something was first seen that can hardly be true, such as a time in the distant future (F2).

It is stored in the blob area, so that all processes count from the same moment, even those that look
only once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from eventlog.errors import CorruptError

if TYPE_CHECKING:
    from eventlog.store import Store

__all__ = ["first_seen"]


def first_seen(store: Store, name: str, what: dict[str, int], now: int) -> int:
    """Return when something was first seen under a name, which may be now; then that is noted (I/O)."""
    key = f"distant/{name}"
    try:
        blob = store.get_blob(key)
        known = None if blob is None else json.loads(blob.data)
    except (CorruptError, ValueError):
        known = None
    match known:
        case {"seen": int(seen), **rest} if rest == what and seen <= now:
            return seen
        case _:
            store.put_blob(key, json.dumps({**what, "seen": now}).encode())
            return now
