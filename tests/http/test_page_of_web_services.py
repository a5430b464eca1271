"""The page `eventlog docs web-services`: its application answers, and serves the API beside its routes."""

from __future__ import annotations

import asyncio
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2
import pytest

import eventlog


def application() -> Any:
    """Return the application that the blocks of the page define."""
    text = files(eventlog).joinpath("docs/web-services.md").read_text("utf-8")
    defined: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "web-services.md", "exec"), defined)  # noqa: S102 - our own page
    return defined["app"]


async def converse() -> dict[str, tuple[int, Any]]:
    """Start the application as a server does, call its routes, and stop it."""
    app = application()
    found: dict[str, tuple[int, Any]] = {}

    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx2.ASGITransport(app=with_state)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            asked = {"id": "m-1", "text": "Is it up?"}
            bearer = {"Authorization": "Bearer secret-of-ada"}
            for name, request in {
                "first": client.post("/chats/ada", json=asked),
                "again": client.post("/chats/ada", json=asked),
                "no id": client.post("/chats/ada", json={"text": "Is it up?"}),
                "no session": client.post("/chats/%01", json=asked),
                "health": client.get("/health"),
                "stranger": client.get("/log/api/v1/sessions"),
                "owner": client.get("/log/api/v1/sessions", headers=bearer),
            }.items():
                answer = await request
                found[name] = answer.status_code, answer.json()
    return found


def test_the_application_of_the_page_answers_once_and_serves_the_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = asyncio.run(converse())

    assert found["first"] == found["again"] == (200, {"answer": "It is up."})
    assert found["no id"][0] == found["no session"][0] == 422
    assert "control character" in found["no session"][1]["error"]
    assert found["health"][0] == 200
    assert found["health"][1]["blocked_sessions"] == 0
    assert found["stranger"][0] == 401
    assert found["owner"][0] == 200
    with eventlog.open("sqlite:///chat.db") as log:
        assert len(log.session("ada").history()) == 2
