"""Requests of which one place contradicts another: OpenAPI has no words for that, the answer is 422."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

__all__ = ["is_contradiction"]


def is_contradiction(path: Mapping[str, Any], headers: Mapping[str, Any], body: Any) -> bool:
    """Return whether a request contradicts itself.

    A message's id is its key, so it has no other one; it is unique in its batch; at the end of a
    message that was written in chunks it is the one in the path; and such a message is a step only
    in a turn, whose fence the request has.
    """
    if not isinstance(body, dict):
        return False
    sent = {name.lower() for name in headers}
    if isinstance(body.get("step"), str) and "eventlog-fence" not in sent:
        return True
    messages = body.get("messages")
    batch = messages if isinstance(messages, list) else [body]
    ids = [it["id"] for it in batch if isinstance(it, dict) and isinstance(it.get("id"), str)]
    if len({*ids}) < len(ids) or (ids and "idempotency-key" in sent):
        return True
    whole = body.get("message")
    named = unquote(str(path.get("message_id")))
    return isinstance(whole, dict) and whole.get("id", named) != named
