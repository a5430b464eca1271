"""The weight of a message in tokens: those of its texts, and an estimate for its media.

Media have a fixed estimate, since they have no text to count:

======= =====================================================================================
kind    tokens
======= =====================================================================================
image   1,000, whatever its size: providers count 85 to about 1,600, by size and detail
audio   one per 500 bytes of content; 500 for a reference
video   one per 500 bytes of content; 5,000 for a reference
file    one per 100 bytes of content (a page of PDF is about 100 KB and 1,000 tokens), at least
        100; 1,000 for a reference
======= =====================================================================================

An estimator with a method ``media(kind, size)`` replaces it: ``size`` is bytes, or None for a
reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventlog.errors import InvalidArgument
from eventlog.session.parts.shapes import is_plain, readings_of
from eventlog.session.tokens import TokenEstimator, checked_tokens

if TYPE_CHECKING:
    from eventlog.session.message_data import MessageData
    from eventlog.session.parts.reading import Media, MediaKind

__all__ = ["estimate_media", "media_in", "message_text", "weigh"]

IMAGE_TOKENS: Final = 1_000

BYTES_PER_TOKEN: Final[dict[MediaKind, int]] = {"audio": 500, "video": 500, "file": 100}

REFERENCE_TOKENS: Final[dict[MediaKind, int]] = {"audio": 500, "video": 5_000, "file": 1_000}

LEAST_TOKENS: Final = 100
"""The least weight of content of any size."""


def message_text(data: MessageData) -> str:
    """Concatenate all text of a message that counts as tokens."""
    if is_plain(data):
        text: str = data["parts"][0]["text"]
        return text
    return "".join(found.text for found in readings_of(data))


def media_in(data: MessageData) -> list[Media]:
    """Return the images, recordings and files of a message."""
    return [] if is_plain(data) else [each for found in readings_of(data) for each in found.media]


def estimate_media(kind: MediaKind, size: int | None) -> int:
    """Return the fixed estimate for media, in tokens."""
    if kind == "image":
        return IMAGE_TOKENS
    if size is None:
        return REFERENCE_TOKENS[kind]
    return max(LEAST_TOKENS, -(-size // BYTES_PER_TOKEN[kind]))


def weigh(estimate: TokenEstimator, data: MessageData, text: str | None = None) -> int:
    """Return the tokens of a message; ``text`` is its `message_text`, if the caller has it.

    Raises `InvalidArgument` if the estimator returns something else than a count.
    """
    if is_plain(data):
        return checked_tokens(estimate, data["parts"][0]["text"] if text is None else text)
    tokens = checked_tokens(estimate, message_text(data) if text is None else text)
    by_media = getattr(estimate, "media", estimate_media)
    for media in media_in(data):
        counted = by_media(media.kind, media.size)
        if not isinstance(counted, int) or counted < 0:
            raise InvalidArgument(
                f"the token estimator returned {counted!r:.40} for {media.kind}; it must return 0 "
                "or more"
            )
        tokens += counted
    return tokens
