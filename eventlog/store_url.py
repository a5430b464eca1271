"""The URL of a store: its parts, and how it may be shown."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.redaction import redact_url

__all__ = ["StoreURL", "public_url", "split_url"]


class StoreURL(NamedTuple):
    """The parts of a store's URL: the kind of store, where it is, and its options."""

    scheme: str
    location: str
    options: dict[str, str]

    def __repr__(self) -> str:
        # Place and options may hold passwords.
        return f"<StoreURL {self.scheme}:>"


def split_url(url: str) -> StoreURL:
    """Split a store's URL into what `open_store` takes; raise `InvalidArgument` for other texts."""
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"the URL is {shown(url)}; give text, such as 'sqlite:///agent.db'")
    if "\0" in unquote(url):
        raise InvalidArgument(
            f"{public_url(url)!r} has a NUL character (%00), which no name can have; remove it"
        )
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidArgument(f"{public_url(url)!r} is not a URL: {error}") from error
    location = parts.path.removeprefix("/") if not parts.netloc else parts.netloc + parts.path
    return StoreURL(parts.scheme, unquote(location), dict(parse_qsl(parts.query)))


def public_url(url: str) -> str:
    """Return a URL without its password, so that it may be shown."""
    return redact_url(url)
