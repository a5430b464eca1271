"""Draw the pictures of the README: ``eventlog/docs/session.svg`` and ``eventlog/docs/demo.svg``.

``python -m tests.docs.draw_pictures`` draws both again: the first from the words below, the second by
running the demo. They load nothing, and are readable in light and dark.
"""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from eventlog.cli import demo
from eventlog.cli.demonstration.story import play
from eventlog.cli.terminal import Terminal

__all__ = ["DEMO", "SESSION", "demo_picture", "main", "session_picture"]

DOCS = Path(__file__).parents[2] / "eventlog" / "docs"
SESSION = DOCS / "session.svg"
DEMO = DOCS / "demo.svg"

_LOOKS = """
  text { font: 14px system-ui, "Segoe UI", sans-serif; fill: #1c2024 }
  .soft { fill: #585e64; font-size: 12px }
  .name { font-weight: 600 }
  .box { fill: #f3f3ef; stroke: #dcdcd4 }
  .live { fill: #e0eff0; stroke: #0a6670 }
  .arrow { fill: none; stroke: #0a6670; stroke-width: 2; marker-end: url(#head) }
  #head path { fill: #0a6670 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e8ea }
    .soft { fill: #a2a9b0 }
    .box { fill: #1d2125; stroke: #343a40 }
    .live { fill: #16343a; stroke: #62c6cf }
    .arrow { stroke: #62c6cf }
    #head path { fill: #62c6cf }
  }
"""


# ---- tail, archive, overview, context ---------------------------------------------------------


class _Column(NamedTuple):
    name: str
    about: str
    entries: tuple[tuple[str, bool], ...]
    """The boxes from top to bottom, each with whether it is live."""


_COLUMNS = (
    _Column(
        "live tail",
        "every message is one event",
        (("m-1", True), ("m-2", True), ("m-3", True), ("m-4", True)),
    ),
    _Column(
        "archive_001",
        "commit: one event names versions",
        (("m-1", False), ("m-2", False), ("m-3", False)),
    ),
    _Column("overview", "a worker writes it, and retries", (("what they say", False),)),
    _Column(
        "context",
        "what a model is given",
        (("overview", False), ("m-4", True), ("m-5", True)),
    ),
)

_STEP, _BOX, _TOP = 224, (152, 32), 72
_ARROWS = ("commit", "finalise", "context()")


def session_picture() -> str:
    """Draw how messages go from the live tail to what a model is given."""
    width = _STEP * (len(_COLUMNS) - 1) + _BOX[0] + 48
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 268" role="img" '
            'aria-label="Messages go from the live tail into an archive, which gets an overview; '
            'a context is the overview and the live messages.">'
        ),
        f"<style>{_LOOKS}</style>",
        (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
            '<path d="m0 0L8 4L0 8z"/></marker></defs>'
        ),
    ]
    for place, column in enumerate(_COLUMNS):
        left = 24 + place * _STEP
        lines += _column(left, column)
        if place < len(_ARROWS):
            lines += _arrow(left + _BOX[0] + 8, _ARROWS[place])
    lines.append(
        f'<text class="soft" x="{width / 2}" y="252" text-anchor="middle">Nothing is moved or '
        "cleared: every column is a fold of the same events, at any version.</text>"
    )
    return "\n".join([*lines, "</svg>", ""])


def _column(left: int, column: _Column) -> list[str]:
    lines = [
        f'<text class="name" x="{left}" y="28">{column.name}</text>',
        f'<text class="soft" x="{left}" y="48">{column.about}</text>',
    ]
    for place, (text, is_live) in enumerate(column.entries):
        top = _TOP + place * 40
        lines.append(
            f'<rect class="{"live" if is_live else "box"}" x="{left}" y="{top}" '
            f'width="{_BOX[0]}" height="{_BOX[1]}" rx="4"/>'
        )
        lines.append(f'<text x="{left + 12}" y="{top + 21}">{text}</text>')
    return lines


def _arrow(left: int, text: str) -> list[str]:
    y = _TOP + _BOX[1] // 2
    right = left + _STEP - _BOX[0] - 16
    return [
        f'<path class="arrow" d="M {left} {y} H {right}"/>',
        f'<text class="soft" x="{(left + right) / 2}" y="{y - 8}" text-anchor="middle">{text}</text>',
    ]


# ---- the demo ---------------------------------------------------------------------------------

_COLOURS = [(242, 155, 111), (98, 198, 207), (226, 196, 120), (130, 170, 220), (196, 160, 220)]
_INK = (230, 232, 234)
_THEME = TerminalTheme(
    (20, 23, 26),
    _INK,
    [(52, 58, 64), *_COLOURS, (98, 198, 207), _INK],
    [(162, 169, 176), *_COLOURS, (98, 198, 207), (255, 255, 255)],
)

_FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} SCREEN" role="img" \
aria-label="What eventlog demo prints.">
<style>
  .{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px; line-height: {line_height}px }}
  .{unique_id}-matrix text {{ animation: come 0.2s both }}
  .paper {{ animation: roll ROLLs linear DELAYs both }}
  @keyframes come {{ from {{ opacity: 0 }} }}
  @keyframes roll {{ to {{ transform: translateY(-FARpx) }} }}
  @media (prefers-reduced-motion: reduce) {{ * {{ animation: none !important }} }}
  {styles}
</style>
<rect width="{width}" height="SCREEN" rx="8" fill="#14171a"/>
<clipPath id="screen"><rect width="{width}" height="SCREEN" rx="8"/></clipPath>
<g clip-path="url(#screen)"><g class="paper"><g transform="translate(9, 12)">{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g></g></g>
</svg>
"""

_WIDTH = 100
_SCREEN_LINES = 30
_SECONDS_PER_LINE = 0.25
_LINE_HEIGHT = 24.4
_LINE = re.compile(r'clip-path="url\(#demo-line-(\d+)\)"')
_EMPTY = re.compile(r"<text[^>]*>(?:&#160;|\s)*</text>")


def demo_picture() -> str:
    """Run the demo, and draw what it prints: its lines appear one after another, and roll up."""
    terminal: Any = Terminal()
    terminal.is_plain = False
    terminal.console = Console(
        file=StringIO(), record=True, width=_WIDTH, force_terminal=True, color_system="truecolor"
    )
    terminal.console.print("[bold]$ eventlog demo[/bold]")
    with TemporaryDirectory(prefix="eventlog-demo-") as folder:
        scenes = []
        for scene in play(Path(folder)):
            scenes.append(scene)
            demo._show(terminal, scene)
        demo._close(terminal, demo._document(scenes, 1.0, None))
    drawn = terminal.console.export_svg(theme=_THEME, code_format=_FRAME, unique_id="demo")
    lines = 1 + max(int(number) for number in _LINE.findall(drawn))
    hidden = max(0, lines - _SCREEN_LINES + 2)
    for word, value in {
        "SCREEN": _SCREEN_LINES * _LINE_HEIGHT,
        "ROLL": hidden * _SECONDS_PER_LINE,
        "DELAY": (_SCREEN_LINES - 3) * _SECONDS_PER_LINE,
        "FAR": hidden * _LINE_HEIGHT,
    }.items():
        drawn = drawn.replace(word, f"{value:.1f}")
    return _EMPTY.sub("", _LINE.sub(_appearing, drawn))


def _appearing(found: re.Match[str]) -> str:
    return f'style="animation-delay: {int(found[1]) * _SECONDS_PER_LINE:.2f}s"'


def main() -> None:
    SESSION.write_text(session_picture(), "utf-8")
    DEMO.write_text(demo_picture(), "utf-8")


if __name__ == "__main__":
    main()
