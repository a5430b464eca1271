"""An agent that answers queued messages, and goes on after whatever ends it.

It takes messages from the queue of a log (``eventlog enqueue``), plans, and streams an answer, with
any server that speaks the chat completions of OpenAI::

    eventlog --store sqlite:///agent.db enqueue chat-42 "How do I deploy?" --create
    python -m eventlog.examples.agent --store sqlite:///agent.db --model local=http://127.0.0.1:8080/v1

With several ``--model`` the first is used while it answers, then the next. SIGTERM stops it: what has
arrived is recorded, and the next start goes on. It needs the extra ``runs``.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, closing, suppress
from typing import Any
from urllib.parse import urlsplit

import eventlog
from eventlog import NonRetryableError, Provider, RetryPolicy, Run, Supervisor

RUNS = 32
"""How many messages are answered at once."""

CALLS = RetryPolicy(attempts=4, base_seconds=0.5, cap_seconds=8)
"""How often a call that fails is tried before the attempt counts as crashed."""


class ModelError(Exception):
    """The server answered with an error; the status says whether it may pass."""

    def __init__(self, status: int, text: str, retry_after: str | None) -> None:
        super().__init__(f"status {status}: {text}")
        self.status_code = status
        if retry_after is not None and retry_after.isdecimal():
            self.retry_after = int(retry_after)


class Model:
    """A model behind a URL; its calls wait in threads, so that the event loop does not."""

    def __init__(self, url: str, timeout: float) -> None:
        self._place = urlsplit(url)
        self._timeout = timeout

    def is_there(self) -> bool:
        """Return whether anything answers at the address."""
        with closing(self._connected()) as connection:
            connection.request("GET", self._place.path or "/")
            connection.getresponse()
            return True

    async def complete(self, messages: Sequence[Any]) -> str:
        """Return a whole answer."""
        async with self._asked(messages, streams=False) as response:
            answer = json.loads(await asyncio.to_thread(response.read))
            return str(answer["choices"][0]["message"]["content"])

    async def stream(self, messages: Sequence[Any]) -> AsyncGenerator[str]:
        """Yield the answer piece by piece; raise `ConnectionError` if it breaks off."""
        async with self._asked(messages, streams=True) as response:
            while True:
                line = (await asyncio.to_thread(response.readline)).decode().strip()
                if line == "data: [DONE]":
                    return
                if not line and response.isclosed():
                    raise ConnectionError("the answer broke off")
                if line.startswith("data: "):
                    yield _content(line.removeprefix("data: "))

    @asynccontextmanager
    async def _asked(
        self, messages: Sequence[Any], *, streams: bool
    ) -> AsyncGenerator[http.client.HTTPResponse]:
        """Ask, and give the response. Leaving the block ends whatever thread still waits for it."""
        body = json.dumps({"model": "any", "messages": messages, "stream": streams})
        with closing(self._connected()) as connection:
            await asyncio.to_thread(connection.connect)
            line: socket.socket = connection.sock
            try:
                response = await asyncio.to_thread(_response, connection, self._place.path, body)
                with response:
                    try:
                        yield response
                    finally:
                        _hang_up(line)  # Before the response is closed, which would wait.
            except http.client.HTTPException as error:
                raise ConnectionError(f"the answer broke off ({error!r})") from error
            finally:
                _hang_up(line)

    def _connected(self) -> http.client.HTTPConnection:
        secure = self._place.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(self._place.hostname or "127.0.0.1", self._place.port, timeout=self._timeout)


def _response(
    connection: http.client.HTTPConnection, path: str, body: str
) -> http.client.HTTPResponse:
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"{path}/chat/completions", body, headers)
    response = connection.getresponse()
    if response.status != 200:
        with response:
            text = response.read(10_000).decode(errors="replace")
        raise ModelError(response.status, text, response.getheader("Retry-After"))
    return response


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _content(event: str) -> str:
    try:
        choices = json.loads(event)["choices"]
    except ValueError as error:  # Cut in the middle.
        raise ConnectionError("the answer broke off") from error
    return str(choices[0]["delta"].get("content") or "") if choices else ""


async def answer(run: Run) -> dict[str, str]:
    """Answer one message: a plan, which is paid once, then an answer that is written as it comes."""
    if run.provider is None:
        raise NonRetryableError("no model is configured")
    model: Model = run.provider.client

    async def plan() -> str:
        asked = [{"role": "user", "content": f"Plan an answer to: {run.prompt.text}"}]
        found: str = await run.call(lambda: model.complete(asked), CALLS, name="plan")
        return found

    planned: str = await run.step("plan", plan)
    async with run.stream("answer") as out:
        if not out.done:
            context = await run.session.context(token_budget=8_000)
            asked = [{"role": "system", "content": planned}, *context.to_chat()]
            async with aclosing(model.stream(asked)) as pieces:
                async for piece in pieces:
                    await out.write(piece)
    return {"plan": planned}


async def serve(
    store: str, models: Sequence[str], *, patience: float, grace: float, once: bool
) -> int:
    """Answer what is queued, until SIGTERM or Ctrl-C; with ``once``, only what is due now."""
    providers: list[Provider] = []
    for named in models:
        name, _, url = named.partition("=")
        model = Model(url, patience)
        providers.append(Provider(name, model, is_available=model.is_there))
    async with eventlog.open_async(store) as log:
        supervisor = Supervisor(log, answer, providers, concurrency=RUNS)
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(RUNS))  # Each run may wait for its model.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stop, grace)
        if once:
            return await supervisor.run_once()
        await supervisor.run()
        return 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser(prog="python -m eventlog.examples.agent")
    parser.add_argument("--store", required=True, help="the log, such as sqlite:///agent.db")
    parser.add_argument("--model", action="append", required=True, metavar="NAME=URL")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for a model")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds for runs to end in")
    parser.add_argument("--once", action="store_true", help="answer what is due now, and exit")
    given = parser.parse_args(arguments)
    answered = asyncio.run(
        serve(given.store, given.model, patience=given.timeout, grace=given.grace, once=given.once)
    )
    if given.once:
        sys.stdout.write(f"{answered} answered\n")


if __name__ == "__main__":
    main()
