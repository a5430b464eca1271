"""One API over HTTP: an ASGI application to mount or to serve, and typed clients of one shape.

It needs the extra ``http``::

    import eventlog.http

    app = eventlog.http.create_app(log, authorize=lambda request: Principal(owner="ada"))
    client = eventlog.http.Client("http://127.0.0.1:8137", token="…")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventlog.http.application import create_app
    from eventlog.http.clients.async_client import AsyncClient
    from eventlog.http.clients.client import Client
    from eventlog.http.limits import Limits
    from eventlog.http.principal import ANY, Action, Authorize, Principal

_WHERE = {
    "ANY": "principal",
    "Action": "principal",
    "AsyncClient": "clients.async_client",
    "Authorize": "principal",
    "Client": "clients.client",
    "Limits": "limits",
    "Principal": "principal",
    "create_app": "application",
}
"""Each name, and its module: a client needs no server, nor the other way round."""

__all__ = [
    "ANY",
    "Action",
    "AsyncClient",
    "Authorize",
    "Client",
    "Limits",
    "Principal",
    "create_app",
]


if not TYPE_CHECKING:  # Or type checkers would take any name for one of these.

    def __getattr__(name: str) -> Any:
        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"eventlog.http.{_WHERE[name]}"), name)
        globals()[name] = found
        return found
