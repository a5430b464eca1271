"""The digest of a context: what tells whether two of them are the same to the letter."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from eventlog.session.messages import message_data

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.session.messages import Message

__all__ = ["context_digest"]


def context_digest(overview: str, messages: Iterable[Message]) -> str:
    """Return the SHA-256 of a context, in hexadecimal digits: of the canonical JSON of its overview
    and its messages."""
    shown = [overview, [message_data(message) for message in messages]]
    text = json.dumps(shown, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()
