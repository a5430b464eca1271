"""What the steps of tasks and of turns have in common: names, arguments, and stored outputs."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pydantic_core

from eventlog.engine.blobs import get_value, put_value
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.storable import Unstorable, check_text, json_copy

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from eventlog.engine.core import Core

__all__ = [
    "INLINE_BYTES",
    "StepNames",
    "StoredOutput",
    "arguments_digest",
    "as_json",
    "check_step_name",
    "keep_output",
    "name_used",
    "step_digest",
]

INLINE_BYTES: Final = 16_384
"""The largest output, in bytes of JSON, that is stored in its event; overviews fit. Every replay of
the session reads its events, while a blob is read only by the attempt that needs it."""


DIGEST_CHARACTERS: Final = 512
"""The longest digest of arguments that a program may have for a step."""


class StepNames:
    """The names of the steps that one attempt has run or is running. Thread-safe."""

    def __init__(self) -> None:
        self._names: dict[str, object] = {}

    @contextmanager
    def named(self, name: str) -> Generator[None]:
        """Reserve a name for one step of this attempt; a step that fails frees its name again."""
        self.reserve(name)
        try:
            yield
        except BaseException:
            self.free(name)
            raise

    def reserve(self, name: str) -> None:
        """Take a name; raise `InvalidArgument` if this attempt has used it."""
        check_step_name(name)
        mine = object()
        if self._names.setdefault(name, mine) is not mine:  # Atomic, without a lock.
            raise name_used(name)

    def free(self, name: str) -> None:
        """Give a name back, since what had it failed."""
        self._names.pop(name, None)


def name_used(name: str) -> InvalidArgument:
    """Return the error for a second step of one name in one attempt."""
    return InvalidArgument(
        f"step {name!r} was used before in this attempt; a name stands for one piece "
        "of work, so use another one, for instance with a number after it"
    )


def check_step_name(name: str, digest: str = "") -> str:
    """Return a step's name; raise `InvalidArgument` for what cannot be one, or a digest."""
    check_text("digest", digest, longest=DIGEST_CHARACTERS)
    if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"a step's name must be non-empty text, not {shown(name)}")
    return check_text("a step's name", name)


def arguments_digest(arguments: Sequence[object], named: Mapping[str, object]) -> str:
    """Return a digest of the arguments of a step; values that are no JSON count by their text."""
    content = pydantic_core.to_json(
        [arguments, named], serialize_unknown=True, inf_nan_mode="strings"
    )
    return hashlib.sha256(content).hexdigest()[:32]


def step_digest(*args: object, **kwargs: object) -> str:
    """Return the digest of the arguments of a step of a turn, as `Turn.step` records it.

    Programs that record steps by `Turn.record_step`, or over HTTP, find them again by it.
    """
    return arguments_digest(args, kwargs)


def as_json(what: str, value: Any) -> tuple[Any, bytes]:
    """Return a value as it will be read back, and its bytes; raise `InvalidArgument` if JSON cannot
    hold it."""
    try:
        return json_copy(value)
    except Unstorable as error:
        raise InvalidArgument(f"{what} cannot be stored as JSON: {error}") from error


class StoredOutput(NamedTuple):
    """An output as an event has it: the value itself, or the digest of what is stored beside it."""

    output: Any
    blob: str | None = None

    def read(self, core: Core) -> Any:
        """Return the value (I/O where it is beside the log)."""
        if self.blob is None:
            return self.output
        return pydantic_core.from_json(get_value(core.store, core.session, self.blob))


def keep_output(core: Core, output: Any, data: bytes) -> StoredOutput:
    """Store an output that is too large for an event beside the log (I/O)."""
    if len(data) <= INLINE_BYTES:
        return StoredOutput(output)
    return StoredOutput(None, put_value(core.store, core.session, data))
