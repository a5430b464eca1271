"""A chat service that survives `kill -9`: starlette, one log, and the worker inside.

Each question is a turn with the id that its client gave it. A client without an answer asks again with
the same id: a turn that had ended gives its answer, and one that was cut off begins anew, so nothing is
there twice. Old messages are archived automatically, and the worker summarises them::

    pip install 'eventlog-sessions[http]'
    python -m eventlog.examples.chat_service sqlite:///chat.db
    curl -s localhost:8000/chats/ada --json '{"id": "m-1", "text": "How do I deploy?"}'
    curl -s localhost:8000/chats/ada
    curl -s localhost:8000/health

Replace `answer` by your model, and give `service` a `Finalizer` with a summariser of yours.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import eventlog
from eventlog import (
    AsyncLog,
    AsyncSession,
    AsyncWorker,
    AutoCommitPolicy,
    ConflictError,
    Context,
    DuplicateEvent,
    EventLogError,
    Finalizer,
    InvalidError,
    Message,
    UnavailableError,
)

Answer: TypeAlias = Callable[[Context], AsyncIterator[str]]
"""What answers: it is given the context, and yields the answer piece by piece."""

POLICY = AutoCommitPolicy(messages=50, keep_recent=10)
"""Once 50 messages could be archived, all but the newest ten are."""


class Question(BaseModel):
    """What a client asks: ``id`` is the client's, and the same when it asks again."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=100)
    text: str = Field(min_length=1, max_length=20_000)


async def answer(context: Context) -> AsyncIterator[str]:
    """Repeat the question: the place of your model."""
    for word in f"You said: {context.messages[-1].text}".split(" "):
        yield f"{word} "


async def reply(session: AsyncSession, asked: Question, answer: Answer) -> str:
    """Store the question and its answer, once, and return the answer."""
    # What a failed attempt stored is withdrawn, so that no commit archives half a turn.
    async with session.turn(asked.id, resume=True, wait_seconds=30, on_error="withdraw") as turn:
        if not turn.done:
            await session.append(Message.user(asked.text, id=asked.id))
            async with session.stream("answer") as out:
                if not out.done:
                    context = await session.context(token_budget=8_000)
                    async for piece in answer(context):
                        await out.write(piece)
            await turn.end(out.message.text)
    if (await session.message(asked.id)).message.text != asked.text:
        raise DuplicateEvent(session.id, f"question {asked.id!r} was another one; take a new id")
    return str(turn.result)


def service(
    url: str,
    *,
    answer: Answer = answer,
    finalizer: Finalizer | None = None,
    policy: AutoCommitPolicy = POLICY,
    with_worker: bool = True,
) -> Starlette:
    """Return the application for the log at a URL."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
        async with eventlog.open_async(url, auto_commit=policy) as log:
            worker = AsyncWorker(log, finalizer)
            working = asyncio.create_task(worker.run()) if with_worker else None
            try:
                yield {"log": log, "working": working}
            finally:
                worker.stop(grace_seconds=5)  # What is not finished then is given back.
                if working is not None:
                    await working

    async def ask(request: Request) -> Response:
        asked = Question.model_validate_json(await request.body())
        session = await _log(request).session(request.path_params["chat"], create=True)
        return JSONResponse({"answer": await reply(session, asked, answer)})

    async def read(request: Request) -> Response:
        session = await _log(request).session(request.path_params["chat"])
        history = await session.history()
        return JSONResponse([{"role": each.role, "text": each.text} for each in history])

    return Starlette(
        routes=[
            Route("/chats/{chat}", ask, methods=["POST"]),
            Route("/chats/{chat}", read, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
        ],
        lifespan=lifespan,
        exception_handlers={EventLogError: refused, ValidationError: refused},
    )


async def health(request: Request) -> Response:
    """Return what waits and what is stuck; 503 if the worker has ended."""
    working = request.state.working
    found = (await _log(request).health())._asdict()
    alive = working is None or not working.done()
    return JSONResponse({"working": alive, **found}, 200 if alive else 503)


async def refused(request: Request, error: Exception) -> Response:
    """Answer with the error; the status says whose fault it is."""
    if isinstance(error, ValidationError):
        wrong = {".".join(map(str, each["loc"])): each["msg"] for each in error.errors()}
        return JSONResponse({"error": wrong}, 422)
    if isinstance(error, UnavailableError):
        return JSONResponse({"error": str(error)}, 503, {"Retry-After": "1"})
    if isinstance(error, InvalidError):
        status = 404 if isinstance(error, LookupError) else 422
    else:
        status = 409 if isinstance(error, ConflictError) else 500  # A damaged log, for instance.
    return JSONResponse({"error": str(error)}, status)


def _log(request: Request) -> AsyncLog:
    log: AsyncLog = request.state.log
    return log


def main() -> None:
    """Serve on 127.0.0.1 until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="A chat service that survives kill -9.")
    parser.add_argument("url", nargs="?", default="sqlite:///chat.db", help="the log's URL")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--no-worker", action="store_true", help="a process of its own works")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    app = service(given.url, with_worker=not given.no_worker)
    uvicorn.run(app, port=given.port)


if __name__ == "__main__":
    main()
