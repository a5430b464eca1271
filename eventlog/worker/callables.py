"""Calling users' functions: plain ones in threads, asynchronous ones in the loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

from eventlog.error_text import printable, text_of
from eventlog.offloop import future_of_work

__all__ = ["call"]


async def call(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a plain function in a thread, so that leases are renewed meanwhile; await an async one.

    If it is cancelled, it does not wait for the function: a thread goes on, and its result is
    dropped. A callable that calls `sys.exit` has failed; the process goes on.
    """
    try:
        if _is_asynchronous(function):
            return await function(*arguments)
        answer = await _in_thread(partial(function, *arguments))
        return await answer if inspect.isawaitable(answer) else answer
    except (Exception, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt) as error:
        if isinstance(error, StopIteration):
            raise _as_failure(error) from error
        raise
    except BaseException as error:
        raise _as_failure(error) from error


def _as_failure(error: BaseException) -> RuntimeError:
    """Return an ordinary error in place of an exception that would end more than the callable."""
    name = printable(type(error).__name__)
    return RuntimeError(f"the callable raised {name}({text_of(error)})")


def _is_asynchronous(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    )


def _in_thread(function: Callable[[], Any]) -> asyncio.Future[Any]:
    """Call a function in a new thread.

    The threads of an executor are waited for when a loop or the interpreter ends, so a function
    that hangs would keep a stopped worker from exiting (F12). And an executor has few threads: if
    each waited for a step that another one must run, all would wait for ever.
    """
    loop = asyncio.get_running_loop()
    future = future_of_work(loop)
    context = copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, StopIteration) or not isinstance(error, Exception):
            # A future cannot hold a StopIteration, and the others would end the loop.
            future.set_exception(_as_failure(error))
        else:
            future.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = context.run(function)
        except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
            failure = error
        with suppress(RuntimeError):  # The loop is closed, so there is no caller any more.
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="eventlog-callable", daemon=True).start()
    return future
