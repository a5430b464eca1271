"""The fields that other programs require in the parts of a session folder's messages."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["with_expected_fields"]

_EXPECTED: Final[dict[str, dict[str, Any]]] = {
    # With values that mean "none".
    "tool": {
        "tool_id": "",
        "tool_name": "",
        "tool_uri": "",
        "skill_uri": "",
        "tool_status": "pending",
    },
    "context": {"uri": "", "context_type": "memory", "abstract": ""},
}


def with_expected_fields(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part with its type first, followed by the fields that its type always has."""
    always = _EXPECTED.get(part["type"])
    return part if always is None else {"type": part["type"], **always, **part}
