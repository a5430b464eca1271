"""Copy a log into another store, and exchange conversations with other programs.

Convert messages to a provider's format, and a chat message to and from a `Message`::

    to_chat(messages)  to_anthropic(messages)  to_responses(messages)
    message_from_chat(chat)  chat_from_message(message)  chat_from_messages(messages)

`eventlog.exchange.reading.read_conversations` reads files of any known format,
`eventlog.exchange.examining.examine` checks them for damage, and
`eventlog.exchange.importing.Importer` stores them.
"""

from eventlog.session.chat.converting import message_from_chat
from eventlog.session.chat.provider_messages import Loss, ProviderMessages
from eventlog.session.chat.to_anthropic import to_anthropic
from eventlog.session.chat.to_chat import to_chat
from eventlog.session.chat.to_responses import to_responses
from eventlog.session.chat.writing import chat_from_message, chat_from_messages

__all__ = [
    "Loss",
    "ProviderMessages",
    "chat_from_message",
    "chat_from_messages",
    "message_from_chat",
    "to_anthropic",
    "to_chat",
    "to_responses",
]
