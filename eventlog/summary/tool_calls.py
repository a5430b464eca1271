"""Tool calls and their results, as a summary shows them.

Everything here is pure and takes time linear in the length of the text: the same messages give the
same result on every machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import TypeIs

from eventlog.session.parts import readings_of
from eventlog.summary.text import both_ends, one_line

if TYPE_CHECKING:
    from eventlog.session.messages import Message
    from eventlog.session.parts import Reading

__all__ = ["ToolCall", "compact_input", "compact_output", "pair_calls"]

JSON_CHARACTERS: Final = 200_000
"""The longest tool output that is parsed and shown by its fields; a longer one is shown raw."""

SHOWN_ITEMS: Final = 8
"""How many fields or items of a JSON value are shown per level."""

INTEGER_BITS: Final = 256
"""The largest number that is shown; Python refuses to write one of 4,300 digits."""

_FAILURE = re.compile(
    r"\s*\W{0,3}(?:error|exception|traceback|failed|failure|fatal|panic|denied|invalid)\b"
    r"|\s*[\w.]{1,60}(?:Error|Exception):",
    re.IGNORECASE,
)
_READING = re.compile(
    r"(?:get|list|search|find|read|fetch|look|lookup|query|show|view|describe|check|calculate"
    r"|count|think|ls|cat|grep|glob|open|browse|web)(?![a-z])",
    re.IGNORECASE,
)
_FAILED_STATES: Final = {"error", "failed", "failure"}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call with its result; ``output`` is None while there is none."""

    tool_id: str
    name: str
    input: dict[str, Any] | None
    output: str | None = None
    is_done: bool = False
    is_failed: bool = False

    @property
    def is_reading(self) -> bool:
        """Whether the tool, judging by its name, only reads."""
        return bool(_READING.match(self.name.rpartition(".")[2]))


def pair_calls(messages: Iterable[Message]) -> list[ToolCall]:
    """Return the calls in order, each with its result, whatever shape their parts have.

    A result belongs to the newest message that has a call with its id and no result yet, and there
    to the first such call, since ids are reused in one conversation. A result without such a call,
    which is in an earlier archive, becomes an entry by itself.
    """
    calls: list[ToolCall] = []
    waiting: dict[str, list[tuple[int, int]]] = {}
    for number, message in enumerate(messages):
        if message.is_only_text:
            continue
        for found in readings_of(message.as_data()):
            call = _call_of(found)
            if call is None:
                continue
            place = _place_of(waiting.get(call.tool_id)) if found.call is None else None
            if place is not None:
                calls[place] = _answered(calls[place], call)
                continue
            if not call.is_done:
                waiting.setdefault(call.tool_id, []).append((number, len(calls)))
            calls.append(call)
    return calls


def _place_of(waiting: list[tuple[int, int]] | None) -> int | None:
    """Take the first call of the newest message among those that wait for a result."""
    if not waiting:
        return None
    first = len(waiting) - 1
    while first and waiting[first - 1][0] == waiting[-1][0]:
        first -= 1
    return waiting.pop(first)[1]


def _call_of(found: Reading) -> ToolCall | None:
    call, result = found.call, found.result
    about = call or result
    if about is None:
        return None
    given = None if call is None else call.input
    output = None if result is None else result.output
    is_done = result is not None and (result.is_final or result.output is not None)
    return ToolCall(
        tool_id=about.id,
        name=about.name,
        input=given if given is None or _is_object(given) else {"input": given},
        output=output,
        is_done=is_done,
        is_failed=(result is not None and result.status == "error")
        or _reports_failure(output or ""),
    )


def _answered(call: ToolCall, result: ToolCall) -> ToolCall:
    given = result.input if call.input is None else call.input
    return replace(result, name=call.name or result.name, input=given)


def _reports_failure(output: str) -> bool:
    value = _as_json(output)
    if not _is_object(value):
        return bool(_FAILURE.match(output[:200]))
    state = value.get("status")
    return (
        bool(value.get("error") or value.get("is_error"))
        or value.get("success") is False
        or (isinstance(state, str) and state.lower() in _FAILED_STATES)
    )


def _as_json(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "[") or len(text) > JSON_CHARACTERS:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def compact_input(value: dict[str, Any] | None, limit: int) -> str:
    """Return a call's input as ``name=value`` pairs."""
    return one_line(_shown_fields(value, 2), limit) if value else ""


def compact_output(call: ToolCall, limit: int) -> str:
    """Return a call's result by its fields if it is JSON, else by its two ends.

    Fields that only repeat the input are not shown, and those of one value come first.
    """
    text, given = call.output or "", call.input or {}
    value = _as_json(text)
    if _is_object(value):
        news = {name: inner for name, inner in value.items() if given.get(name, _NONE) != inner}
        plain = {
            name: inner
            for name, inner in news.items()
            if not (_is_object(inner) or _is_list(inner))
        }
        return one_line(_shown_fields({**plain, **news}, 2) or "as given", limit)
    if _is_list(value):
        items = "item" if len(value) == 1 else "items"
        shown = _shown(value[0], 3) if value else ""
        return one_line(f"{len(value)} {items}{': ' if shown else ''}{shown}", limit)
    return both_ends(text, limit)


_NONE: Final = object()


def _is_object(value: Any) -> TypeIs[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: Any) -> TypeIs[list[Any]]:
    return isinstance(value, list)


def _shown_fields(value: dict[str, Any], depth: int) -> str:
    shown = [f"{name}={_shown(inner, depth)}" for name, inner in list(value.items())[:SHOWN_ITEMS]]
    return ", ".join([*shown, "…"] if len(value) > SHOWN_ITEMS else shown)


def _shown(value: Any, depth: int) -> str:
    if _is_object(value):
        return f"{{{_shown_fields(value, depth - 1) if depth else '…'}}}"
    if _is_list(value):
        items = [_shown(inner, depth - 1) for inner in value[:SHOWN_ITEMS]] if depth else ["…"]
        return f"[{', '.join([*items, '…'] if len(value) > SHOWN_ITEMS else items)}]"
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS:
        return "…"
    return one_line(value, 80) if isinstance(value, str) else json.dumps(value, default=str)
