"""Open the log that a command works on; a mistyped URL must not create one."""

from __future__ import annotations

from pathlib import Path

import eventlog
from eventlog.cli.output import say
from eventlog.engine.opening import has_log
from eventlog.errors import InvalidError
from eventlog.log import Log
from eventlog.store_url import public_url, split_url

__all__ = ["LogNotFound", "open_log"]


class LogNotFound(InvalidError, LookupError):
    """There is no log at the URL."""

    def __init__(self, place: Path | str) -> None:
        super().__init__(
            f"no log in {place}; check --store, or begin one with `eventlog import` or "
            "`eventlog append --create`"
        )
        self.place = place


def open_log(url: str, *, create: bool = False) -> Log:
    """Open the log at a URL; raise `LogNotFound` if there is none and ``create`` is false."""
    path = _path(url)
    if not create and path is not None and _is_empty(path):
        raise LogNotFound(path)
    if not create and has_log(url) is False:
        raise LogNotFound(public_url(url))
    log = eventlog.open(url)
    opened = log.store.settings().get("opened") if "mode=ro" in url else None
    if opened is not None:
        say(f"opened {opened}")
    return log


def _path(url: str) -> Path | None:
    """Return the file or folder that holds a log, or None if the store uses neither."""
    scheme, location, _ = split_url(url)
    return Path(location) if scheme in ("sqlite", "files") and location else None


def _is_empty(path: Path) -> bool:
    if path.is_dir():
        return not any(path.iterdir())
    return not path.exists() or path.stat().st_size == 0
