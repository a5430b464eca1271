"""Chat messages to messages and back, without loss (A7)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pydantic_core
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventlog.errors import InvalidMessage
from eventlog.exchange.conversation import Conversation
from eventlog.exchange.openai_chat import (
    chat_from_message,
    chat_from_messages,
    message_from_chat,
)
from eventlog.exchange.reading import read_conversations
from eventlog.session.messages import (
    ContextPart,
    ImagePart,
    Message,
    OtherPart,
    TextPart,
    ToolPart,
    as_message,
    message_data,
)

if TYPE_CHECKING:
    from pathlib import Path

# ---- what a chat message can be ---------------------------------------------------------------

TEXTS = st.text(max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, width=32) | TEXTS
VALUES = st.recursive(
    SCALARS.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)

NAMES = TEXTS | st.sampled_from(
    [
        *("id", "parts", "created_at", "timestamp", "refusal", "function_call", "annotations"),
        *("chat_role", "chat_content", "chat_fields", "chat_tool_calls", "chat_", "text", "tools"),
        *("model_config", "__class__", "__dict__", "copy"),
    ]
)
OWN_FIELDS = {"role", "content", "tool_calls", "tool_call_id", "name"}
FURTHER_FIELDS = st.dictionaries(
    NAMES.filter(lambda name: name not in OWN_FIELDS), VALUES, max_size=4
)

CONTENT_PARTS = st.one_of(
    st.builds(lambda text, more: {**more, "type": "text", "text": text}, TEXTS, OBJECTS),
    st.builds(lambda url: {"type": "image_url", "image_url": url}, OBJECTS | TEXTS),
    st.builds(lambda uri: {"type": "context", "uri": uri}, VALUES),
    st.builds(
        lambda name, more: {**more, "type": name},
        st.sampled_from(["tool", "chat_part", "input_audio", "file", "refusal"]),
        OBJECTS,
    ),
)
CONTENTS = st.none() | TEXTS | st.lists(CONTENT_PARTS, max_size=3)

COMPACT = {"ensure_ascii": False, "separators": (",", ":")}
ARGUMENTS = st.one_of(
    OBJECTS.map(lambda value: json.dumps(value, **COMPACT)),  # type: ignore[arg-type]
    OBJECTS.map(json.dumps),
    st.sampled_from(["", "null", "[1]", '{"a":1', '{"a":1,"a":2}', '{"a":NaN}', '{"a":"\\ud800"}']),
    TEXTS,
    VALUES,
)
FUNCTIONS = st.one_of(
    st.fixed_dictionaries({"name": TEXTS, "arguments": ARGUMENTS}),
    st.fixed_dictionaries({}, optional={"name": TEXTS, "arguments": ARGUMENTS, "strict": VALUES}),
)
CALLS = st.one_of(
    st.fixed_dictionaries({"id": TEXTS, "type": st.just("function"), "function": FUNCTIONS}),
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.none() | TEXTS,
            "type": VALUES,
            "function": st.none() | FUNCTIONS,
            "custom": st.none() | st.fixed_dictionaries({"name": TEXTS, "input": VALUES}),
            "index": VALUES,
        },
    ),
)

TALK = st.builds(
    lambda role, given, more: {**more, **given, "role": role},
    st.sampled_from(["system", "developer", "user"]),
    st.fixed_dictionaries({}, optional={"content": CONTENTS, "name": VALUES, "tool_calls": VALUES}),
    FURTHER_FIELDS,
)
ANSWERS = st.builds(
    lambda given, more: {**more, **given, "role": "assistant"},
    st.fixed_dictionaries(
        {},
        optional={
            "content": CONTENTS,
            "tool_calls": st.none() | st.lists(CALLS, max_size=3),
            "name": VALUES,
            "tool_call_id": VALUES,
        },
    ),
    FURTHER_FIELDS,
)
RESULTS = st.builds(
    lambda role, given, more: {**more, **given, "role": role},
    st.sampled_from(["tool", "function"]),
    st.fixed_dictionaries(
        {},
        optional={
            "content": CONTENTS | VALUES,
            "tool_call_id": st.none() | TEXTS,
            "name": st.none() | TEXTS,
            "tool_calls": VALUES,
        },
    ),
    FURTHER_FIELDS,
)
CHAT_MESSAGES = TALK | ANSWERS | RESULTS


def stored_and_read(message: Message) -> Message:
    """Take a message through the bytes that a log keeps of it."""
    return as_message(pydantic_core.from_json(pydantic_core.to_json(message_data(message))))


def exactly(value: object) -> str:
    """Tell values apart that Python holds equal: 1, 1.0 and true."""
    return json.dumps(value, sort_keys=True)


# ---- the law ----------------------------------------------------------------------------------


@given(CHAT_MESSAGES)
def test_every_chat_message_comes_back_as_it_was(chat: dict[str, Any]) -> None:
    assert exactly(chat_from_message(message_from_chat(chat))) == exactly(chat)


@given(CHAT_MESSAGES)
@example({"role": "user", "content": None, "chat_fields": {"id": 1}, "id": ""})
def test_a_chat_message_comes_back_from_the_bytes_of_a_log(chat: dict[str, Any]) -> None:
    assert exactly(chat_from_message(stored_and_read(message_from_chat(chat)))) == exactly(chat)


@given(CHAT_MESSAGES)
def test_converting_leaves_the_chat_message_alone(chat: dict[str, Any]) -> None:
    before = exactly(chat)
    chat_from_message(message_from_chat(chat))
    assert exactly(chat) == before


@given(st.lists(CHAT_MESSAGES, max_size=4))
def test_an_imported_conversation_is_exported_as_it_was(chats: list[dict[str, Any]]) -> None:
    messages = [message_from_chat(chat) for chat in chats]
    assert exactly(list(chat_from_messages(messages))) == exactly(chats)


# ---- what becomes of each field ---------------------------------------------------------------


def extra(value: Any) -> dict[str, Any]:
    return dict(value.model_extra)


def test_a_string_becomes_one_text_part_without_any_note() -> None:
    message = message_from_chat({"role": "user", "content": "Hi"})
    assert (message.role, message.parts) == ("user", (TextPart(type="text", text="Hi"),))
    assert not extra(message)


@pytest.mark.parametrize(
    ("given_fields", "texts", "note"),
    [
        ({"content": ""}, [""], {}),
        ({"content": None}, [], {}),
        ({}, [], {"chat_content": "missing"}),
        ({"content": []}, [], {"chat_content": "list"}),
        ({"content": [{"type": "text", "text": "a"}]}, ["a"], {"chat_content": "list"}),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            ["a", "b"],
            {},
        ),
    ],
)
def test_the_form_of_the_content_is_noted_only_where_the_parts_do_not_tell(
    given_fields: dict[str, Any], texts: list[str], note: dict[str, Any]
) -> None:
    message = message_from_chat({"role": "assistant", **given_fields})
    assert [part.text for part in message.parts if isinstance(part, TextPart)] == texts
    assert extra(message) == note


def test_content_parts_become_parts_of_their_type() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    parts = message_from_chat({"role": "user", "content": [image, audio]}).parts
    assert isinstance(parts[0], ImagePart)
    assert isinstance(parts[1], OtherPart)


def test_a_content_part_that_no_part_can_hold_is_kept_verbatim() -> None:
    image = {"type": "image_url", "image_url": "https://example.com/a.png"}
    (part,) = message_from_chat({"role": "user", "content": [image]}).parts
    assert (part.type, extra(part)) == ("chat_part", {"chat_part": image})


def call(arguments: Any = '{"id":7}') -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_a_call_becomes_a_pending_tool_part_without_any_note() -> None:
    message = message_from_chat({"role": "assistant", "content": None, "tool_calls": [call()]})
    (part,) = message.tools
    assert (part.tool_id, part.tool_name, part.tool_input) == ("call_1", "f", {"id": 7})
    assert (part.tool_status, part.tool_output, extra(part)) == ("pending", None, {})
    assert not extra(message)


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [
        ('{"id": 7}', {"id": 7}),
        ('{"id":7.0e0}', {"id": 7.0}),
        ('{"a":1,"a":2}', {"a": 2}),
        ({"id": 7}, {"id": 7}),
        ("", None),
        ("[7]", None),
        ('{"id":', None),
        ('{"id":NaN}', None),
        ('{"id":"\\ud800"}', None),
        ('{"id":1e999}', None),
        ('{"id":' * 101 + "1" + "}" * 101, None),
        ("[" * 100_000, None),
        (None, None),
    ],
)
def test_arguments_are_kept_raw_where_the_parsed_ones_would_not_give_them_back(
    arguments: Any, parsed: dict[str, Any] | None
) -> None:
    message = message_from_chat({"role": "assistant", "tool_calls": [call(arguments)]})
    (part,) = message.tools
    assert (part.tool_input, extra(part)) == (parsed, {"chat_arguments": arguments})


def test_further_fields_of_a_call_are_kept_and_its_arguments_not_twice() -> None:
    message = message_from_chat({"role": "assistant", "tool_calls": [{**call(), "index": 0}]})
    (part,) = message.tools
    outline = {"id": "call_1", "type": "function", "index": 0, "function": {"name": "f"}}
    assert extra(part) == {"chat_call": outline}


def test_a_call_of_a_custom_tool_has_its_input() -> None:
    custom = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    (part,) = message_from_chat({"role": "assistant", "tool_calls": [custom]}).tools
    assert (part.tool_name, part.tool_input) == ("sql", {"input": "select 1"})


def test_a_tool_message_becomes_a_result() -> None:
    chat = {"role": "tool", "tool_call_id": "call_1", "name": "f", "content": "42"}
    message = message_from_chat(chat)
    assert message.role == "tool"
    assert message.parts == (
        ToolPart(
            type="tool", tool_id="call_1", tool_name="f", tool_status="completed", tool_output="42"
        ),
    )


@pytest.mark.parametrize(
    ("content", "output"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ({"rows": 3}, '{"rows": 3}'),
    ],
)
def test_a_result_that_is_no_string_is_kept_and_can_be_read(content: Any, output: str) -> None:
    (part,) = message_from_chat({"role": "tool", "tool_call_id": "c", "content": content}).tools
    assert (part.tool_output, extra(part)) == (output, {"chat_output": content})


@pytest.mark.parametrize(("given_role", "role"), [("developer", "system"), ("function", "tool")])
def test_a_role_of_another_name_is_kept(given_role: str, role: str) -> None:
    message = message_from_chat({"role": given_role, "name": "f", "content": "x"})
    assert (message.role, extra(message)["chat_role"]) == (role, given_role)


def test_other_fields_stay_under_their_names() -> None:
    fields = {"name": "Ann", "refusal": None, "function_call": {"name": "f", "arguments": "{}"}}
    message = message_from_chat({"role": "assistant", "content": "x", **fields})
    assert extra(message) == fields


def test_an_id_of_its_own_becomes_the_id_of_the_message() -> None:
    assert message_from_chat({"role": "user", "content": "", "id": "msg-1"}).id == "msg-1"


@pytest.mark.parametrize("own", ["", "x" * 513, 7, None])
def test_an_id_that_cannot_be_one_is_kept_aside_and_another_drawn(own: Any) -> None:
    chat = {"role": "user", "content": "", "id": own}
    message = message_from_chat(chat)
    assert message.id not in (own, str(own))
    assert chat_from_message(message) == chat


@pytest.mark.parametrize(
    ("field", "value", "time"),
    [
        ("created_at", "2024-05-15T15:00:00-04:00", "2024-05-15T15:00:00-04:00"),
        ("created_at", 1715800000, "2024-05-15T19:06:40.000000Z"),
        ("timestamp", 1715800000.5, "2024-05-15T19:06:40.500000Z"),
        ("timestamp", 1715800000500, "2024-05-15T19:06:40.500000Z"),
    ],
)
def test_a_time_of_its_own_is_the_time_of_the_message(field: str, value: Any, time: str) -> None:
    chat = {"role": "user", "content": "", field: value}
    message = message_from_chat(chat)
    assert message.created_at == time
    assert chat_from_message(message) == chat


@pytest.mark.parametrize("value", ["2024-05-15T15:00:00", "yesterday", 12.5, 10**30, None, True])
def test_a_time_that_cannot_be_read_does_not_count_as_given(value: Any) -> None:
    message = message_from_chat({"role": "user", "content": "", "created_at": value})
    assert "created_at" not in message.model_fields_set


# ---- what is no chat message ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chat", "field", "reason"),
    [
        ([], None, "a chat message must be a JSON object, not a list"),
        ({}, "role", "the role is missing; it must be one of system, developer, user"),
        ({"role": "model"}, "role", "role 'model' is unknown"),
        ({"role": ["user"]}, "role", "is unknown"),
        ({"role": "user", "content": 7}, "content", "a list of parts, not a number"),
        ({"role": "user", "content": True}, "content", "not a boolean"),
        ({"role": "user", "content": ["x"]}, "content.0", "an object with a 'type', not a string"),
        ({"role": "user", "content": [{"type": "text"}]}, "content.0.text", "must be a string"),
        ({"role": "assistant", "tool_calls": {"id": 1}}, "tool_calls", "a list of calls"),
        ({"role": "assistant", "tool_calls": [None]}, "tool_calls.0", "an object, not null"),
        ({"role": "assistant", "tool_calls": [{"id": 1}]}, "tool_calls.0.id", "not a number"),
        (
            {"role": "assistant", "tool_calls": [{"function": "f"}]},
            "tool_calls.0.function",
            "not a string",
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": 1}}]},
            "tool_calls.0.name",
            "name must be a string",
        ),
        ({"role": "tool", "tool_call_id": 7}, "tool_call_id", "must be a string, not a number"),
        ({"role": "tool", "name": []}, "name", "must be a string, not a list"),
    ],
)
def test_what_is_no_chat_message_is_refused_with_its_place(
    chat: Any, field: str | None, reason: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        message_from_chat(chat, line=3, index=2)
    assert (caught.value.line, caught.value.index, caught.value.field) == (3, 2, field)
    assert reason in caught.value.reason
    assert str(caught.value).startswith("line 3, message 2")


# ---- messages that were built here ------------------------------------------------------------


def test_a_message_built_here_becomes_a_plain_chat_message() -> None:
    asked = Message.call("get_user", {"name": "Zoë"}, tool_id="c1")
    messages = [
        Message.system("Be brief."),
        Message.user("Who is Zoë?", name="Ann"),
        Message.assistant("I look.", tools=(asked,)),
        Message.tool("c1", "a user", name="get_user"),
    ]
    function = {"name": "get_user", "arguments": '{"name":"Zoë"}'}
    assert [chat_from_message(message) for message in messages] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who is Zoë?", "name": "Ann"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "a user", "tool_call_id": "c1", "name": "get_user"},
    ]


def test_a_call_without_input_has_empty_arguments() -> None:
    part = ToolPart(type="tool", tool_id="c1", tool_name="now")
    chat = chat_from_message(Message.assistant(tools=(part,)))
    assert chat["content"] is None
    assert chat["tool_calls"][0]["function"] == {"name": "now", "arguments": "{}"}


def test_a_context_part_comes_back_as_one() -> None:
    part = ContextPart(type="context", uri="memory://a", abstract="about a")
    message = Message(role="user", parts=(TextPart(type="text", text="Hi"), part))
    assert message_from_chat(chat_from_message(message)).parts == message.parts


def test_a_result_that_a_call_holds_is_exported_after_it() -> None:
    part = ToolPart(
        type="tool", tool_id="c1", tool_name="f", tool_status="completed", tool_output="1"
    )
    exported = list(chat_from_messages([Message.assistant(tools=(part,)), Message.user("Thanks")]))
    assert [chat["role"] for chat in exported] == ["assistant", "tool", "user"]
    assert exported[1] == {"role": "tool", "tool_call_id": "c1", "name": "f", "content": "1"}


def test_a_result_that_follows_as_a_message_is_not_exported_twice() -> None:
    part = ToolPart(type="tool", tool_id="c1", tool_status="completed", tool_output="1")
    messages = [Message.assistant(tools=(part,)), Message.tool("c1", "1")]
    assert len(list(chat_from_messages(messages))) == 2


def test_several_results_in_one_message_are_exported_one_by_one() -> None:
    parts = tuple(
        ToolPart(type="tool", tool_id=name, tool_status="completed", tool_output=name)
        for name in ("a", "b")
    )
    exported = list(chat_from_messages([Message(role="tool", parts=parts)]))
    assert [chat["tool_call_id"] for chat in exported] == ["a", "b"]


@pytest.mark.parametrize("name", ["chat_role", "chat_content", "chat_fields", "chat_tool_calls"])
def test_an_application_that_uses_our_names_breaks_no_export(name: str) -> None:
    chat = chat_from_message(as_message({"role": "user", "parts": [], name: ["theirs"]}))
    assert chat["role"] == "user"


# ---- files ------------------------------------------------------------------------------------

HELLO = {"role": "user", "content": "Hello\u2028there \u00e9\u4f60"}
REPLY = {"role": "assistant", "content": "Hi"}


def read(folder: Path, data: str | bytes) -> list[Conversation]:
    path = folder / "import"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return list(read_conversations(path))


def lines(*values: Any) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def chats(conversation: Conversation) -> list[dict[str, Any]]:
    return [chat_from_message(message) for message in conversation.messages]


@pytest.mark.parametrize(
    ("text", "sessions"),
    [
        (json.dumps([HELLO, REPLY]), [None]),
        (json.dumps([HELLO, REPLY], indent=2), [None]),
        (lines(HELLO, REPLY), [None]),
        (lines(HELLO, REPLY).rstrip("\n"), [None]),
        (lines([HELLO, REPLY], [HELLO, REPLY]), [None, None]),
        (
            lines({"id": "a", "messages": [HELLO, REPLY]}, {"messages": [HELLO, REPLY]}),
            ["a", None],
        ),
        (json.dumps({"id": "a", "messages": [HELLO, REPLY]}, indent=1), ["a"]),
        (json.dumps([{"id": i, "messages": [HELLO, REPLY]} for i in "ab"], indent=1), ["a", "b"]),
    ],
)
def test_every_form_of_file_gives_its_conversations(
    tmp_path: Path, text: str, sessions: list[str | None]
) -> None:
    found = read(tmp_path, text)
    assert [conversation.session_id for conversation in found] == sessions
    assert all(chats(conversation) == [HELLO, REPLY] for conversation in found)


@pytest.mark.parametrize("data", [b"", b"\n \r\n\n", b"\xef\xbb\xbf", b"[]"])
def test_a_file_without_messages_has_no_conversation(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, data) == []


def test_a_conversation_without_messages_is_one(tmp_path: Path) -> None:
    assert read(tmp_path, lines({"id": "a", "messages": []})) == [Conversation("a", (), 1)]


def test_bom_blank_lines_and_carriage_returns_are_passed_over(tmp_path: Path) -> None:
    text = "\ufeff\r\n" + lines(HELLO).replace("\n", "\r\n") + "\n" + lines(REPLY)
    (conversation,) = read(tmp_path, text)
    assert chats(conversation) == [HELLO, REPLY]
    assert conversation.line == 2


def test_conversations_tell_the_lines_on_which_they_begin(tmp_path: Path) -> None:
    session = {"id": "a", "messages": [HELLO]}
    text = lines(session) + "\n" + lines(session, session)
    assert [conversation.line for conversation in read(tmp_path, text)] == [1, 3, 4]


def test_conversations_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "import"
    path.write_text(lines({"id": "a", "messages": [HELLO]}) + "torn", encoding="utf-8")
    found = read_conversations(path)
    assert next(found).session_id == "a"
    with pytest.raises(InvalidMessage):
        next(found)


# ---- ids of imported messages -----------------------------------------------------------------


def ids(conversations: list[Conversation]) -> list[str]:
    return [message.id for found in conversations for message in found.messages]


def test_the_same_file_gives_the_same_ids(tmp_path: Path) -> None:
    text = lines({"id": "a", "messages": [HELLO, REPLY]}, [HELLO, REPLY])
    assert ids(read(tmp_path, text)) == ids(read(tmp_path, text))


def test_the_ids_do_not_depend_on_the_form_of_the_file(tmp_path: Path) -> None:
    assert ids(read(tmp_path, lines(HELLO, REPLY))) == ids(
        read(tmp_path, json.dumps([dict(reversed(HELLO.items())), REPLY], indent=1))
    )


def test_a_file_that_has_grown_keeps_the_ids_it_had(tmp_path: Path) -> None:
    before = ids(read(tmp_path, lines(HELLO, REPLY)))
    assert ids(read(tmp_path, lines(HELLO, REPLY, HELLO)))[:2] == before


def test_equal_messages_of_a_conversation_have_different_ids(tmp_path: Path) -> None:
    assert len(set(ids(read(tmp_path, lines(HELLO, HELLO, HELLO))))) == 3


def test_messages_of_different_sessions_have_different_ids(tmp_path: Path) -> None:
    text = lines({"id": "a", "messages": [HELLO]}, {"id": "b", "messages": [HELLO]})
    assert len(set(ids(read(tmp_path, text)))) == 2


def test_an_own_id_is_kept_once_in_a_conversation(tmp_path: Path) -> None:
    owned = {**HELLO, "id": "m1"}
    (conversation,) = read(tmp_path, lines(owned, owned))
    assert conversation.messages[0].id == "m1"
    assert conversation.messages[1].id != "m1"
    assert chats(conversation) == [owned, owned]


def test_the_time_of_an_imported_message_does_not_count_as_given(tmp_path: Path) -> None:
    (conversation,) = read(tmp_path, lines(HELLO))
    (message,) = conversation.messages
    assert "id" in message.model_fields_set
    assert "created_at" not in message.model_fields_set


# ---- damaged files ----------------------------------------------------------------------------

DEEP = '{"role":"user","x":' + "[" * 120 + "]" * 120 + "}"


@pytest.mark.parametrize(
    ("data", "place", "reason"),
    [
        (lines(HELLO) + '{"role"', (2, None, None), "this is not JSON (Expecting ':'"),
        ('{"role": "us', (1, None, None), "(Unterminated string starting at character 10)"),
        ("[\n1,\n", (3, None, None), "a file must be one JSON document, or have one on each line"),
        (b'\n{"a":\n\xff}', (3, None, None), "byte 0xff is not UTF-8; save the file as UTF-8"),
        (lines(HELLO).encode() + b"\xe4\n", (2, None, None), "byte 0xe4 is not UTF-8"),
        (lines(HELLO) + "{" * 100_000, (2, None, None), "this is not JSON"),
        (lines(HELLO) + "[" * 100_000, (2, None, None), "nested too deeply"),
        (lines(HELLO, {"a": 1}), (2, 1, "role"), "the role is missing"),
        (lines(HELLO, 7), (2, 1, None), "a chat message must be a JSON object, not a number"),
        (lines(HELLO) + '{"role":"user","x":NaN}', (2, None, None), "NaN is not a JSON number"),
        (lines(HELLO) + '{"role":"user","x":1e999}', (2, 1, None), "cannot be stored as JSON"),
        (lines(HELLO) + '{"role":"user","x":"\\ud800"}', (2, 1, None), "cannot be stored"),
        (lines(HELLO) + DEEP, (2, 1, None), "nested more than 100 levels deep"),
        (json.dumps([HELLO, {"role": "x"}], indent=1), (None, 1, "role"), "unknown"),
        ("7", (1, None, None), "this is neither a chat message"),
        (lines([HELLO], [7]), (2, None, "0"), "nor a conversation, which has an 'id'"),
        (lines({"id": "a", "messages": 7}), (1, None, None), "a list of 'messages'"),
        (lines({"id": 7, "messages": []}), (1, None, "id"), "a session id must be text, not int"),
        (lines({"id": "../a\n", "messages": []}), (1, None, "id"), "control character"),
        (
            lines({"id": "a", "messages": [HELLO, {"role": "tool", "name": 7}]}),
            (1, 1, "messages.1.name"),
            "name must be a string",
        ),
        (
            json.dumps([{"messages": []}, {"messages": [None]}]),
            (1, 0, "1.messages.0"),
            "a chat message must be a JSON object, not null",
        ),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(
    tmp_path: Path, data: str | bytes, place: tuple[int | None, int | None, str | None], reason: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        read(tmp_path, data)
    error = caught.value
    assert (error.line, error.index, error.field) == place
    assert reason in error.reason
