"""What a bundle is: a zip file with a manifest, and a folder per session.

    manifest.json                       {"format", "number", "redaction", "sessions": [{"session_id",
                                         "folder", "version", "hash", "redacted", "values"}]}
    schemas.json                        per event type: its schema numbers, and what its data are
    sessions/000001/records.jsonl       a record per line, as it is stored
    sessions/000001/values/{SHA-256}    the large values that its events name

A line has the fields of a record: ``data`` and ``metadata`` are its bytes as text, or in
``data_base64`` where they are none. Of a redacted record ``data_sha256`` and ``metadata_sha256`` are
the digests of what was there: they stand for it in the hash chain, so that it still verifies.

Nothing in the file depends on when or where it was made.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

__all__ = [
    "FORMAT",
    "MANIFEST",
    "NUMBER",
    "SCHEMAS",
    "Limits",
    "Redaction",
    "records_path",
    "session_folder",
    "value_path",
]

FORMAT: Final = "eventlog bundle"
NUMBER: Final = 1
MANIFEST: Final = "manifest.json"
SCHEMAS: Final = "schemas.json"

Redaction = Literal["secrets", "texts"]
"""What is taken out: secrets of known forms, or all text of messages, tools and steps."""

ENTRY: Final = re.compile(
    r"manifest\.json|schemas\.json|sessions/[0-9]{6}/(?:records\.jsonl|values/[0-9a-f]{64})"
)
"""The names that entries of a bundle have."""


class Limits(NamedTuple):
    """How much of a bundle is read. All sizes in bytes."""

    file: int = 256 << 20
    """Of the file."""
    content: int = 1 << 30
    """Of what is in it, unpacked."""
    entries: int = 100_000
    ratio: int = 200
    """How many times larger than packed an entry may be; entries up to 1 MiB may be any."""
    sessions: int = 100_000


RATIO_FROM: Final = 1 << 20


def session_folder(number: int) -> str:
    """Return the folder of the ``number``-th session, from 1."""
    return f"sessions/{number:06d}"


def records_path(folder: str) -> str:
    return f"{folder}/records.jsonl"


def value_path(folder: str, digest: str) -> str:
    return f"{folder}/values/{digest}"
