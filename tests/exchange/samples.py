"""One small file per format, shaped as its program writes it: the same conversation in each."""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["OPENHANDS", "SAMPLES", "lines"]

TIME: Final = "2026-01-01T10:00:0{}.000Z"


def lines(*values: Any) -> bytes:
    """Return JSON Lines."""
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode()


def document(value: Any) -> bytes:
    """Return one document over many lines."""
    return json.dumps(value, ensure_ascii=False, indent=2).encode()


def claude_code(uuid: str, parent: str | None, role: str, content: Any, **more: Any) -> Any:
    """Return a line of a transcript."""
    return {
        "parentUuid": parent,
        "isSidechain": False,
        "userType": "external",
        "cwd": "/srv/app",
        "sessionId": "s-1",
        "version": "2.0.1",
        "type": role,
        "message": {"role": role, "content": content},
        "uuid": uuid,
        "timestamp": TIME.format(uuid[-1]),
        **more,
    }


def rollout(number: int, **payload: Any) -> Any:
    """Return an item of a rollout."""
    return {"timestamp": TIME.format(number), "type": "response_item", "payload": payload}


def node(key: str, parent: str | None, role: str | None, content: Any, **more: Any) -> Any:
    """Return a node of an export of ChatGPT."""
    message = {
        "id": f"m-{key}",
        "author": {"role": role, "name": None, "metadata": {}},
        "create_time": 1_767_261_600.5,
        "content": content,
        "recipient": "all",
        "metadata": {},
        **more,
    }
    return {
        "id": key,
        "parent": parent,
        "message": None if role is None else message,
        "children": [],
    }


ARGUMENTS: Final = '{"city":"Oslo"}'
FUNCTION: Final = {"name": "weather", "arguments": ARGUMENTS}

