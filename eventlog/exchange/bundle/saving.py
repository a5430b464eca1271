"""A bundle onto disk: whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from eventlog.errors import InvalidArgument
from eventlog.exchange.bundle.writing import BundleReport, bundle_bytes
from eventlog.filesystem import LocalFiles, replace_file

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
    name = Path(path).name
    files = LocalFiles().under(str(Path(path).absolute().parent))
    if not replace and files.kind(name) is not None:
        raise InvalidArgument(f"{os.fspath(path)} is there already; name another file")
    data, report = bundle_bytes(store, sessions, redaction)
    replace_file(files, name, data)
    files.sync_folder("")
    return report
