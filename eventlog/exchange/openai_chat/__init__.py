"""Chat messages in the OpenAI format to messages, and back (A7).

The law: ``chat_from_message(message_from_chat(x)) == x`` for every valid chat message ``x``. Its
text, calls and results become parts that the rest of the library understands; all other fields
stay extra fields of the message under their own names. What neither can hold is kept in extra
fields of one prefix, only where it is needed:

==================== ========= =================================================================
field                on        holds
==================== ========= =================================================================
``chat_role``        message   ``developer`` (here ``system``) or ``function`` (here ``tool``)
``chat_content``     message   ``missing``, or ``list`` where the parts alone would give a string
``chat_tool_calls``  message   ``null`` or ``[]``, where the calls are given but are none
``chat_fields``      message   fields whose names are taken here: ``id``, ``created_at``, …
``chat_output``      tool part a tool's content that is not a string, verbatim
``chat_arguments``   tool part arguments that compact JSON of ``tool_input`` would not give back
``chat_call``        tool part a call that is more or less than id, type, name and arguments;
                               its arguments are left out of it
``chat_part``        part      a content part that no part here can hold, verbatim
==================== ========= =================================================================
"""

from eventlog.exchange.openai_chat.files import Conversation, read_conversations
from eventlog.session.chat.converting import message_from_chat
from eventlog.session.chat.writing import chat_from_message, chat_from_messages

__all__ = [
    "Conversation",
    "chat_from_message",
    "chat_from_messages",
    "message_from_chat",
    "read_conversations",
]
