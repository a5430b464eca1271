"""The URL of a store: what it says, and how it may be shown."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from eventlog.errors import InvalidArgument

__all__ = ["StoreURL", "public_url", "split_url"]

_PASSWORD: Final = re.compile(r"(://[^/?#:@]*:|[?&]password=)[^@&/?#]+(?=@|&|#|$)")
"""A password, behind the user's name or as a parameter."""

_TOKEN: Final = re.compile(r"(nats://)[^/?#:@]+(?=@)")
"""A token of NATS, in the place of a user's name."""


class StoreURL(NamedTuple):
    """The parts of a store's URL: the kind of store, where it is, and its options."""

    scheme: str
    location: str
    options: dict[str, str]


def split_url(url: str) -> StoreURL:
    """Take a store's URL apart, as `open_store` understands it; raise `InvalidArgument`."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidArgument(f"{public_url(url)!r} is no URL: {error}") from error
    location = parts.path.removeprefix("/") if not parts.netloc else parts.netloc + parts.path
    return StoreURL(parts.scheme, unquote(location), dict(parse_qsl(parts.query)))


def public_url(url: str) -> str:
    """Return a URL as it may be shown: without the password that it may hold."""
    return _TOKEN.sub(r"\1***", _PASSWORD.sub(r"\1***", url))
