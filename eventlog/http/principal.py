"""Who makes a request: decided by the service that mounts the API, never by the request's body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

from starlette.requests import Request

__all__ = ["ANY", "EVERYTHING", "Action", "Authorize", "Owner", "Principal"]

Action: TypeAlias = Literal["read", "write", "operate"]
"""``read`` what is there; ``write`` to sessions and create them; ``operate``: retry, abandon, health."""

EVERYTHING: Final[frozenset[Action]] = frozenset({"read", "write", "operate"})


class AnyOwner(Enum):
    """The type of `ANY`: no text that a user registers under can be taken for it."""

    ANY = "any owner"


ANY: Final = AnyOwner.ANY
"""The owner of an operator's principal: the sessions of everybody."""

Owner: TypeAlias = str | AnyOwner


class Principal(NamedTuple):
    """Who makes a request, and what the request may do.

    It sees and changes the sessions of its ``owner`` alone, and those of everybody with `ANY`. What
    it records names the ``actor``.
    """

    owner: Owner
    actor: str | None = None
    actions: frozenset[Action] = EVERYTHING


Authorize: TypeAlias = Callable[[Request], "Principal | Awaitable[Principal | None] | None"]
"""Returns the principal of a request, or None for a request that is refused."""
