"""A dictionary that shares its unchanged entries with its copies.

Every decision on a task is taken on a copy of its session's state (`eventlog.engine.request`), so
a copy must stay cheap even if 50,000 archives wait to be finalised.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, MutableMapping, ValuesView
from math import isqrt
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args, overload

from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

__all__ = ["SharedDict"]

Key = TypeVar("Key")
Value = TypeVar("Value")
Other = TypeVar("Other")

SMALL: Final = 64
"""Up to this many entries are copied outright: that takes less than tracking changes."""


class SharedDict(MutableMapping[Key, Value]):
    """A dictionary like any other, including its order, that is cheap to copy.

    A copy costs as much as was changed since the base was shared: at most the square root of the
    number of entries. Beyond that the changes are merged into a base that is not shared.
    """

    __slots__ = ("_base", "_changed", "_gone", "_is_shared")

    def __init__(
        self, entries: MutableMapping[Key, Value] | Iterable[tuple[Key, Value]] = ()
    ) -> None:
        self._base = dict(entries)
        self._is_shared = False
        """Whether a copy has the same base, which then must not change."""
        self._changed: dict[Key, Value] = {}
        """The entries that were set since."""
        self._gone: set[Key] = set()
        """The keys of the base that were removed since, even if they were set again."""

    def copy(self) -> SharedDict[Key, Value]:
        """Return a copy; changing it does not affect this one."""
        # A third of the cost of calling the class.
        copied: SharedDict[Key, Value] = SharedDict.__new__(SharedDict)  # pyright: ignore[reportUnknownVariableType]
        if not self._is_shared:
            if len(self._base) <= SMALL:
                copied._base, copied._is_shared = self._base.copy(), False
                copied._changed, copied._gone = {}, set()
                return copied
            self._is_shared = True
        copied._base, copied._is_shared = self._base, True
        copied._changed, copied._gone = self._changed.copy(), self._gone.copy()
        return copied

    # ---- reading ------------------------------------------------------------------------------

    def __getitem__(self, key: Key) -> Value:
        if key in self._changed:
            return self._changed[key]
        if key in self._gone:
            raise KeyError(key)
        return self._base[key]

    @overload
    def get(self, key: Key, /) -> Value | None: ...
    @overload
    def get(self, key: Key, default: Value | Other, /) -> Value | Other: ...
    def get(self, key: Key, default: Any = None, /) -> Any:
        if key in self._changed:
            return self._changed[key]
        return default if key in self._gone else self._base.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._changed or (key in self._base and key not in self._gone)

    def __len__(self) -> int:
        if not self._changed and not self._gone:
            return len(self._base)
        added = sum(key not in self._base for key in self._changed)
        hidden = sum(key not in self._changed for key in self._gone)
        return len(self._base) + added - hidden

    def __iter__(self) -> Iterator[Key]:
        return iter(self._plain())

    def values(self) -> ValuesView[Value]:
        return self._plain().values()

    def items(self) -> ItemsView[Key, Value]:
        return self._plain().items()

    def _plain(self) -> dict[Key, Value]:
        if not self._changed and not self._gone:
            return self._base
        plain = self._base.copy()
        for key in self._gone:
            del plain[key]
        plain.update(self._changed)
        return plain

    def __repr__(self) -> str:
        return f"SharedDict({self._plain()!r})"

    # ---- changing -----------------------------------------------------------------------------

    def __setitem__(self, key: Key, value: Value) -> None:
        if self._is_shared:
            self._changed[key] = value
            self._merge_if_large()
        else:
            self._base[key] = value

    def __delitem__(self, key: Key) -> None:
        if not self._is_shared:
            del self._base[key]
        elif key not in self:
            raise KeyError(key)
        else:
            self._changed.pop(key, None)
            if key in self._base:
                self._gone.add(key)
                self._merge_if_large()

    def _merge_if_large(self) -> None:
        if len(self._changed) + len(self._gone) > max(SMALL, isqrt(len(self._base))):
            self._base = self._plain()
            self._is_shared = False
            self._changed, self._gone = {}, set()

    # ---- in snapshots -------------------------------------------------------------------------

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Validate and serialise it like a plain dictionary."""
        plain = handler.generate_schema(dict[get_args(source)])  # type: ignore[misc]
        return core_schema.no_info_after_validator_function(
            cls,
            plain,
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls._plain, return_schema=plain
            ),
        )
