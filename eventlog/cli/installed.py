"""Whether the files of this package are those that were installed.

Another distribution may install files into a folder ``eventlog`` as well: the name of a distribution is
unique, that of a package is not. Whichever is installed last wins, file by file, and uninstalling one
takes files of the other along. So this module needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Final, NamedTuple

__all__ = ["DISTRIBUTION", "Installed", "examine_installation"]

DISTRIBUTION: Final = "eventlog-sessions"
PACKAGE: Final = "eventlog"


class Installed(NamedTuple):
    """What is wrong with the installation."""

    changed: tuple[str, ...]
    """The files that are not as they were installed, or are gone."""
    foreign: tuple[str, ...]
    """The other distributions with files in the same folder."""

    def sentence(self) -> str:
        """Return what is wrong and what to do; empty if nothing is."""
        rivals = " and ".join(self.foreign)
        if self.changed:
            named = ", ".join(self.changed[:3])
            more = f" and {len(self.changed) - 3:,} more" if len(self.changed) > 3 else ""
            by = f", overwritten by the distribution {rivals}" if rivals else ""
            return f"not as installed{by}: {named}{more}; {_remedy(self.foreign)}"
        if rivals:
            return (
                f"the distribution {rivals} has files in the folder {PACKAGE}, too: installing or "
                f"removing it changes files of ours; {_remedy(self.foreign)}"
            )
        return ""


def examine_installation(
    distributions: Iterable[metadata.Distribution] | None = None,
) -> Installed:
    """Compare the package's files with the list that its installation left.

    An editable installation and a checkout have no such list: then nothing has changed.
    """
    changed: list[str] = []
    foreign: list[str] = []
    for found in metadata.distributions() if distributions is None else distributions:
        files = [file for file in found.files or () if file.parts[:1] == (PACKAGE,)]
        if not files:
            continue
        name = found.metadata["Name"] or "without a name"
        if re.sub(r"[-_.]+", "-", name).lower() == DISTRIBUTION:
            changed += _changed(files)
        else:
            foreign.append(name)
    return Installed(tuple(sorted(changed)), tuple(sorted(set(foreign))))


def _changed(files: Iterable[metadata.PackagePath]) -> Iterator[str]:
    for file in files:
        if file.hash is None or file.hash.mode != "sha256":
            continue
        try:
            digest = hashlib.sha256(file.read_binary()).digest()
        except OSError:
            digest = b""
        if urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            yield file.as_posix()


def _remedy(foreign: Iterable[str]) -> str:
    removed = "".join(f"`pip uninstall {name}`, then " for name in foreign)
    return f"run {removed}`pip install --force-reinstall {DISTRIBUTION}`"
