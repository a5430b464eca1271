"""What both directions of the chat format share, and how they read and write JSON."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn, TypeAlias

from typing_extensions import TypeIs

__all__ = [
    "LIST",
    "MISSING",
    "NESTING_LEVELS",
    "ROLES",
    "TEXT_TYPE",
    "TEXT_TYPES",
    "Fields",
    "compact",
    "is_deeper",
    "is_list",
    "is_object",
    "kind",
    "parse_json",
    "usual_call",
]

Fields: TypeAlias = dict[str, Any]

ROLES: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
MISSING: Final = "missing"
LIST: Final = "list"

TEXT_TYPE: Final = "chat_type"
"""The field of a text part that holds the original type of its text."""

TEXT_TYPES: Final = frozenset({"input_text", "output_text"})
"""Types of the Responses API that are plain text."""

NESTING_LEVELS: Final = 100
"""The deepest arguments that are parsed: stored JSON deeper than about 190 cannot be read back."""


def usual_call(part: Fields) -> Fields:
    return {
        "id": part["tool_id"],
        "type": "function",
        "function": {"name": part["tool_name"]},
    }


def is_object(value: Any) -> TypeIs[dict[str, Any]]:
    return isinstance(value, dict)


def is_list(value: Any) -> TypeIs[list[Any]]:
    return isinstance(value, list)


def kind(value: Any) -> str:
    """Name a value's type as JSON does."""
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "a number")


_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (dict, "an object"),
    (list, "a list"),
    (str, "a string"),
    (bool, "a boolean"),
    (type(None), "null"),
)


def parse_json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def compact(value: Any, *, sort_keys: bool = False) -> str:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys
    )


def is_deeper(value: Any, levels: int) -> bool:
    if is_object(value):
        value = value.values()
    elif not is_list(value):
        return False
    return levels == 0 or any(is_deeper(inner, levels - 1) for inner in value)
