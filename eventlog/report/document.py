"""The page as one file: its modules and styles put into it, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import re
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from eventlog.report.tables import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MODULES", "page_script", "page_style", "pages"]

MODULES: Final = (
    "wording.js",
    "elements.js",
    "states.js",
    "sources.js",
    "values.js",
    "messages.js",
    "machines.js",
    "plots.js",
    "timeline.js",
    "panels.js",
    "session_view.js",
    "inspector.js",
    "main.js",
)
"""The modules of the page: each imports only from those before it."""

_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./[a-z_]+\.js";\n', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ", re.MULTILINE)


def _read(name: str) -> str:
    return files("eventlog.report").joinpath("page", name).read_text("utf-8")


@cache
def page_script() -> str:
    """Return the modules as one: a page that is a file cannot load a second one."""
    return "".join(_EXPORT.sub("", _IMPORT.sub("", _read(name))) for name in MODULES)


@cache
def page_style() -> str:
    """Return the style sheet."""
    return _read("page.css")


def pages(
    title: str, sessions: Iterable[Iterable[str]], settings: dict[str, Any], *, connects: bool
) -> Iterator[str]:
    """Yield a page, piece by piece, with the data of sessions in it.

    It asks for nothing from anywhere, or with ``connects`` from where it came from alone.
    """
    script, style = page_script(), page_style()
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "connect-src 'self'" if connects else "connect-src 'none'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    head, rest = _read("page.html").split("<!-- data -->")
    filled = {"title": _escaped(title), "policy": policy, "style": style}
    for name, text in filled.items():
        head = head.replace("{{" + name + "}}", text, 1)
    yield head
    yield f'<script type="application/json" id="settings">{json_text(settings)}</script>\n'
    for pieces in sessions:
        yield '<script type="text/plain" class="session-data">'
        yield from pieces
        yield "</script>\n"
    before, after = rest.split("{{script}}")
    yield before
    yield script
    yield after


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def _escaped(text: str) -> str:
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    )
