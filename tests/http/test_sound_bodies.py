"""A message that is read once is the message that reading its fields gives, and is refused as that is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from eventlog import InvalidMessage
from eventlog.http.routing import Operation, Routes
from eventlog.http.sent_messages import MessageBody, SoundMessage, checked_message, read_body
from eventlog.http.wire_errors import RequestRefused

TEXT = b'{"type":"text","text":"hi"}'

BODIES = {
    "sound": b'{"role":"user","parts":[%b]}' % TEXT,
    "with everything": b'{"id":"m","role":"user","parts":[%b],"created_at":"2026-01-01T00:00:00Z"}'
    % TEXT,
    "further fields": b'{"role":"user","parts":[],"a":{"parts":[1]},"b":1e400,"c":-0.0,"d":NaN}',
    "large numbers": b'{"role":"user","parts":[],"a":123456789012345678901234567890}',
    "fields twice": b'{"role":"user","role":"assistant","parts":[],"parts":[%b]}' % TEXT,
    "an escaped name": b'{"role":"user","\\u0070arts":[%b]}' % TEXT,
    "a chat message": b'{"role":"user","content":[{"type":"text","text":"\\"parts\\""}]}',
    "nested parts": b'{"role":"user","content":{"parts":[]}}',
    "a number for a text": b'{"role":"user","parts":[{"type":"text","text":1}]}',
    "a number for an id": b'{"id":1,"role":"user","parts":[]}',
    "an unknown role": b'{"role":"nobody","parts":[]}',
    "no role": b'{"parts":[]}',
    "parts that are null": b'{"role":"user","parts":null}',
    "a list": b'[{"role":"user","parts":[]}]',
    "a text": b'"\\"parts\\""',
    "half": b'{"role":"user","parts":[',
    "no UTF-8": b'{"role":"user","parts":[{"type":"text","text":"\xff"}]}',
    "half a pair": b'{"role":"user","parts":[{"type":"text","text":"\\ud800"}]}',
    "nothing": b"",
    "deep": b'{"role":"user","parts":[],"a":' + b"[" * 500 + b"]" * 500 + b"}",
}


def outcome(content: bytes, *, by_fields: bool) -> Any:
    """Return the message, but for what is drawn; or the error."""
    try:
        if by_fields:
            read = MessageBody.model_validate_json(content)
            message = checked_message(dict(read.__pydantic_extra__ or {}))
        else:
            message = read_body(MessageBody, content).message
    except ValidationError as error:
        return [(entry["loc"], entry["msg"]) for entry in error.errors(include_url=False)]
    except InvalidMessage as error:
        return str(error), error.field
    data = message if isinstance(message, dict) else message.as_data()
    return repr({name: data[name] for name in data if name not in ("id", "created_at")})


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_read_or_refused_as_by_its_fields(name: str) -> None:
    content = BODIES[name]

    assert outcome(content, by_fields=False) == outcome(content, by_fields=True)


def test_a_sound_message_is_read_once() -> None:
    assert isinstance(read_body(MessageBody, BODIES["with everything"]), SoundMessage)
    assert isinstance(read_body(MessageBody, BODIES["a chat message"]), MessageBody)


async def answer(_: object) -> Any:
    raise NotImplementedError


def operation(method: str, path: str) -> Operation:
    return Operation(method, path, f"{method} {path}", "", "read", answer)


ROUTES = Routes(
    [
        operation("GET", "/a/{id}/b"),
        operation("POST", "/a/{id}/b"),
        operation("GET", "/a/{id}/{name}"),
        operation("PUT", "/a/{id}/{name}"),
        operation("GET", "/a/fixed/b"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "found", "values"),
    [
        ("GET", b"a/fixed/b", "GET /a/fixed/b", {}),
        ("POST", b"a/fixed/b", "POST /a/{id}/b", {"id": "fixed"}),
        ("PUT", b"a/fixed/b", "PUT /a/{id}/{name}", {"id": "fixed", "name": "b"}),
        ("GET", b"a/x/b", "GET /a/{id}/b", {"id": "x"}),
        ("GET", b"a/%2F/%c3%a9", "GET /a/{id}/{name}", {"id": "/", "name": "é"}),
        ("GET", "a/é/b".encode(), "GET /a/{id}/b", {"id": "é"}),
    ],
)
def test_a_fixed_word_goes_before_a_parameter_unless_it_lacks_the_method(
    method: str, path: bytes, found: str, values: dict[str, str]
) -> None:
    operation, given = ROUTES.find(method, path.split(b"/"))

    assert (operation.name, given) == (found, values)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", b"a/fixed/b", 405),
        ("GET", b"a//b", 404),
        ("GET", b"a/x/", 404),
        ("GET", b"a/%FF/b", 404),
        ("GET", b"b/x/b", 404),
        ("GET", b"a", 404),
    ],
)
def test_another_path_or_method_is_refused(method: str, path: bytes, status: int) -> None:
    with pytest.raises(RequestRefused) as raised:
        ROUTES.find(method, path.split(b"/"))

    assert raised.value.failure.status == status
