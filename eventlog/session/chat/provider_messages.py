"""Messages in the form of a provider's API, with a list of what that form cannot carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Loss", "ProviderMessages"]


_OF_ITEMS: Final = ("type", "status")
"""Fields of every item of the Responses API, which carry no content."""

_READ: Final = ("function_call", "refusal")
"""Fields of a message that are written as a call and as text."""


class Loss(NamedTuple):
    """Something that a format has no place for."""

    message_id: str
    what: str


class ProviderMessages(list[dict[str, Any]]):
    """Messages, or items, in a provider's form: a plain list, with its losses as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.system: str = ""
        """The system messages, for an API that takes them separately (Anthropic)."""
        self.losses: list[Loss] = []
        """What the format cannot carry, in the order of the messages."""

    def lose_fields(self, message_id: str, extra: Mapping[str, Any] | None) -> None:
        """Note the further fields of a message, which only its original format has."""
        for name in extra or ():
            if not name.startswith("chat_") and name not in (*_OF_ITEMS, *_READ):
                self.lose(message_id, f"the field {name!r}")

    def lose_media(self, message_id: str, tool_id: str, count: int) -> None:
        """Note images and recordings in the output of a call, of which the text alone is written."""
        if count:
            what = "an image or recording" if count == 1 else f"{count} images or recordings"
            self.lose(message_id, f"{what} in the output of {tool_id!r}")

    def lose(self, message_id: str, what: str) -> None:
        """Note something that the format has no place for."""
        self.losses.append(Loss(message_id, what))
