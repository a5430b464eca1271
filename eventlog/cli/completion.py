"""Completion of the ids of sessions and archives in bash, zsh and fish, through click.

``eval "$(_EVENTLOG_COMPLETE=bash_source eventlog)"`` switches it on; ``zsh_source`` and
``fish_source`` do in those shells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import click

    from eventlog.log import Log

__all__ = ["archive_ids", "session_ids"]

OFFERED: Final = 200
"""Ids that are offered at most."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.,:@%+=/][A-Za-z0-9_.,:@%+=/-]*")
"""Ids that are one word to every shell. A shell inserts what it is offered as it is, so no other id is
offered: one with `$(…)` in it would be run."""


def session_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the ids of sessions that begin like this; none if the log cannot be read."""
    owner = ctx.meta.get("eventlog.owner")
    return _offered(ctx, incomplete, lambda log: _sessions(log, incomplete, owner))


def archive_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the ids of the session's archives that begin like this, the newest first."""
    session = ctx.params.get("session_id")
    return _offered(ctx, incomplete, lambda log: _archives(log, session)) if session else []


def _offered(ctx: click.Context, incomplete: str, ids: Callable[[Log], Iterator[str]]) -> list[str]:
    from eventlog.cli.opening import open_log

    url = ctx.meta.get("eventlog.store") or ctx.find_root().params.get("store")
    # Whatever is wrong with the log: a shell has no place to say so, and the command will.
    with suppress(Exception), redirect_stderr(StringIO()), open_log(str(url)) as log:
        fitting = (id for id in ids(log) if id.startswith(incomplete) and _PLAIN.fullmatch(id))
        return list(islice(fitting, OFFERED))
    return []


def _sessions(log: Log, beginning: str, owner: str | None) -> Iterator[str]:
    from eventlog.engine.listings import Selection, session_ids, session_ids_from
    from eventlog.log import engine_of

    store = engine_of(log).store
    if owner is not None:
        return session_ids(store, Selection(owner=owner))
    return session_ids_from(store, beginning)


def _archives(log: Log, session: str) -> Iterator[str]:
    views = log.session(session, follow_folder=False).archives()
    return (view.archive_id for view in reversed(views))
