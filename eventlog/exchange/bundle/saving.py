"""A bundle onto disk: whole, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eventlog.argument_checks import checked_path
from eventlog.errors import FolderUnavailable, InvalidArgument
from eventlog.exchange.bundle.writing import BundleReport, bundle_bytes
from eventlog.filesystem import LocalFiles, replace_named_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from eventlog.exchange.bundle.format import Redaction
    from eventlog.store import Store

__all__ = ["write_bundle"]


def write_bundle(
    store: Store,
    sessions: Sequence[str],
    path: str | PathLike[str],
    redaction: Redaction | None = None,
    *,
    replace: bool = False,
) -> BundleReport:
    """Write a bundle; see `eventlog.log.Log.bundle`."""
    text = checked_path("the bundle", path)
    folder, name = os.path.split(os.path.abspath(text))  # noqa: PTH100 - a link stays one
    files = LocalFiles().under(folder)
    try:
        if not replace and files.kind(name) is not None:
            raise InvalidArgument(f"{text} is there already; name another file")
        data, report = bundle_bytes(store, sessions, redaction)
        replace_named_file(files, name, data)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FolderUnavailable(folder, f"{name}: {reason}", "name another file") from error
    return report
