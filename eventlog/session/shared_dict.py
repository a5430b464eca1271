"""Dictionaries whose copies share what none of them has changed.

Every decision on a task is taken on a copy of its session's state (`eventlog.engine.request`), so
a copy must not cost more where 50,000 archives wait to be finalised.
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
"""Up to so many entries are copied as they are: that takes less than keeping changes apart."""


class SharedDict(MutableMapping[Key, Value]):
    """A dictionary in every respect, its order included, that is cheap to copy.

    A copy costs what was changed since a base was last shared: at most the square root of its
    entries, after which the changes are merged into a base of one's own.
    """

    __slots__ = ("_base", "_gone", "_is_shared", "_news")

    def __init__(
        self, entries: MutableMapping[Key, Value] | Iterable[tuple[Key, Value]] = ()
    ) -> None:
        self._base = dict(entries)
        self._is_shared = False
        """Whether a copy has the same base, so that it changes no more."""
        self._news: dict[Key, Value] = {}
        """What was set since."""
        self._gone: set[Key] = set()
        """The keys of the base that were removed since; one that was set again is new."""

    def copy(self) -> SharedDict[Key, Value]:
        """Return a dictionary that can be changed without touching this one."""
        if not self._is_shared:
            if len(self._base) <= SMALL:
                return SharedDict(self._base)
            self._is_shared = True
        copied = SharedDict[Key, Value]()
        copied._base, copied._is_shared = self._base, True
        copied._news, copied._gone = self._news.copy(), self._gone.copy()
        return copied

    # ---- reading ------------------------------------------------------------------------------

    def __getitem__(self, key: Key) -> Value:
        if key in self._news:
            return self._news[key]
        if key in self._gone:
            raise KeyError(key)
        return self._base[key]

    @overload
    def get(self, key: Key, /) -> Value | None: ...
    @overload
    def get(self, key: Key, default: Value | Other, /) -> Value | Other: ...
    def get(self, key: Key, default: Any = None, /) -> Any:
        if key in self._news:
            return self._news[key]
        return default if key in self._gone else self._base.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._news or (key in self._base and key not in self._gone)

    def __len__(self) -> int:
        added = sum(key not in self._base for key in self._news)
        hidden = sum(key not in self._news for key in self._gone)
        return len(self._base) + added - hidden

    def __iter__(self) -> Iterator[Key]:
        return iter(self._plain())

    def values(self) -> ValuesView[Value]:
        return self._plain().values()

    def items(self) -> ItemsView[Key, Value]:
        return self._plain().items()

    def _plain(self) -> dict[Key, Value]:
        if not self._news and not self._gone:
            return self._base
        plain = self._base.copy()
        for key in self._gone:
            del plain[key]
        plain.update(self._news)
        return plain

    def __repr__(self) -> str:
        return f"SharedDict({self._plain()!r})"

    # ---- changing -----------------------------------------------------------------------------

    def __setitem__(self, key: Key, value: Value) -> None:
        if self._is_shared:
            self._news[key] = value
            self._merge_if_large()
        else:
            self._base[key] = value

    def __delitem__(self, key: Key) -> None:
        if not self._is_shared:
            del self._base[key]
        elif key not in self:
            raise KeyError(key)
        else:
            self._news.pop(key, None)
            if key in self._base:
                self._gone.add(key)
                self._merge_if_large()

    def _merge_if_large(self) -> None:
        if len(self._news) + len(self._gone) > max(SMALL, isqrt(len(self._base))):
            self._base = self._plain()
            self._is_shared = False
            self._news, self._gone = {}, set()

    # ---- in snapshots -------------------------------------------------------------------------

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Have it validated and written as a plain dictionary is."""
        plain = handler.generate_schema(dict[get_args(source)])  # type: ignore[misc]
        return core_schema.no_info_after_validator_function(
            cls,
            plain,
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls._plain, return_schema=plain
            ),
        )
