"""One grammar of paths for diff, blame, bisect and reports.

    meta.pending_tokens      archives[archive_001].state      tail[m-1].parts[call-1].tool_status

A path begins with a name and goes on with ``.name`` or ``[key]``; a key may be quoted, and must be
where it has a bracket or a quote in it. Lists are gone through by the ids of what is in them, never
by place: of a message's parts the key is the id of the call, else the type; where several have the
same, the second is ``text~2``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from eventlog.errors import InvalidArgument
from eventlog.storable import check_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Path", "child", "children", "differences", "format_path", "parse_path"]

Path: TypeAlias = tuple[str, ...]

PATH_LENGTH: Final = 4_000
"""Characters of a path that are read."""

_IDS: Final = ("id", "tool_id", "task_id", "archive_id", "turn_id", "run_id", "type")
"""The fields that name an entry of a list, the first that it has."""

_BY_KEY: Final = frozenset({"tail", "archives", "tasks", "turns", "runs", "parts"})
"""What holds entries by their keys, which are written in brackets."""

_NAME: Final = re.compile(r"[^\W\d]\w*", re.ASCII)
_STEP: Final = re.compile(
    r"\.(?P<name>[^\W\d]\w*)"
    r'|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]'
    r"|\['(?P<single>[^'\\]*)'\]"
    r"|\[(?P<bare>[^\]\[\"']+)\]",
    re.ASCII,
)


def parse_path(text: str) -> Path:
    """Return the names of a path; raise `InvalidArgument` for what is none."""
    text = check_text("path", text)
    start = _NAME.match(text) if len(text) <= PATH_LENGTH else None
    if start is None:
        raise _no_path(text)
    names, place = [start.group()], start.end()
    while place < len(text):
        step = _STEP.match(text, place)
        if step is None:
            raise _no_path(text)
        quoted = step["quoted"]
        try:
            names.append(
                json.loads(quoted)
                if quoted is not None
                else step["name"] or step["bare"] or step["single"] or ""
            )
        except ValueError:
            raise _no_path(text) from None
        place = step.end()
    return tuple(names)


def _no_path(text: str) -> InvalidArgument:
    return InvalidArgument(
        f"{text!r:.120} is not a path; write one such as meta.pending_tokens or "
        "archives[archive_001].state"
    )


def format_path(path: Path) -> str:
    """Return the text of a path: `parse_path` reads it back."""
    text, before = path[0], path[0]
    for name in path[1:]:
        if before not in _BY_KEY and _NAME.fullmatch(name):
            text += f".{name}"
        elif name and not set(name) & set("[]\"'"):
            text += f"[{name}]"
        else:
            text += f"[{json.dumps(name, ensure_ascii=False)}]"
        before = name
    return text


def children(value: Any) -> Mapping[str, Any] | None:
    """Return what is in a value by name or id; None for one that has no inside, as a text."""
    if type(value) is dict:
        return cast("dict[str, Any]", value)
    if value is None or isinstance(value, (str, int, float)):
        return None
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    if isinstance(value, (list, tuple)):
        return _by_id(cast("list[Any]", value))
    return None


def _by_id(entries: list[Any]) -> dict[str, Any] | None:
    """Return the entries of a list by their ids; None where one has none."""
    found: dict[str, Any] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            return None
        fields = cast("dict[str, Any]", entry)
        id_ = next((fields[name] for name in _IDS if isinstance(fields.get(name), str)), None)
        if not id_:
            return None
        key, count = id_, 1
        while key in found:
            count += 1
            key = f"{id_}~{count}"
        found[key] = entry
    return found


def child(value: Any, name: str) -> Any:
    """Return what has a name or id in a value; None where there is nothing."""
    inside = children(value)
    return None if inside is None else inside.get(name)


def differences(before: Any, after: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """Yield the paths at which two values differ, as near to their ends as both have them.

    What only one of them has is one difference, however much is in it. None is what is not there.
    """
    if before is after or before == after:
        return
    left, right = children(before), children(after)
    if left is None or right is None or (path and not (left or right)):
        yield path, before, after
        return
    for name in [*left, *(name for name in right if name not in left)]:
        yield from differences(left.get(name), right.get(name), (*path, name))
