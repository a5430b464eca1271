"""Chat messages in the OpenAI format to messages, and back (A7).

The law: ``chat_from_message(message_from_chat(x)) == x`` for every valid chat message ``x``. Its
text, calls and results become parts that the rest of the library understands; all other fields
stay extra fields of the message under their own names. What neither can hold is kept in extra
fields that begin with ``chat_``, only where needed:

==================== ========= =================================================================
field                on        holds
==================== ========= =================================================================
``chat_role``        message   ``developer`` (here ``system``) or ``function`` (here ``tool``)
``chat_content``     message   ``missing``, or ``list`` where the parts alone would give a string
``chat_tool_calls``  message   ``null`` or ``[]``, if there is a field for calls but no call
``chat_fields``      message   fields whose names are taken here: ``id``, ``created_at``, …
``chat_output``      tool part a tool's content that is not a string, verbatim
``chat_arguments``   tool part arguments that compact JSON of ``tool_input`` would not give back
``chat_call``        tool part a call that has other fields than id, type, name and arguments,
                               or lacks one; without its arguments
``chat_part``        part      a content part that no part here can hold, verbatim
``chat_type``        text part the type of a text of the Responses API
``chat_block``       tool part a call or result of Anthropic's, without id, name, input and output
``chat_item``        message   an item of the Responses API, without its ``call_id`` and output
``chat_source``      message   what another format says about it; not part of a chat message
==================== ========= =================================================================
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eventlog.session.chat.converting import message_from_chat
from eventlog.session.chat.writing import chat_from_message, chat_from_messages

__all__ = ["chat_from_message", "chat_from_messages", "message_from_chat"]

_OF_FILES = {
    "Conversation": "eventlog.exchange.conversation",
    "read_conversations": "eventlog.exchange.reading",
}
"""Names that moved to other modules; they were here when chat files were the only format."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _OF_FILES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_OF_FILES[name]), name)
