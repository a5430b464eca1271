"""Map errors of NATS and JetStream to ours, in one place; the cause is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nats.errors import AuthorizationError, NoRespondersError
from nats.js.errors import APIError

from eventlog.errors import EventLogError, StoreUnavailable, UnsupportedStore

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONFLICTS", "NOT_FOUND", "closed", "is_refusal", "mapped", "mapped_connect"]

CONFLICTS: Final = frozenset({10071, 10164})
"""Codes for: the subject ends elsewhere, or another append to it is under way. Nothing was stored."""

NOT_FOUND: Final = frozenset({10037, 10059})

_PASSING: Final = frozenset({10008, 10009, 10176, 10210})
"""Codes of temporary failures: no leader yet, a batch whose first messages were lost with a leader,
too many open batches. Nothing was stored."""

_ADVICE: Final[Mapping[int, tuple[type[EventLogError], str]]] = {
    10023: (StoreUnavailable, "free some, or give JetStream more, and try again"),
    10047: (StoreUnavailable, "free some, or raise the limits of JetStream, and try again"),
    10077: (StoreUnavailable, "raise the limits of the stream, or store less at once"),
    10039: (UnsupportedStore, "enable JetStream for the account in the server's configuration"),
    10076: (UnsupportedStore, "enable JetStream in the server's configuration"),
    10074: (
        UnsupportedStore,
        "connect to a cluster, or open the log with ?replicas=1 (which no node outlives)",
    ),
    10005: (
        UnsupportedStore,
        "start more nodes of the cluster, or open the log with fewer ?replicas",
    ),
    10065: (UnsupportedStore, "choose another ?stream for the log, whose subjects are free"),
}
"""For some codes: what to do, and the error to raise."""


def is_refusal(error: Exception) -> bool:
    """Return whether a request would be refused again if it were repeated."""
    return isinstance(error, APIError) and error.err_code not in _PASSING | CONFLICTS


def mapped(error: Exception, where: str) -> EventLogError:
    """Return the error to raise for one of nats-py's."""
    if isinstance(error, APIError):
        said = f"{error.description} ({error.err_code})"
        kind, advice = _ADVICE.get(error.err_code or 0, (StoreUnavailable, "try again"))
        return kind(f"{where}: JetStream says: {said}; {advice}")
    if isinstance(error, NoRespondersError):
        return StoreUnavailable(
            f"{where}: no node leads the stream at the moment, or the account may not use it; "
            "nothing was stored, try again"
        )
    return StoreUnavailable(f"{where}: {_said(error)}; try again")


def mapped_connect(error: Exception, where: str) -> EventLogError:
    """Return the error to raise if no connection could be opened."""
    refused = isinstance(error, AuthorizationError) or "authorization" in _said(error).lower()
    mapped: EventLogError
    if refused:
        mapped = UnsupportedStore(
            f"{where} refuses this user; check the user and the password, or the token, in "
            "the URL, or ?credentials=FILE"
        )
    else:
        mapped = StoreUnavailable(
            f"{where} cannot be reached: {_said(error)}; check the hosts in the URL, and that a "
            "server runs there"
        )
    mapped.__cause__ = error
    return mapped


def closed(where: str) -> StoreUnavailable:
    """Return the error of a store that was closed."""
    return StoreUnavailable(f"{where} is closed; open the log again")


def _said(error: Exception) -> str:
    return str(error).removeprefix("nats: ") or type(error).__name__
