"""``eventlog serve``: the log over HTTP, until stopped."""

from __future__ import annotations

import asyncio

import click

from eventlog.aio import AsyncLog
from eventlog.cli.command import Invocation, command
from eventlog.cli.output import say
from eventlog.errors import UnsupportedStore

__all__ = ["serve"]


@command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8137,
    show_default=True,
    help="The port; 0 lets the system choose one.",
)
@click.option(
    "--token",
    metavar="TEXT",
    envvar="EVENTLOG_TOKEN",
    show_envvar=True,
    help="What requests must bear: Authorization: Bearer TEXT.",
)
@click.option(
    "--allow-host",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A further name by which the server is called, such as that of a proxy.",
)
@click.option("--actions", is_flag=True, help="Give the page buttons: retry, abandon, stop.")
def serve(
    invocation: Invocation,
    host: str,
    port: int,
    token: str | None,
    hosts: tuple[str, ...],
    actions: bool,
) -> None:
    """At / is a page of all sessions, live: `eventlog docs report`. The API is under /api/v1, its
    description at /openapi.json; `eventlog docs http` shows more.

    Without --host only this machine reaches it; beyond that a token is required. Whoever has the
    token sees and changes every session. It ends on SIGTERM or Ctrl-C.
    """
    try:
        from eventlog.http import serving
    except ModuleNotFoundError as error:
        raise UnsupportedStore(
            f"{error.name} is not installed; pip install 'eventlog-sessions[http]'"
        ) from error
    from eventlog.report.inspector import Inspector

    with (
        invocation.open(create=True) as log,
        asyncio.Runner(loop_factory=serving.new_loop) as runner,
    ):
        runner.run(
            serving.serve(
                AsyncLog(log),
                host=host,
                port=port,
                token=token,
                hosts=hosts,
                pages=Inspector(log, actions=actions),
                started=_started,
            )
        )


def _started(host: str, port: int) -> None:
    place = f"[{host}]" if ":" in host else host
    say(f"serving at http://{place}:{port}; the page is at /, the API under /api/v1")
