"""The default summariser: extractive, deterministic, bounded (F6, F7)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.session.messages import Message, ToolPart, as_message
from eventlog.summary.summarizer import ABSTRACT_CHARACTERS, OVERVIEW_CHARACTERS, Section, summarize
from eventlog.worker.requests import Summary, SummaryRequest

HEADINGS = [section.heading for section in Section]


def summary(*messages: Message, previous: str = "", **fields: Any) -> Summary:
    request = SummaryRequest(
        session_id="s-1", archive_id="archive_001", messages=messages, previous_overview=previous
    )
    return summarize(replace(request, **fields))


def entries(overview: str, heading: str) -> list[str]:
    """Return the entries of a section, without its sub-headings."""
    _, _, rest = overview.partition(f"\n## {heading}\n")
    body = rest.partition("\n## ")[0]
    return [line[2:] for line in body.split("\n") if line.startswith("- ")]


def calling(name: str, tool_id: str = "c1", **fields: Any) -> Message:
    return Message.assistant(tools=(Message.call(name, fields, tool_id=tool_id),))


TRIP = (
    Message.system("You are a travel agent."),
    Message.user("Hi there! I'd like to book a flight from Oslo to Rome on May 20th."),
    Message.assistant("Could you please give me your user ID?"),
    Message.user("Sure, it is anna_berg_12."),
    calling("get_user", user="anna_berg_12"),
    Message.tool("c1", '{"user": "anna_berg_12", "level": "gold"}', name="get_user"),
    Message.assistant("Flight RX204 costs $255. Would you like to proceed?"),
    Message.user("Yes, please go ahead."),
    calling("book", "c2", flight="RX204", user="anna_berg_12"),
    Message.tool("c2", '{"flight": "RX204", "reservation": "QK7W2P"}', name="book"),
    Message.assistant("Your flight RX204 is booked under QK7W2P. Anything else?"),
    Message.user("No, that's all. Thanks!"),
)

# ---- laws -------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(max_size=200),
    st.sampled_from(
        ["", "\n", "Yes", "no, that's wrong", "Shall I proceed?", "thanks", "# a\n- b", "{", "[]"]
    ),
)
JSON_OBJECTS = st.dictionaries(
    st.text(max_size=8), st.none() | st.integers() | TEXTS | st.lists(TEXTS, max_size=2), max_size=3
)
TOOL_PARTS = st.builds(
    ToolPart,
    type=st.just("tool"),
    tool_id=st.sampled_from(["", "c1", "c2"]),
    tool_name=st.text(max_size=8),
    tool_status=st.sampled_from(["pending", "running", "completed", "error"]),
    tool_input=st.none() | JSON_OBJECTS,
    tool_output=st.none() | TEXTS,
)
PARTS = st.one_of(
    TEXTS.map(lambda text: {"type": "text", "text": text}),
    TOOL_PARTS.map(lambda part: part.model_dump(exclude_unset=True)),
    st.builds(lambda uri, about: {"type": "context", "uri": uri, "abstract": about}, TEXTS, TEXTS),
    JSON_OBJECTS.map(lambda image: {"type": "image_url", "image_url": image}),
    JSON_OBJECTS.map(lambda fields: {**fields, "type": "unheard_of"}),
)
MESSAGES = st.builds(
    lambda role, parts: as_message({"role": role, "parts": parts}),
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.lists(PARTS, max_size=3),
)
CONVERSATIONS = st.lists(MESSAGES, max_size=8).map(tuple)


@given(CONVERSATIONS, CONVERSATIONS, TEXTS)
def test_every_archive_gets_a_bounded_summary_of_the_same_form(
    messages: tuple[Message, ...], uncovered: tuple[Message, ...], previous: str
) -> None:
    found = summary(*messages, uncovered=uncovered, previous=previous)
    assert found.overview.startswith("# ")
    assert f"## {HEADINGS[0]}" in found.overview
    assert len(found.overview) <= OVERVIEW_CHARACTERS
    assert 0 < len(found.abstract) <= ABSTRACT_CHARACTERS
    assert len(found.abstract.splitlines()) == 1
    assert found.usage == {}


@given(CONVERSATIONS)
def test_the_same_messages_give_the_same_summary(messages: tuple[Message, ...]) -> None:
    again = tuple(as_message(message.model_dump(exclude_unset=True)) for message in messages)
    assert summary(*messages) == summary(*again)


@given(CONVERSATIONS)
def test_no_message_can_forge_a_heading(messages: tuple[Message, ...]) -> None:
    lines = re.split(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", summary(*messages).overview)
    assert [line for line in lines if line.startswith("# ")] == lines[:1]
    found = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert found == [heading for heading in HEADINGS if heading in found]


@given(CONVERSATIONS)
def test_what_was_said_is_carried_on_unchanged(messages: tuple[Message, ...]) -> None:
    before = summary(*messages).overview
    after = summary(previous=before).overview
    for heading in HEADINGS[1:5]:
        assert entries(after, heading) == entries(before, heading)


@given(CONVERSATIONS, CONVERSATIONS)
def test_what_was_carried_before_is_carried_on_unchanged(
    first: tuple[Message, ...], then: tuple[Message, ...]
) -> None:
    once = summary(previous=summary(*then, previous=summary(*first).overview).overview).overview
    twice = summary(previous=once).overview
    for heading in HEADINGS[1:5]:
        assert entries(twice, heading) == entries(once, heading)


HUGE = [
    "a" * 200_000,
    "word, word. " * 17_000,
    '["x",' * 40_000,
    '{"a":' * 40_000,
    "?" * 200_000,
    "/" * 200_000,
    "a.b." * 50_000,
    "1,000" * 40_000,
    "\n-" * 100_000,
    "\u597d" * 200_000,
    "\u0301" * 200_000,
    "\x00" * 200_000,
    "no, " * 50_000,
    "- x\n## Key facts\n" * 10_000,
]


@pytest.mark.parametrize("text", HUGE, ids=range(len(HUGE)))
def test_huge_texts_are_summarised_within_the_bounds(text: str) -> None:
    messages = (
        Message.system(text),
        Message.user(text),
        Message.assistant(text, tools=(Message.call("run", {text[:9]: text, "path": text}),)),
        Message.tool("other", text),
    )
    assert len(summary(*messages, previous=text).overview) <= OVERVIEW_CHARACTERS


def test_numbers_too_long_to_write_are_left_out() -> None:
    assert "n=…" in summary(calling("f", n=10**5_000), Message.tool("c1", "1")).overview


# ---- what a reader finds ----------------------------------------------------------------------


def test_an_overview_reads_as_a_report_of_the_session() -> None:
    assert summary(*TRIP).overview == (
        "# I'd like to book a flight from Oslo to Rome on May 20th\n"
        "\n"
        "## Current state\n"
        "\n"
        "- archive_001: 12 messages (1 system, 4 user, 5 assistant, 2 tool), 2 tool calls.\n"
        "- **Stands at:** the user said goodbye.\n"
        "- **Last from the user:** “No, that's all. Thanks!”\n"
        "- **Last from the assistant:** "
        "“Your flight RX204 is booked under QK7W2P. Anything else?”\n"
        "- **Tools used:** `get_user` \u00d71, `book` \u00d71\n"
        "\n"
        "## Task and goals\n"
        "\n"
        "- “Hi there! I'd like to book a flight from Oslo to Rome on May 20th.”\n"
        "\n"
        "## Key facts and decisions\n"
        "\n"
        "- **User said:** “Sure, it is anna_berg_12.”\n"
        "- **Confirmed:** “Yes, please go ahead.” in reply to "
        "“Flight RX204 costs $255. Would you like to proceed?”\n"
        "- **Looked up:** `get_user`(user=anna_berg_12) → level=gold\n"
        "- **Done:** `book`(flight=RX204, user=anna_berg_12) → reservation=QK7W2P\n"
        "- **Assistant:** “Flight RX204 costs $255.”\n"
        "- **Assistant:** “Your flight RX204 is booked under QK7W2P.”\n"
        "- **Names and numbers:** anna_berg_12, RX204, $255, QK7W2P\n"
        "\n"
        "## Files and context\n"
        "\n"
        "- System prompt of 23 characters: “You are a travel agent.”\n"
    )


def test_the_abstract_says_what_was_asked_and_what_came_of_it() -> None:
    assert summary(*TRIP).abstract == (
        "I'd like to book a flight from Oslo to Rome on May 20th → "
        "Your flight RX204 is booked under QK7W2P."
    )


def test_a_greeting_is_no_title() -> None:
    found = summary(Message.user("Hello!"), Message.user("hey, my invoice is missing."))
    assert found.overview.startswith("# My invoice is missing\n")


@pytest.mark.parametrize(
    ("messages", "title"),
    [
        ((), "Session s-1"),
        ((Message.user(""),), "Session s-1"),
        ((Message.assistant("The nightly report is ready."),), "The nightly report is ready."),
        ((calling("rotate"), calling("sweep", "c2")), "Calls of rotate, sweep"),
    ],
)
def test_a_session_without_a_request_has_a_title(messages: tuple[Message, ...], title: str) -> None:
    assert summary(*messages).overview.startswith(f"# {title}\n")


def test_a_long_quote_is_shortened_after_a_word() -> None:
    (goal,) = entries(summary(Message.user("Please sort the list. " * 40)).overview, HEADINGS[1])
    assert goal.startswith("“Please sort the list. Please sort")
    assert re.search(r" (Please|sort|the|list\.)…”$", goal)


def test_a_refusal_is_a_decision() -> None:
    found = summary(
        Message.assistant("Shall I delete the branch?"), Message.user("No, keep it for now.")
    )
    assert entries(found.overview, HEADINGS[2]) == [
        "**Declined:** “No, keep it for now.” in reply to “Shall I delete the branch?”"
    ]


def test_a_correction_is_told_with_what_it_corrects() -> None:
    found = summary(
        Message.assistant("It is here."),
        Message.user("That's wrong, it is in the lexer."),
    )
    assert entries(found.overview, HEADINGS[4]) == [
        "**Corrected by the user:** “That's wrong, it is in the lexer.”, in reply to “It is here.”"
    ]


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ("no such table", "error"),
        ("Error: no such table", "completed"),
        ("sqlite3.OperationalError: no such table", "completed"),
        ('{"error": "no such table"}', "completed"),
        ('{"success": false, "why": "no such table"}', "completed"),
        ('{"status": "failed", "why": "no such table"}', "completed"),
    ],
)
def test_a_failed_call_is_an_error_and_no_fact(output: str, status: Any) -> None:
    found = summary(calling("query", sql="select 1"), Message.tool("c1", output, status=status))
    (error,) = entries(found.overview, HEADINGS[4])
    assert error.startswith("**Failed:** `query`(sql=select 1) → ")
    assert error.endswith("no such table")
    assert not entries(found.overview, HEADINGS[2])


@pytest.mark.parametrize("output", ["", "errors: 0", '{"error": null, "rows": 1}', '{"rows": ['])
def test_a_call_that_did_not_fail_is_a_fact(output: str) -> None:
    found = summary(calling("run"), Message.tool("c1", output))
    assert len(entries(found.overview, HEADINGS[2])) == 1


def test_a_failure_that_a_later_call_mended_says_so() -> None:
    found = summary(
        calling("push"),
        Message.tool("c1", "Error: rejected"),
        calling("push", "c2"),
        Message.tool("c2", "ok"),
    )
    (error,) = entries(found.overview, HEADINGS[4])
    assert error.endswith("rejected; a later call succeeded")


def test_a_result_in_the_part_of_its_call_counts_like_a_message() -> None:
    part = ToolPart(
        type="tool", tool_id="c1", tool_name="run", tool_status="completed", tool_output="3 passed"
    )
    assert entries(summary(Message.assistant(tools=(part,))).overview, HEADINGS[2]) == [
        "**Done:** `run` → 3 passed"
    ]


def test_results_of_an_id_that_is_used_again_stay_with_their_calls() -> None:
    found = summary(
        calling("first", "c"),
        Message.tool("c", "1"),
        calling("second", "c"),
        Message.tool("c", "2"),
    )
    assert entries(found.overview, HEADINGS[2]) == [
        "**Done:** `first`() → 1",
        "**Done:** `second`() → 2",
    ]


def test_of_a_long_output_both_ends_are_shown() -> None:
    output = "collecting\n" + "noise " * 400 + "\n3 failed, 9 passed"
    (fact,) = entries(summary(calling("test"), Message.tool("c1", output)).overview, HEADINGS[2])
    assert "collecting noise" in fact
    assert fact.endswith("3 failed, 9 passed")


SEEN = "See src/app.py:12, (https://example.com/a), /etc/hosts and/or 24/7."


def test_files_links_and_contexts_are_listed() -> None:
    found = summary(
        as_message(
            {
                "role": "user",
                "parts": [
                    {"type": "text", "text": SEEN},
                    {"type": "context", "uri": "memory://x", "abstract": "likes tea"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/b.png"}},
                    {"type": "audio"},
                ],
            }
        ),
        calling("read", path="docs/guide.md"),
    )
    assert entries(found.overview, HEADINGS[3]) == [
        "`memory://x` (memory): likes tea",
        "Image `https://example.com/b.png`",
        "A part of type `audio`",
        "`src/app.py`",
        "`https://example.com/a`",
        "`/etc/hosts`",
        "`docs/guide.md`",
    ]


def test_what_awaits_a_result_or_an_answer_is_open() -> None:
    found = summary(Message.user("Deploy the service, please."), calling("deploy", stage="prod"))
    assert entries(found.overview, HEADINGS[5]) == [
        "**Without result:** `deploy`(stage=prod) [c1]",
        "**Unanswered:** “Deploy the service, please.”",
    ]
    assert "**Stands at:** 1 tool call without result." in found.overview


def test_the_last_question_of_the_assistant_is_open() -> None:
    found = summary(Message.user("Deploy it."), Message.assistant("Sure. To which stage?"))
    assert entries(found.overview, HEADINGS[5]) == ["**Asked of the user:** “To which stage?”"]


def test_an_interrupted_message_is_told() -> None:
    found = summary(Message.assistant("I was about to", interrupted=True))
    assert entries(found.overview, HEADINGS[4]) == ["**Interrupted:** “I was about to”"]


def test_a_language_without_spaces_is_understood() -> None:
    found = summary(
        Message.user("你好。我想预订五月二十日从纽约到西雅图的机票。"),
        Message.assistant("航班HAT136的总价为255美元。是否确认预订\uff1f"),
        Message.user("是的。继续吧。"),
        Message.assistant("您的机票已经成功预订。编号为HATHAT1。"),
    )
    assert found.abstract == ("我想预订五月二十日从纽约到西雅图的机票 → 您的机票已经成功预订。")
    assert "**Confirmed:** “是的。继续吧。” in reply to" in found.overview


# ---- carried forward --------------------------------------------------------------------------


def test_what_earlier_overviews_said_is_set_apart_from_what_is_new() -> None:
    before = summary(*TRIP).overview
    found = summary(Message.user("Please also book a hotel in Rome."), previous=before)
    assert found.overview.startswith("# I'd like to book a flight")
    assert (
        "## Task and goals\n\n### Carried forward\n\n"
        "- “Hi there! I'd like to book a flight from Oslo to Rome on May 20th.”\n\n"
        "### New\n\n- “Please also book a hotel in Rome.”\n"
    ) in found.overview
    assert entries(found.overview, HEADINGS[2]) == entries(before, HEADINGS[2])
    assert "goodbye" not in found.overview


def test_what_was_open_is_dropped_once_it_is_settled() -> None:
    before = summary(calling("deploy"), calling("test", "c2"), Message.user("Is it done?")).overview
    found = summary(Message.tool("c1", "ok"), Message.assistant("Yes."), previous=before)
    assert entries(found.overview, HEADINGS[5]) == ["**Without result:** `test`() [c2]"]


def test_a_fact_that_comes_up_again_is_not_doubled() -> None:
    messages = (Message.user("Use src/app.py and job_17, please."),)
    found = summary(*messages, previous=summary(*messages).overview).overview
    assert found.count("`src/app.py`") == 1
    assert entries(found, HEADINGS[1]) == ["“Use src/app.py and job_17, please.”"]
    assert entries(found, HEADINGS[2]) == ["**Names and numbers:** job_17"]


def test_a_title_that_only_named_the_session_makes_way() -> None:
    before = summary(Message.user("")).overview
    found = summary(Message.user("Rename the package."), previous=before)
    assert found.overview.startswith("# Rename the package\n")


def test_hundreds_of_commits_keep_the_first_request_and_the_latest_facts() -> None:
    previous = ""
    for number in range(300):
        previous = summary(
            Message.user(f"Please do job {number} with the key key_{number}."),
            Message.assistant(f"Shall I proceed with job {number} in src/job_{number}.py?"),
            Message.user("Yes, go ahead."),
            calling("run", f"c{number}", job=number),
            Message.tool(f"c{number}", f"done {number}", name="run"),
            previous=previous,
        ).overview
        assert len(previous) <= OVERVIEW_CHARACTERS
    goals, facts = (entries(previous, heading) for heading in HEADINGS[1:3])
    assert goals[0] == "“Please do job 0 with the key key_0.”"
    assert goals[-1] == "“Please do job 299 with the key key_299.”"
    assert "**Done:** `run`(job=298) → done 298" in facts
    counted = sum(int(found) for found in re.findall(r"… (\d+) more, left out", "\n".join(goals)))
    assert counted + len(goals) - 1 == 300


def test_an_overview_of_another_form_is_carried_on() -> None:
    previous = (
        "# Migration of the shop\n_Moving to PostgreSQL_\n\n# Decisions\n1. Use one schema\n"
        "   per tenant\n* No triggers\n\n## Errors\nThe dump was torn.\n\n### Odd\n\nplain words\n"
    )
    found = summary(Message.user("Go on with the migration."), previous=previous).overview
    assert found.startswith("# Migration of the shop\n")
    assert entries(found, HEADINGS[2]) == [
        "_Moving to PostgreSQL_",
        "Use one schema per tenant",
        "No triggers",
    ]
    assert entries(found, HEADINGS[4]) == ["The dump was torn.", "plain words"]


def test_messages_of_earlier_archives_are_covered_and_counted() -> None:
    found = summary(*TRIP[6:], uncovered=TRIP[:6])
    assert "6 of these are of earlier archives without an overview." in found.overview
    assert "“Sure, it is anna_berg_12.”" in found.overview
    alone = summary(*TRIP[6:], uncovered=TRIP[:1]).overview
    assert "1 of these is of an earlier archive without an overview." in alone


def test_a_digest_among_them_is_carried_like_an_overview() -> None:
    digest = f"Digest of archive_001, which failed:\n{summary(*TRIP).overview}"
    found = summary(Message.user("Go on."), uncovered=(Message.system(digest),)).overview
    assert found.startswith("# I'd like to book a flight")
    assert entries(found, HEADINGS[2]) == entries(summary(*TRIP).overview, HEADINGS[2])
    assert "Digest of" not in found
    assert "1 message (1 user)" in found
