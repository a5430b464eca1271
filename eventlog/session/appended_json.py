"""The JSON of ``message_appended``, read and written by msgspec where it is installed.

Nothing differs but the time: msgspec reads and writes messages of one text, which nearly all are, and
everything else is left to pydantic, which reads it or says what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic_core import to_json

from eventlog.session.messages import MESSAGE_ID_CHARACTERS, Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.session.message_data import MessageData

__all__ = ["ReadForFold", "quicker_fold_reader", "quicker_reader", "quicker_writer"]

_OLDEST: Final = (0, 19)
"""As the extra ``fast`` asks for; an older one that is installed for something else is left alone."""

_PLAIN_FIELDS: Final = 4

_FIRST_TEXT: Final = b'"text"'
_FIRST_PLACES: Final = (60, 160)
"""Where the type of the first part is, if the id is not very long: msgspec takes longer to give up than
it takes to find out whether that is a text."""

ReadForFold: TypeAlias = "tuple[int, bool, MessageData | None]"
"""The tokens of a message. If it is one text, and can be given back, whether a user wrote it and None: a
fold needs no more of it. Otherwise False, and the message."""


def quicker_reader(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return what reads the data as ``read`` does, and leaves to it all that is unusual."""
    decode = _decoder()
    if decode is None:
        return read

    def read_quickly(data: bytes) -> Any:
        if data.find(_FIRST_TEXT, *_FIRST_PLACES) < 0:
            return read(data)
        try:
            appended = decode(data)
        except Exception:  # noqa: BLE001 - damaged bytes may raise anything; `read` says what is wrong
            return read(data)
        message = appended.message
        return {
            "message": {
                "id": message.id,
                "role": message.role,
                "parts": [{"type": "text", "text": message.parts[0].text}],
                "created_at": message.created_at,
            },
            "tokens": appended.tokens,
        }

    return read_quickly


def quicker_fold_reader(read: Callable[[bytes], Any]) -> Callable[[bytes], ReadForFold]:
    """Return what reads the data as far as a fold needs it: all is checked, but not all returned."""
    decode = _decoder()

    def read_whole(data: bytes) -> ReadForFold:
        appended = read(data)
        return appended["tokens"], False, appended["message"]

    if decode is None:
        return read_whole

    def read_for_fold(data: bytes) -> ReadForFold:
        if data.find(_FIRST_TEXT, *_FIRST_PLACES) < 0:
            return read_whole(data)
        try:
            appended = decode(data)
        except Exception:  # noqa: BLE001 - as above
            return read_whole(data)
        message = appended.message
        id_ = message.id
        if id_.isprintable() and 0 < len(id_) <= MESSAGE_ID_CHARACTERS:
            return appended.tokens, message.role == "user", None
        return read_whole(data)

    return read_for_fold


def _has_msgspec() -> bool:
    """Return whether a version is installed that is known to read and write as pydantic does."""
    try:
        from msgspec import __version__ as version
    except ImportError:
        return False
    found = tuple(int(number) for number in version.split(".")[:2] if number.isdigit())
    return found >= _OLDEST


def _decoder() -> Callable[[bytes], Any] | None:
    """Return what reads a message of one text with no other fields; it raises for everything else.

    Nothing that it returns refers to itself, so the garbage collector need not know of it (``gc``):
    that takes a quarter of the time.
    """
    if not _has_msgspec():
        return None
    from msgspec import defstruct
    from msgspec.json import Decoder

    text = defstruct(
        "Text", [("text", str)], tag_field="type", tag="text", forbid_unknown_fields=True, gc=False
    )
    message = defstruct(
        "PlainMessage",
        [("id", str), ("role", Role), ("parts", tuple[text]), ("created_at", str)],  # type: ignore[valid-type]  # made above
        forbid_unknown_fields=True,
        gc=False,
    )
    appended = defstruct(
        "Appended", [("message", message), ("tokens", int)], forbid_unknown_fields=True, gc=False
    )
    return Decoder(appended).decode


def quicker_writer() -> Callable[[MessageData, int], bytes]:
    """Return what writes the data, as the same bytes with msgspec and without it."""
    if not _has_msgspec():
        return _write
    from msgspec.json import Encoder

    encode = Encoder().encode

    def write_quickly(message: MessageData, tokens: int) -> bytes:
        # Both write texts alike; numbers, and what else a part may hold, they do not.
        parts = message["parts"]
        if len(parts) == 1 and len(message) == _PLAIN_FIELDS and type(tokens) is int:
            part = parts[0]
            if len(part) == 2 and type(part.get("text")) is str:
                try:
                    return encode({"message": message, "tokens": tokens})
                except Exception:  # noqa: BLE001 - pydantic says what cannot be written
                    return _write(message, tokens)
        return _write(message, tokens)

    return write_quickly


def _write(message: MessageData, tokens: int) -> bytes:
    return to_json({"message": message, "tokens": tokens})