SAMPLES: Final[dict[str, bytes]] = {
    "chat": document(
        {
            "id": "s-1",
            "model": "m",
            "messages": [
                {"role": "user", "content": "Weather in Oslo?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c1", "type": "function", "function": FUNCTION}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "-3 °C"},
                {"role": "assistant", "content": "Minus three."},
            ],
        }
    ),
    "anthropic": document(
        {
            "id": "s-1",
            "system": "Be brief.",
            "messages": [
                {"role": "user", "content": "Weather in Oslo?"},
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "tool_use",
                            "id": "c1",
                            "name": "weather",
                            "input": {"city": "Oslo"},
                        }
                    ],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "-3 °C"}],
                },
                {"role": "assistant", "content": [{"type": "text", "text": "Minus three."}]},
            ],
        }
    ),
    "responses": lines(
        {"role": "user", "content": [{"type": "input_text", "text": "Weather in Oslo?"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", **FUNCTION},
        {"type": "function_call_output", "call_id": "c1", "output": "-3 °C"},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Minus three.", "annotations": []}],
        },
    ),
    "own": lines(
        {
            "id": "m-1",
            "role": "user",
            "parts": [{"type": "text", "text": "Weather in Oslo?"}],
            "created_at": TIME.format(1),
        },
        {
            "id": "m-2",
            "role": "assistant",
            "parts": [
                {
                    "type": "tool",
                    "tool_id": "c1",
                    "tool_name": "weather",
                    "tool_uri": "",
                    "skill_uri": "",
                    "tool_status": "completed",
                    "tool_input": {"city": "Oslo"},
                    "tool_output": "-3 °C",
                }
            ],
            "created_at": TIME.format(2),
        },
        {
            "id": "m-3",
            "role": "assistant",
            "parts": [{"type": "text", "text": "Minus three."}],
            "created_at": TIME.format(3),
            "turn_id": "t-1",
        },
    ),
    "vercel": document(
        {
            "id": "s-1",
            "messages": [
                {
                    "id": "u1",
                    "role": "user",
                    "parts": [{"type": "text", "text": "Weather in Oslo?"}],
                },
                {
                    "id": "a1",
                    "role": "assistant",
                    "metadata": {"model": "m"},
                    "parts": [
                        {"type": "step-start"},
                        {
                            "type": "tool-weather",
                            "toolCallId": "c1",
                            "state": "output-available",
                            "input": {"city": "Oslo"},
                            "output": "-3 °C",
                        },
                        {"type": "step-start"},
                        {"type": "text", "text": "Minus three.", "state": "done"},
                    ],
                },
            ],
        }
    ),
    "gemini": document(
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Weather in Oslo?"}]},
                {
                    "role": "model",
                    "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}],
                },
                {
                    "role": "user",
                    "parts": [
                        {"functionResponse": {"name": "weather", "response": {"output": "-3 °C"}}}
                    ],
                },
                {"role": "model", "parts": [{"text": "Minus three."}]},
            ],
            "generationConfig": {"topK": 1},
        }
    ),
    "sharegpt": document(
        [
            {
                "id": "s-1",
                "conversations": [
                    {"from": "human", "value": "Weather in Oslo?"},
                    {"from": "gpt", "value": "Minus three."},
                ],
            }
        ]
    ),
    "pydantic-ai": document(
        [
            {
                "kind": "request",
                "parts": [
                    {
                        "part_kind": "user-prompt",
                        "content": "Weather in Oslo?",
                        "timestamp": TIME.format(1),
                    }
                ],
            },
            {
                "kind": "response",
                "model_name": "m",
                "timestamp": TIME.format(2),
                "usage": {"input_tokens": 3},
                "parts": [
                    {
                        "part_kind": "tool-call",
                        "tool_name": "weather",
                        "args": ARGUMENTS,
                        "tool_call_id": "c1",
                    }
                ],
            },
            {
                "kind": "request",
                "parts": [
                    {
                        "part_kind": "tool-return",
                        "tool_name": "weather",
                        "content": "-3 °C",
                        "tool_call_id": "c1",
                    }
                ],
            },
            {"kind": "response", "parts": [{"part_kind": "text", "content": "Minus three."}]},
        ]
    ),
    "langchain": document(
        [
            {"type": "human", "data": {"content": "Weather in Oslo?", "type": "human"}},
            {
                "lc": 1,
                "type": "constructor",
                "id": ["langchain", "schema", "messages", "AIMessage"],
                "kwargs": {
                    "content": "",
                    "tool_calls": [
                        {
                            "name": "weather",
                            "args": {"city": "Oslo"},
                            "id": "c1",
                            "type": "tool_call",
                        }
                    ],
                    "id": "run-1",
                },
            },
            {"type": "tool", "content": "-3 °C", "tool_call_id": "c1", "status": "success"},
            {"type": "ai", "content": "Minus three.", "additional_kwargs": {}},
        ]
    ),
    "claude-code": lines(
        {"type": "summary", "summary": "Weather", "leafUuid": "u-4"},
        claude_code("u-1", None, "user", "Weather in Oslo?"),
        claude_code(
            "u-2",
            "u-1",
            "assistant",
            [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}}],
            requestId="req_1",
        ),
        claude_code(
            "u-3",
            "u-2",
            "user",
            [{"type": "tool_result", "tool_use_id": "c1", "content": "-3 °C"}],
            toolUseResult={"stdout": "-3 °C"},
        ),
        claude_code("u-4", "u-3", "assistant", [{"type": "text", "text": "Minus three."}]),
    ),
    "codex": lines(
        {
            "timestamp": TIME.format(0),
            "type": "session_meta",
            "payload": {"id": "s-1", "cwd": "/srv/app"},
        },
        rollout(
            1,
            type="message",
            role="user",
            content=[{"type": "input_text", "text": "Weather in Oslo?"}],
        ),
        {"timestamp": TIME.format(1), "type": "event_msg", "payload": {"type": "user_message"}},
        rollout(2, type="function_call", call_id="c1", **FUNCTION),
        rollout(3, type="function_call_output", call_id="c1", output="-3 °C"),
        rollout(
            4,
            type="message",
            role="assistant",
            content=[{"type": "output_text", "text": "Minus three."}],
        ),
    ),
    "chatgpt": document(
        [
            {
                "title": "Weather",
                "conversation_id": "s-1",
                "create_time": 1_767_261_600.5,
                "current_node": "c",
                "mapping": {
                    "root": node("root", None, None, None),
                    "a": node(
                        "a",
                        "root",
                        "user",
                        {"content_type": "text", "parts": ["Weather in Oslo?"]},
                    ),
                    "b": node(
                        "b",
                        "a",
                        "assistant",
                        {"content_type": "text", "parts": ["Cold."]},
                    ),
                    "c": node(
                        "c",
                        "a",
                        "assistant",
                        {"content_type": "text", "parts": ["Minus three."]},
                    ),
                },
            }
        ]
    ),
    "claude-ai": document(
        [
            {
                "uuid": "s-1",
                "name": "Weather",
                "created_at": TIME.format(0),
                "chat_messages": [
                    {
                        "uuid": "m1",
                        "sender": "human",
                        "text": "Weather in Oslo?",
                        "created_at": TIME.format(1),
                        "attachments": [],
                    },
                    {
                        "uuid": "m2",
                        "sender": "assistant",
                        "text": "Minus three.",
                        "content": [{"type": "text", "text": "Minus three."}],
                        "created_at": TIME.format(2),
                    },
                ],
            }
        ]
    ),
}

OPENHANDS: Final[dict[int, Any]] = {
    0: {
        "id": 0,
        "source": "user",
        "action": "message",
        "args": {"content": "Weather in Oslo?"},
        "timestamp": "2026-01-01T10:00:00.123456",
    },
    1: {
        "id": 1,
        "source": "agent",
        "action": "run",
        "args": {"command": "weather Oslo", "thought": "Looking."},
    },
    2: {"id": 2, "source": "environment", "observation": "run", "cause": 1, "content": "-3 °C"},
    3: {
        "id": 3,
        "source": "agent",
        "action": "message",
        "args": {"content": "Minus three."},
    },
}
