"""From a URL to a store: the scheme names the module that opens it (L1)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from eventlog.errors import UnsupportedStore
from eventlog.store_url import public_url, split_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from eventlog.store import Store, StoreModule

__all__ = ["has_log", "open_store"]

_BUILTIN: Final = {
    "bundle": "eventlog.exchange.bundle.store",
    "files": "eventlog.stores.files",
    "memory": "eventlog.stores.memory",
    "nats": "eventlog.stores.jetstream",
    "postgresql": "eventlog.stores.postgres",
    "sqlite": "eventlog.stores.sqlite",
}
"""The module that opens a store (`StoreModule`), by scheme. A module is imported when a URL names
it, so the core depends on no store."""

_ALIASES: Final = {"postgres": "postgresql", "tls": "nats"}
"""Further schemes: libpq accepts both of its names, and ``tls`` is NATS that insists on TLS."""

_EXTRAS: Final = {"nats": "nats", "psycopg": "postgres"}
"""The extra of this distribution that installs a driver."""

ENTRY_POINTS: Final = "eventlog.stores"
"""The entry-point group under which other distributions offer stores: scheme = module."""


def open_store(url: str) -> Store:
    """Open the store that a URL names.

    The path after ``scheme:///`` is relative to the working folder; an absolute one begins with a
    further slash. Options of the store follow ``?``.

    Raises `UnsupportedStore` if no store has the scheme, and `InvalidArgument` if it is not a URL.
    """
    scheme, location, options = split_url(url)
    module = _module_name(scheme)
    if module is None:
        raise UnsupportedStore(
            f"{public_url(url)!r}: no store for the scheme {scheme!r}; "
            f"write one of {', '.join(f'{scheme}:' for scheme in sorted(_BUILTIN))}, "
            "such as sqlite:///agent.db"
        )
    return cast("StoreModule", _import(module)).open_store(url, location, options)


def has_log(url: str) -> bool | None:
    """Return whether there is a log at a URL, without creating one as opening would.

    None if the store cannot tell or cannot be imported; then opening it says what is missing.
    """
    name = _module_name(split_url(url).scheme)
    try:
        module = None if name is None else _import(name)
    except UnsupportedStore:
        return None
    found = cast("Callable[[str], bool] | None", getattr(module, "has_log", None))
    return None if found is None else found(url)


def _module_name(scheme: str) -> str | None:
    return _BUILTIN.get(_ALIASES.get(scheme, scheme)) or _installed(scheme)


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
    from importlib.metadata import entry_points  # Takes as long to import as everything else here.

    found = entry_points(group=ENTRY_POINTS, name=scheme) if scheme else ()
    return next((entry.value for entry in found), None)
