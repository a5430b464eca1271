"""Reading the parts of messages, in every shape that providers and frameworks give them.

Only this package looks at the type of a part. A part is read (`read_part`) as text, the call of a
tool, the result of one, or media; a part of an unknown type is read as its JSON. So everything that
reaches a model is weighed, shown and paired, whether or not its type is known here.
"""

from eventlog.session.parts.contents import media_url
from eventlog.session.parts.pairs import (
    LoneResult,
    OpenCall,
    Pairs,
    lone_results,
    pair_up,
    unanswered,
    without_orphans,
)
from eventlog.session.parts.reading import Call, Media, Reading, Result
from eventlog.session.parts.shapes import (
    THINKING,
    answerable,
    begins_round,
    calls_with_id,
    is_only_text,
    is_plain,
    is_text,
    output_text,
    read_part,
    readings_of,
    said_in,
    tool_parts,
    with_fields,
)
from eventlog.session.parts.stored_output import (
    PLACE_FIELDS,
    Output,
    output_of,
    with_original,
    with_preview,
)
from eventlog.session.parts.weight import estimate_media, media_in, message_text, weigh
from eventlog.session.parts.written import with_expected_fields

__all__ = [
    "PLACE_FIELDS",
    "THINKING",
    "Call",
    "LoneResult",
    "Media",
    "OpenCall",
    "Output",
    "Pairs",
    "Reading",
    "Result",
    "answerable",
    "begins_round",
    "calls_with_id",
    "estimate_media",
    "is_only_text",
    "is_plain",
    "is_text",
    "lone_results",
    "media_in",
    "media_url",
    "message_text",
    "output_of",
    "output_text",
    "pair_up",
    "read_part",
    "readings_of",
    "said_in",
    "tool_parts",
    "unanswered",
    "weigh",
    "with_expected_fields",
    "with_fields",
    "with_original",
    "with_preview",
    "without_orphans",
]
