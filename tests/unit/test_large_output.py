"""Tool outputs that are too large for their message: kept once, previewed, read back (M6)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

import eventlog
from eventlog import (
    CorruptLog,
    DuplicateEvent,
    Finalizer,
    InvalidArgument,
    InvalidMessage,
    Log,
    Message,
    Session,
    StoreUnavailable,
    Summary,
    SummaryRequest,
    ToolOutputNotFound,
    ToolOutputPolicy,
    ToolPart,
    UnavailableError,
    Worker,
)
from eventlog.projections import LiveTail
from eventlog.session.values import digest_of
from eventlog.store import Blob
from eventlog.stores.memory import MemoryStore
from eventlog.testing.crashing import CrashingStore, Steps

THEN = "2026-01-01T00:00:00Z"
FAILING = Message.user("fail", id="f", created_at=THEN)
LARGE = "".join(f"line {number:>7}\n" for number in range(200_000 // 13 + 1))[:200_000]
DIGEST = digest_of(LARGE.encode())


def result(id: str, output: str = LARGE, **fields: Any) -> Message:
    return Message.tool("call-1", output, id=id, created_at=THEN, **fields)


def called(id: str, *tool_ids: str) -> Message:
    calls = tuple(Message.call("read", {}, tool_id=tool_id) for tool_id in tool_ids)
    return Message.assistant(tools=calls, id=id, created_at=THEN)


def several(id: str, *outputs: str) -> Message:
    parts = [
        ToolPart(type="tool", tool_id=f"t{number}", tool_output=output, tool_status="completed")
        for number, output in enumerate(outputs)
    ]
    return Message.assistant(tools=tuple(parts), id=id, created_at=THEN)


def only_tool(message: Message) -> dict[str, Any]:
    (tool,) = message.tools
    return tool.model_dump(exclude_unset=True)


@pytest.fixture
def session(log: Log) -> Session:
    return log.session("s", create=True)


def stored_outputs(log: Log) -> list[Any]:
    return [
        part["tool_output"]
        for recorded in log.read("s")
        if recorded.type == "message_appended"
        for part in recorded.event.model_dump()["message"]["parts"]
    ]


# ---- what is kept ----------------------------------------------------------------------------


def test_a_large_output_is_stored_once_and_a_preview_stands_in_the_tail(
    log: Log, session: Session
) -> None:
    session.append(result("m1"))

    blob = log.store.get_blob(f"value/s/{DIGEST}")
    assert blob == Blob(LARGE.encode(), 1)
    assert LARGE not in str(stored_outputs(log))
    part = only_tool(session.tail()[0])
    preview = part.pop("tool_output")
    assert part == {
        "type": "tool",
        "tool_id": "call-1",
        "tool_name": "",
        "tool_status": "completed",
        "tool_output_ref": f"eventlog://s/tool-results/tr_call-1_{DIGEST[:16]}",
        "tool_output_truncated": True,
        "tool_output_original_chars": 200_000,
        "tool_output_preview_chars": len(preview),
        "tool_output_sha256": DIGEST,
        "tool_output_externalized_reason": "single_threshold",
    }


def test_a_preview_has_beginning_and_end_and_says_how_to_read_the_rest(session: Session) -> None:
    session.append(result("m1"))

    preview = only_tool(session.tail()[0])["tool_output"]

    beginning, said, end = preview.split("\n\n")
    assert 1_990 <= len(preview) <= 2_000
    assert LARGE.startswith(beginning)
    assert LARGE.endswith(end)
    left_out = 200_000 - len(beginning) - len(end)
    assert said == (
        f"[… {left_out:,} characters of this tool output are left out here; read them with "
        f"tool_output('m1', 'call-1', offset={len(beginning)}) …]"
    )


def test_the_same_output_in_fifty_messages_is_stored_once(log: Log, session: Session) -> None:
    session.extend([result(f"m{number}") for number in range(25)])
    for number in range(25, 50):
        session.append(result(f"m{number}"))

    blob = log.store.get_blob(f"value/s/{DIGEST}")
    assert blob is not None
    assert blob.revision == 1
    assert sum(len(record.data) for record in log.store.read("s")) < 50 * 4_000
    assert {session.tool_output(f"m{number}", "call-1").text for number in range(50)} == {LARGE}


def test_an_output_at_the_limit_stays_in_its_message(session: Session) -> None:
    at_limit, above = "x" * 20_000, "x" * 20_001

    session.extend([result("m1", at_limit), result("m2", above)])

    first, second = session.tail()
    assert only_tool(first)["tool_output"] == at_limit
    assert only_tool(second)["tool_output_original_chars"] == 20_001


def test_the_longest_outputs_of_a_message_go_until_it_is_small_enough(session: Session) -> None:
    """Ten outputs of 11,001 … 11,010 characters: 110,055 in all, 100,000 may stay."""
    outputs = [f"{number}" * (11_001 + number) for number in range(10)]
    session.append(several("m1", *outputs))

    tools = session.tail()[0].tools
    gone = [number for number, tool in enumerate(tools) if tool.tool_output != outputs[number]]
    assert gone == [8, 9]
    reasons = {
        (tools[number].model_extra or {})["tool_output_externalized_reason"] for number in gone
    }
    assert reasons == {"turn_budget"}
    assert sum(len(tool.tool_output or "") for tool in tools) <= 100_000


def test_results_that_arrive_late_count_with_the_others_of_their_message(session: Session) -> None:
    tool_ids = [f"t{number}" for number in range(6)]
    session.append(called("m1", *tool_ids))

    for tool_id in tool_ids:
        session.record_tool_result("m1", tool_id, tool_id * 9_000)

    tools = session.tail()[0].tools
    shortened = [tool.tool_id for tool in tools if (tool.model_extra or {})]
    assert shortened == ["t5"]
    assert session.tool_output("m1", "t5").text == "t5" * 9_000


def test_results_that_arrive_at_once_count_with_each_other_too(log_url: str) -> None:
    """Also with the message that made the calls, before any of them is stored."""
    tool_ids = [f"t{number}" for number in range(8)]

    async def main() -> list[int]:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            await asyncio.gather(
                session.append(called("m1", *tool_ids)),
                *(session.record_tool_result("m1", name, name * 9_000) for name in tool_ids),
            )
            return [len(tool.tool_output or "") for tool in (await session.tail())[0].tools]

    lengths = asyncio.run(main())

    assert [length for length in lengths if length == 18_000] == [18_000] * 5
    assert sum(lengths) <= 100_000


def test_a_late_result_is_kept_like_any_other(log: Log, session: Session) -> None:
    session.append(called("m1", "call-1"))

    session.record_tool_result("m1", "call-1", LARGE, duration_ms=1.5)

    part = only_tool(session.tail()[0])
    assert len(part["tool_output"]) <= 2_000
    assert (part["tool_output_sha256"], part["tool_status"]) == (DIGEST, "completed")
    assert session.tool_output("m1", "call-1").text == LARGE
    assert eventlog.replay(log.read("s"), LiveTail()) == session.tail()


def test_a_later_result_leaves_nothing_of_a_large_one_before_it(session: Session) -> None:
    session.append(called("m1", "call-1"))
    session.record_tool_result("m1", "call-1", LARGE, "running")
    session.record_tool_result("m1", "call-1", "short")

    part = only_tool(session.tail()[0])

    assert part["tool_output"] == "short"
    assert not [name for name in part if name.startswith("tool_output_")]


def test_tokens_are_those_of_what_stands_in_the_tail(log: Log, session: Session) -> None:
    session.append(called("m0", "call-1"))
    session.append(result("m1"))
    session.append(called("m2", "call-1"))
    before = session.meta.pending_tokens
    session.record_tool_result("m2", "call-1", LARGE)

    assert 450 <= before <= 550
    assert 450 <= session.meta.pending_tokens - before <= 550
    assert session.context().estimated_tokens == session.meta.pending_tokens


def test_unknown_fields_of_the_part_and_the_message_stay(session: Session) -> None:
    part = {"type": "tool", "tool_id": "t", "tool_output": LARGE, "acme": {"deep": [1]}}
    session.append({"id": "m1", "role": "tool", "parts": [part], "own": "field"})

    (message,) = session.tail()
    assert (message.model_extra or {})["own"] == "field"
    assert only_tool(message)["acme"] == {"deep": [1]}


def test_a_part_that_another_program_has_shortened_is_left_as_it_is(session: Session) -> None:
    ref = "viking://session/x/tool-results/tr_1"
    part = {
        "type": "tool",
        "tool_id": "t",
        "tool_output": "stub" * 6_000,
        "tool_output_ref": ref,
        "tool_output_truncated": True,
        "tool_output_sha256": "0" * 64,
    }
    session.append({"id": "m1", "role": "tool", "parts": [part]})

    assert only_tool(session.tail()[0]) == part
    assert session.history(hydrate=True) == session.history()
    with pytest.raises(ToolOutputNotFound, match=ref):
        session.tool_output("m1", "t")


def test_a_long_text_is_no_tool_output(session: Session) -> None:
    session.append(Message.user(LARGE, id="m1"))

    assert session.tail()[0].text == LARGE


def test_a_large_output_that_utf8_cannot_hold_is_refused(session: Session) -> None:
    session.append(called("m1", "call-1"))
    version = session.version

    with pytest.raises(InvalidMessage, match="lone surrogate"):
        session.append(result("m2", LARGE + "\ud800"))
    with pytest.raises(InvalidMessage, match="lone surrogate"):
        session.record_tool_result("m1", "call-1", LARGE + "\ud800")
    assert session.version == version


# ---- repeating (P8) --------------------------------------------------------------------------


def test_the_same_message_appended_again_is_the_original_result(session: Session) -> None:
    first = session.append(result("m1"))
    version = session.version

    assert session.append(result("m1")) == first == session.tail()[0]
    assert session.extend([result("m1")]) == (first,)
    assert session.append(first) == first
    assert session.version == version
    with pytest.raises(DuplicateEvent):
        session.append(result("m1", LARGE + "."))
    with pytest.raises(DuplicateEvent):
        session.append(result("m1", "short"))


def test_the_same_late_result_again_is_the_original_one(session: Session) -> None:
    session.append(called("m1", "call-1"))
    session.record_tool_result("m1", "call-1", LARGE)
    version = session.version

    session.record_tool_result("m1", "call-1", LARGE)

    assert session.version == version
    with pytest.raises(DuplicateEvent):
        session.record_tool_result("m1", "call-1", LARGE[:-1])


@pytest.mark.parametrize("late", [False, True], ids=["appended", "recorded late"])
def test_a_connection_cut_at_any_step_leaves_the_whole_output_readable(late: bool) -> None:
    """L4, P8: the output is kept, or stays in its message, and nothing is doubled."""

    def give(session: Session) -> None:
        if late:
            session.record_tool_result("m0", "call-1", LARGE)
        else:
            session.append(result("m1"))

    for step in range(1, 20):
        store = MemoryStore()
        Log(store).session("s", create=True).append(called("m0", "call-1"))
        steps = Steps()
        session = Log(CrashingStore(store, steps)).session("s")
        steps.fail(steps.count + step, "cut")
        with suppress(UnavailableError):
            give(session)
        steps.spare()
        give(session)
        message_id = "m0" if late else "m1"
        assert session.tool_output(message_id, "call-1").text == LARGE
        assert session.version == 3
        if not steps.struck:
            break
    assert step > 3


def test_a_closed_session_still_answers_a_repetition(session: Session) -> None:
    first = session.append(result("m1"))
    session.close()

    assert session.append(result("m1")) == first


# ---- policies --------------------------------------------------------------------------------


def test_the_limits_are_recorded_with_the_session(log: Log, rival: Log) -> None:
    """A policy holds in every process, from the first message on."""
    policy = ToolOutputPolicy(
        inline_characters=1_000, message_characters=1_500, preview_characters=600
    )
    log.session("s", create=True, tool_output=policy).append(result("m1", "x" * 1_001))

    elsewhere = rival.session("s")
    elsewhere.append(result("m2", "y" * 1_001))
    elsewhere.append(result("m3", "z" * 1_000))

    lengths = [len(only_tool(message)["tool_output"]) for message in elsewhere.tail()]
    assert max(lengths[:2]) <= 600
    assert lengths[2] == 1_000


def test_a_policy_of_the_log_is_for_the_sessions_that_it_creates() -> None:
    policy = ToolOutputPolicy(inline_characters=1_000, preview_characters=500)
    with eventlog.open("memory:", tool_output=policy) as log:
        session = log.session("s", create=True)
        session.append(result("m1", "x" * 1_001))
        assert len(only_tool(session.tail()[0])["tool_output"]) <= 500


@pytest.mark.parametrize(
    "wrong",
    [
        {"preview_characters": 499},
        {"inline_characters": 1_999},
        {"message_characters": 1_999},
        {"on_failure": "shrug"},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        ToolOutputPolicy(**wrong)


class FullStore(MemoryStore):
    """A store whose blob area takes no more."""

    def put_blob(self, key: str, data: bytes, expected: Any = "any") -> int:
        raise StoreUnavailable("no room for blobs; make some")


def on_failure(how: Any) -> Session:
    return Log(FullStore()).session("s", create=True, tool_output=ToolOutputPolicy(on_failure=how))


def test_an_output_that_cannot_be_kept_stays_in_its_message() -> None:
    """The default: nothing is lost, and what went wrong is recorded."""
    session = on_failure("keep_raw")

    session.append(result("m1"))
    session.append(called("m2", "call-1"))
    session.record_tool_result("m2", "call-1", LARGE)

    for message in session.tail():
        part = only_tool(message)
        assert part["tool_output"] == LARGE
        assert part["tool_output_externalization_error"] == "no room for blobs; make some"
        assert session.tool_output(message.id, "call-1").text == LARGE
    assert session.meta.pending_tokens > 90_000
    version = session.version
    session.append(result("m1"))
    assert session.version == version


def test_an_output_that_cannot_be_kept_is_refused_where_the_policy_says_so() -> None:
    session = on_failure("reject")

    with pytest.raises(StoreUnavailable):
        session.append(result("m1"))
    with pytest.raises(StoreUnavailable):
        session.extend([Message.user("fine"), result("m1")])
    assert session.version == 0


def test_only_the_preview_is_kept_where_the_policy_says_so() -> None:
    session = on_failure("preview_only")

    session.append(result("m1"))

    part = only_tool(session.tail()[0])
    assert len(part["tool_output"]) <= 2_000
    assert "they could not be stored and are lost" in part["tool_output"]
    assert "tool_output_ref" not in part
    with pytest.raises(ToolOutputNotFound, match="only a preview was kept"):
        session.tool_output("m1", "call-1")
    assert session.append(result("m1")) == session.tail()[0]
    assert session.history(hydrate=True) == session.history()


# ---- reading back ----------------------------------------------------------------------------


def test_an_output_is_read_piece_by_piece(session: Session) -> None:
    session.append(result("m1"))

    pieces: list[str] = []
    offset = 0
    while True:
        piece = session.tool_output("m1", "call-1", offset=offset, limit=30_000)
        assert (piece.offset, piece.total_characters) == (offset, 200_000)
        pieces.append(piece.text)
        if piece.next_offset is None:
            break
        offset = piece.next_offset

    assert "".join(pieces) == LARGE
    assert len(pieces) == 7


def test_offsets_count_characters_not_bytes(session: Session) -> None:
    session.append(result("m1", "\u4f1a\U0001f680" * 20_000))

    piece = session.tool_output("m1", "call-1", offset=20_001, limit=2)

    assert piece == ("\U0001f680\u4f1a", 20_001, 40_000)


def test_reading_beyond_the_end_gives_nothing(session: Session) -> None:
    session.append(result("m1", "short"))

    assert session.tool_output("m1", "call-1", offset=9).text == ""
    assert session.tool_output("m1", "call-1", offset=9).next_offset is None
    assert session.tool_output("m1", "call-1", limit=0).next_offset == 0


def test_an_output_is_searched_to_the_letter(session: Session) -> None:
    session.append(result("m1"))

    found = session.search_tool_output("m1", "call-1", "line    777", limit=2, context=5)

    assert [LARGE[match.offset :][:12] for match in found] == ["line    7770", "line    7771"]
    assert found[0].context == LARGE[found[0].offset - 5 : found[0].offset + 11 + 5]
    assert found[0].context_offset == found[0].offset - 5
    assert session.search_tool_output("m1", "call-1", "LINE") == ()


def test_matches_do_not_overlap(session: Session) -> None:
    session.append(result("m1", "aaaaa"))

    found = session.search_tool_output("m1", "call-1", "aa", context=0)

    assert found == ((0, "aa", 0), (2, "aa", 2))


@pytest.mark.parametrize(
    ("message_id", "tool_id", "reason"),
    [
        ("m9", "call-1", "there is no such message"),
        ("m1", "call-9", r"the message has outputs of \['call-1'\]"),
        ("m2", "call-1", r"the message has outputs of \[\]"),
    ],
)
def test_an_output_that_is_not_there_is_not_found(
    session: Session, message_id: str, tool_id: str, reason: str
) -> None:
    session.extend([result("m1", "short"), called("m2", "call-1")])

    with pytest.raises(ToolOutputNotFound, match=reason):
        session.tool_output(message_id, tool_id)


@pytest.mark.parametrize("wrong", [{"offset": -1}, {"limit": -1}])
def test_negative_places_are_refused(session: Session, wrong: dict[str, int]) -> None:
    session.append(result("m1", "short"))

    with pytest.raises(InvalidArgument):
        session.tool_output("m1", "call-1", **wrong)
    with pytest.raises(InvalidArgument):
        session.search_tool_output("m1", "call-1", "")


def test_a_damaged_output_is_reported_and_never_given_back(log: Log, session: Session) -> None:
    session.append(result("m1"))
    log.store.put_blob(f"value/s/{DIGEST}", LARGE[:-1].encode())

    for read in (
        lambda: session.tool_output("m1", "call-1"),
        lambda: session.search_tool_output("m1", "call-1", "line"),
        lambda: session.history(hydrate=True),
    ):
        with pytest.raises(CorruptLog, match=f"session 's': the value {DIGEST} is damaged"):
            read()
    assert len(session.history()) == 1


# ---- hydrating -------------------------------------------------------------------------------


def summarised(log: Log) -> list[SummaryRequest]:
    """Have a worker finalise what is due; return what the summariser was handed."""
    requests: list[SummaryRequest] = []

    def summarize(request: SummaryRequest) -> Summary:
        requests.append(request)
        if (
            len(requests) == 1
            and request.archive_id == "archive_001"
            and FAILING in request.messages
        ):
            raise eventlog.NonRetryableError("too much")
        return Summary(overview="o", abstract="a")

    Worker(log, Finalizer(summarizer=summarize)).run_once()
    return requests


def test_the_summariser_is_handed_whole_outputs_and_the_log_keeps_previews(
    log: Log, session: Session
) -> None:
    """F6: in a copy."""
    session.extend([result("m1"), result("m2")])
    session.append(called("m3", "call-1"))
    session.record_tool_result("m3", "call-1", LARGE)
    stub = session.tail()[0]
    session.commit()

    (request,) = summarised(log)

    assert [only_tool(message)["tool_output"] for message in request.messages] == [LARGE] * 3
    assert request.messages[0] == result("m1")
    assert session.archive("archive_001").messages[0] == stub
    assert session.archive("archive_001", hydrate=True).messages[0] == result("m1")


def test_uncovered_messages_are_handed_over_with_their_previews(log: Log, session: Session) -> None:
    """F6: of a failed archive, so that one cannot make all later ones too long."""
    policy = log.session("skipping", create=True, failed_archives="skip")
    policy.extend([FAILING, result("m1")])
    policy.commit()
    summarised(log)
    policy.append(result("m2"))
    policy.commit()

    (request,) = summarised(log)

    assert len(only_tool(request.uncovered[1])["tool_output"]) <= 2_000
    assert only_tool(request.messages[0])["tool_output"] == LARGE


def test_an_archive_with_a_damaged_output_is_summarised_from_its_preview(
    log: Log, session: Session
) -> None:
    stub = session.append(result("m1"))
    session.commit()
    log.store.put_blob(f"value/s/{DIGEST}", b"")

    (request,) = summarised(log)

    assert request.messages == (stub,)


def test_history_gives_back_what_was_appended(session: Session) -> None:
    session.append(result("m1"))
    session.commit()

    assert session.history(hydrate=True) == (result("m1"),)
    assert len(only_tool(session.history()[0])["tool_output"]) <= 2_000


def test_the_asynchronous_face_keeps_and_reads_large_outputs(log_url: str) -> None:
    async def main() -> dict[str, Any]:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            first = await session.append(result("m1"))
            await session.extend([result("m2")])
            await session.append(called("m3", "call-1"))
            await session.record_tool_result("m3", "call-1", LARGE)
            (found,) = await session.search_tool_output("m3", "call-1", "line     777\n")
            return {
                "same": first == (await session.tail())[0],
                "read": (await session.tool_output("m2", "call-1", offset=7, limit=5)).text,
                "found": LARGE[found.offset :][:12],
                "whole": (await session.history(hydrate=True))[0] == result("m1"),
            }

    assert asyncio.run(main()) == {
        "same": True,
        "read": LARGE[7:12],
        "found": "line     777",
        "whole": True,
    }
