"""The providers of models that an agent may use, and which of them a run gets (R4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eventlog.argument_checks import check_callable
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.redaction import redacted
from eventlog.storable import check_text
from eventlog.supervisor.guarded import GuardedTask, UsersCode
from eventlog.worker.callables import call

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Choice", "Provider", "checked_providers", "choose"]

ANSWER_SECONDS: Final = 10.0
"""How long a provider may take to say whether it is available."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider by name, with whatever the agent needs to call it.

    ``is_available`` says whether it can be used at all: a plain or asynchronous function, which is
    asked before each attempt. If it raises, or does not answer within 10 s, the provider is not
    available. A provider without sessions of its own has ``keeps_sessions=False``; before the first
    call the session then gets an id for it, see `Session.memory_session`.
    """

    name: str
    client: Any = None
    is_available: Callable[[], Any] | None = None
    keeps_sessions: bool = True

    def __post_init__(self) -> None:
        if not check_text("name", self.name, longest=200):
            raise InvalidArgument("name is empty; give the provider's name")
        if self.is_available is not None:
            check_callable("is_available", self.is_available)

    async def answers(self) -> str | None:
        """Return why the provider cannot be used; None if it can."""
        if self.is_available is None:
            return None
        # In a task of its own: neither a cancellation in it, nor that it hangs, is the supervisor's.
        code = UsersCode()
        asked = GuardedTask(self._asked(self.is_available, code), code)
        try:
            await asyncio.wait({asked}, timeout=ANSWER_SECONDS)
        finally:
            asked.cancel()
        if not asked.done():
            return f"{self.name} is not available (no answer within {ANSWER_SECONDS:g} s)"
        try:
            return None if asked.result() else f"{self.name} is not available"
        except (Exception, asyncio.CancelledError, GeneratorExit) as error:  # noqa: BLE001 - a user's function
            return f"{self.name} is not available ({redacted(error)})"

    async def _asked(self, question: Callable[[], Any], code: UsersCode) -> Any:
        code.enter()
        return await call(question)


class Choice:
    """The provider that a run gets, or why it gets none."""

    def __init__(self, provider: Provider | None, refusals: Sequence[str] = ()) -> None:
        self.provider = provider
        self.refusals = tuple(refusals)
        """Why each of the providers cannot be used; empty if one can, or none was configured."""


def checked_providers(providers: Sequence[Provider]) -> tuple[Provider, ...]:
    """Return the providers; raise `InvalidArgument` for other values, and for a name given twice."""
    if isinstance(providers, str) or not isinstance(providers, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"providers is {shown(providers)}; it must be a list of Provider")
    for provider in providers:
        if not isinstance(provider, Provider):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"providers has {shown(provider)}; it must be a Provider")
    names = [provider.name for provider in providers]
    if len(set(names)) < len(names):
        raise InvalidArgument(f"providers has a name twice: {', '.join(names)}")
    return tuple(providers)


async def choose(
    providers: Sequence[Provider], recorded: str | None, gone: Collection[str]
) -> Choice:
    """Choose the session's recorded provider if it can be used, else the first one that can.

    ``gone`` are those that a run found to be gone.
    """
    refusals: list[str] = []
    if recorded is not None and recorded not in {provider.name for provider in providers}:
        refusals.append(f"{recorded} is not configured")
    for provider in sorted(providers, key=lambda each: each.name != recorded):
        refusal = f"{provider.name} is gone" if provider.name in gone else await provider.answers()
        if refusal is None:
            return Choice(provider)
        refusals.append(refusal)
    return Choice(None, refusals if providers else ())
