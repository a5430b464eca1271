"""From a URL to a store: the scheme names the module that opens it (L1)."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from eventlog.errors import InvalidArgument, UnsupportedStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from eventlog.store import Store

__all__ = ["open_store", "public_url", "split_url"]

_BUILTIN: Final = {
    "files": "eventlog.stores.files",
    "memory": "eventlog.stores.memory",
    "nats": "eventlog.stores.jetstream",
    "postgresql": "eventlog.stores.postgres",
    "sqlite": "eventlog.stores.sqlite",
}
"""The module that has ``open_store(url, location, options)``, by scheme. Modules are imported when
a URL asks for them, so that none of the core depends on a store."""

_EXTRAS: Final = {"nats": "nats", "psycopg": "postgres"}
"""The extra of this distribution that installs a driver."""

_PASSWORD: Final = re.compile(r"(://[^/?#:@]*:|[?&]password=)[^@&/?#]+(?=@|&|#|$)")
"""A password, behind the user's name or as a parameter."""

_TOKEN: Final = re.compile(r"(nats://)[^/?#:@]+(?=@)")
"""A token of NATS, which stands where others have the user's name."""

ENTRY_POINTS: Final = "eventlog.stores"
"""The entry-point group under which other distributions offer stores: scheme = module."""


def open_store(url: str) -> Store:
    """Open the store that a URL names.

    What stands behind ``scheme:///`` is a path relative to the working folder, an absolute one
    begins with a further slash; what stands behind ``?`` are options of the store.

    Raises `UnsupportedStore` where no store has the scheme, `InvalidArgument` for what is no URL.
    """
    scheme, location, options = split_url(url)
    module = _BUILTIN.get(scheme) or _installed(scheme)
    if module is None:
        raise UnsupportedStore(
            f"{public_url(url)!r}: no store for the scheme {scheme!r}; "
            f"write one of {', '.join(f'{scheme}:' for scheme in sorted(_BUILTIN))}, "
            "such as sqlite:///agent.db"
        )
    opener = cast("Callable[[str, str, dict[str, str]], Store]", _import(module).open_store)
    return opener(url, location, options)


class Parts(NamedTuple):
    """What the URL of a store says: which kind, where it is, and what else it should know."""

    scheme: str
    location: str
    options: dict[str, str]


def split_url(url: str) -> Parts:
    """Take a store's URL apart, as `open_store` understands it; raise `InvalidArgument`."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidArgument(f"{public_url(url)!r} is no URL: {error}") from error
    location = parts.path.removeprefix("/") if not parts.netloc else parts.netloc + parts.path
    return Parts(parts.scheme, unquote(location), dict(parse_qsl(parts.query)))


def public_url(url: str) -> str:
    """Return a URL as it may be shown: without the password that it may hold."""
    return _TOKEN.sub(r"\1***", _PASSWORD.sub(r"\1***", url))


def _import(module: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise UnsupportedStore(
            f"{error.name} is not installed; pip install 'eventlog-sessions[{extra}]'"
        ) from error


def _installed(scheme: str) -> str | None:
    from importlib.metadata import entry_points  # Costs as much to import as the whole rest here.

    found = entry_points(group=ENTRY_POINTS, name=scheme) if scheme else ()
    return next((entry.value for entry in found), None)
