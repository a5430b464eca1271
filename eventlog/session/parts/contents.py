"""Contents inside parts: texts, media, and the outputs of tools in their various forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.session.parts.reading import Media, MediaKind, as_json, is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["first_text", "media_from", "media_kind", "media_url", "sole_text", "text_list"]

_WRAPPERS: Final = ("output", "result", "content", "text", "value", "error")
"""The only field of an object that merely wraps a text, as Gemini's function responses do."""

_ADDRESSES: Final = (
    *("data", "file_data", "fileData", "bytes", "url", "uri", "file_uri", "fileUri", "image_url"),
    *("file_id", "fileId", "image", "audio", "video", "id", "result"),
)
"""Fields that hold media, or its address, in the various shapes."""

_URLS: Final = ("url", "image_url", "uri", "file_uri", "fileUri")

_CONTENTS: Final = ("data", "file_data", "bytes", "image", "audio", "video", "result")
"""Those of them that hold the content itself, in base64."""

_TYPES: Final = ("media_type", "mediaType", "mime_type", "mimeType", "format")

_INSIDE: Final = (
    *("source", "image_url", "input_audio", "audio", "file", "inlineData", "inline_data"),
    *("fileData", "file_data", "video_url", "video", "image", "document", "input_video"),
)
"""Fields that may hold the media as an object."""


def first_text(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of the named fields that is text."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str):
            return value
    return None


def text_list(value: Any) -> str:
    """Return the texts of a list of objects with a ``text``, joined by line feeds."""
    if not is_list(value):
        return ""
    texts = (first_text(item, "text") for item in value if is_object(item))
    return "\n".join(text for text in texts if text)


def sole_text(value: Any) -> str | None:
    """Return the text that an object merely wraps; None if it holds anything else."""
    if not is_object(value):
        return None
    if len(value) == 2 and isinstance(value.get("type"), str):  # {"type": "text", "value": …}
        inner = value.get("value")
        return inner if isinstance(inner, str) else None if inner is None else as_json(inner)
    if len(value) != 1:
        return None
    ((name, inner),) = value.items()
    return inner if name in _WRAPPERS and isinstance(inner, str) else None


def media_kind(media_type: str, otherwise: MediaKind) -> MediaKind:
    """Return the kind of media that a type such as ``image/png`` names."""
    for kind in ("image", "audio", "video"):
        if media_type.startswith(kind):
            return kind
    return otherwise if "/" not in media_type or otherwise != "image" else "file"


def media_from(part: Mapping[str, Any], kind: MediaKind) -> Media:
    """Return the media that a part holds or names."""
    holders = list(_holders(part))
    media_type = next((t for holder in holders if (t := first_text(holder, *_TYPES))), "")
    name = next(
        (t for holder in holders if (t := first_text(holder, "filename", "fileName", "name"))), ""
    )
    address = ""
    for holder in holders:
        address = first_text(holder, *_ADDRESSES) or ""
        if address:
            break
    size, shown = _size(address, has_type=bool(media_type))
    return Media(media_kind(media_type, kind), size, name or shown or media_type)


def media_url(part: Mapping[str, Any]) -> str | None:
    """Return the URL of the media that a part holds or names: content becomes a ``data:`` URL.

    None for what has only an id that one provider knows.
    """
    holders = list(_holders(part))
    media_type = next((t for holder in holders if (t := first_text(holder, *_TYPES))), "")
    for holder in holders:
        for name in _ADDRESSES:
            address = holder.get(name)
            if not isinstance(address, str) or not address:
                continue
            if name in _URLS or address.startswith("data:") or "://" in address[:32]:
                return address
            if name in _CONTENTS and media_type:
                return f"data:{media_type};base64,{address}"
    return None


def _holders(part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects inside a part that may describe its media, then the part."""
    for name in _INSIDE:
        inner = part.get(name)
        if is_object(inner):
            for deeper in ("source", "file"):
                found = inner.get(deeper)
                if is_object(found):
                    yield found
            yield inner
    yield part


def _size(address: str, *, has_type: bool) -> tuple[int | None, str]:
    """Return the bytes of encoded content, or None and the address."""
    if address.startswith("data:"):
        head, _, data = address.partition(",")
        return len(data) * 3 // 4, head[5:60].partition(";")[0]
    if has_type and len(address) > 64 and "://" not in address[:32]:
        return len(address) * 3 // 4, ""
    return None, address
