"""What follows the completion of an archive: memories, skills and side effects (F5, F8)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from eventlog import (
    AsyncLog,
    AsyncWorker,
    EffectRequest,
    Extraction,
    Finalizer,
    Log,
    Message,
    NonRetryableError,
    Session,
    Skills,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.projections import Tasks
from eventlog.session.tasks.events import OwnerData

ELSEWHERE = OwnerData(host="elsewhere", boot="", pid=1, started="")
LEASE_SECONDS = 300

Summarize = Callable[[SummaryRequest], Awaitable[Summary]]


async def summarize(request: SummaryRequest) -> Summary:
    return Summary(
        overview=f"overview of {request.archive_id}",
        abstract=f"abstract of {request.archive_id}",
        usage={"prompt_tokens": 10, "completion_tokens": 5},
    )


def committed(log: Log, name: str = "s", *texts: str) -> Session:
    """Return a session with one archive to finalise."""
    session = log.session(name, create=True)
    session.extend([Message.user(text) for text in texts or ("hello",)])
    session.commit()
    return session


def run_once(log: Log, summarizer: Any = summarize, **options: Any) -> int:
    options.setdefault("draw", lambda: 1.0)
    return Worker(log, Finalizer(summarizer), **options).run_once()


def test_memories_skills_and_effects_follow_as_tasks_of_their_own(log: Log) -> None:
    """F5, F8, F10."""
    requests: list[EffectRequest] = []

    def notify(request: EffectRequest) -> None:
        requests.append(request)

    async def remember(request: SummaryRequest) -> Extraction:
        return Extraction(
            memories={"preferences": 2, "facts": 1},
            diff={"added": ["tea"]},
            usage={"prompt_tokens": 7},
        )

    def learn(request: SummaryRequest) -> Skills:
        return Skills(uris=("skill://1", "skill://2"), usage={"completion_tokens": 3})

    session = committed(log)
    finalizer = Finalizer(summarize, remember, learn, (notify,))

    assert Worker(log, finalizer).run_once() == 4

    tasks = {task.kind: task for task in log.tasks("s")}
    assert {task.state for task in tasks.values()} == {"completed"}
    assert tasks["memories"].result == {
        "memories_extracted": {"preferences": 2, "facts": 1},
        "memory_diff": {"added": ["tea"]},
    }
    assert tasks["skills"].result == {
        "session_skills_extracted": 2,
        "session_skill_uris": ["skill://1", "skill://2"],
    }
    assert tasks["side_effect:notify"].result == {"active_count_updated": True}
    assert {task.archive_id for task in tasks.values()} == {"archive_001"}
    (request,) = requests
    assert request.overview == "overview of archive_001"
    assert request.idempotency_key == tasks["side_effect:notify"].task_id
    meta = session.refresh()
    assert meta.memories_extracted == {"preferences": 2, "facts": 1, "total": 3}
    assert meta.llm_token_usage["total_tokens"] == 15 + 7 + 3


def test_the_result_of_an_archive_tells_what_its_follow_ups_came_to(log: Log) -> None:
    """F10: so far, and with what all of it cost."""
    broken = [True]

    def remember(request: SummaryRequest) -> Extraction:
        return Extraction(memories={"facts": 2}, usage={"prompt_tokens": 7})

    def learn(request: SummaryRequest) -> Skills:
        if broken[0]:
            raise NonRetryableError("no")
        return Skills(uris=("skill://1",), usage={"completion_tokens": 3})

    def activate(request: EffectRequest) -> None:
        """Count it as active."""

    session = committed(log)
    finalizer = Finalizer(summarize, remember, learn, (activate,))
    Worker(log, finalizer).run_once()
    task_id = session.archives()[0].task_id

    result = log.task(task_id).result
    assert [follow_up["kind"] for follow_up in result.pop("follow_ups")] == list(
        finalizer.follow_ups
    )
    cost = {"prompt_tokens": 17, "completion_tokens": 5, "total_tokens": 22}
    assert result == {
        "session_id": "s",
        "archive_id": "archive_001",
        "archive_uri": "eventlog://s/history/archive_001",
        "abstract": "abstract of archive_001",
        "covers": [1],
        "memories_extracted": {"facts": 2},
        "session_skills_extracted": 0,
        "session_skill_uris": [],
        "active_count_updated": True,
        "token_usage": cost,
        "session_token_usage": cost,
    }

    broken[0] = False
    (failed,) = log.tasks(state="failed")
    session.retry(failed.task_id)
    Worker(log, finalizer).run_once()

    result = log.task(task_id).result
    assert (result["session_skills_extracted"], result["session_skill_uris"]) == (1, ["skill://1"])
    assert result["token_usage"]["total_tokens"] == 25
    assert session.refresh().llm_token_usage["total_tokens"] == 25
    assert [view.result for view in log.project("s", Tasks())] == [
        view.result for view in log.tasks("s")
    ]


def test_an_extractor_that_returns_nothing_has_failed(log: Log) -> None:
    committed(log)

    Worker(log, Finalizer(summarize, lambda request: None)).run_once()  # type: ignore[arg-type,return-value]

    (task,) = log.tasks(kind="memories")
    assert task.error == "UnusableResult: the callable returned NoneType, not Extraction"


def test_a_follow_up_that_fails_for_good_blocks_nothing_and_can_be_run_again(log: Log) -> None:
    """F5, F8: completion is never undone."""
    broken = [True]

    async def remember(request: SummaryRequest) -> Extraction:
        if broken[0]:
            raise NonRetryableError("no memory today")
        return Extraction(memories={"facts": 1})

    session = committed(log)
    finalizer = Finalizer(summarize, remember)
    assert Worker(log, finalizer).run_once() == 1
    (failed,) = log.tasks(kind="memories")
    assert (failed.state, failed.error) == ("terminal_failed", "NonRetryableError: no memory today")
    assert session.context().latest_archive_overview == "overview of archive_001"

    session.append(Message.user("more"))
    assert session.commit().status == "accepted"
    broken[0] = False
    assert log.retry(failed.task_id) == "accepted"
    assert Worker(log, finalizer).run_once() == 3

    assert session.refresh().memories_extracted == {"facts": 2, "total": 2}
    assert {task.state for task in log.tasks("s")} == {"completed"}


def test_follow_ups_wait_for_a_worker_that_can_do_them(log: Log) -> None:
    """L14: another worker, with other callables."""
    committed(log)
    extractor = Finalizer(summarize, memory_extractor=lambda request: Extraction(memories={}))

    queued = log.session("s").queue_task("acme.index")
    assert _only_summary(log, extractor) == 1
    assert run_once(log) == 0
    assert [task.state for task in log.tasks(kind="memories")] == ["pending"]
    assert Worker(log, extractor).run_once() == 1

    assert [task.state for task in log.tasks(kind="memories")] == ["completed"]
    assert log.task(queued).state == "pending"


def _only_summary(log: Log, finalizer: Finalizer) -> int:
    """Run a worker that is stopped when the summary is there."""

    async def main() -> int:
        async def stop(request: SummaryRequest) -> Summary:
            worker.stop(60)
            return await summarize(request)

        stopping = Finalizer(stop, finalizer.memory_extractor)
        worker = AsyncWorker(AsyncLog(log), stopping, concurrency=1)
        return await worker.run_once()

    return asyncio.run(main())


def test_one_extractor_for_each_archive_gets_that_archive(log: Log) -> None:
    seen: list[tuple[str, list[str]]] = []

    async def remember(request: SummaryRequest) -> Extraction:
        seen.append((request.archive_id, [message.text for message in request.messages]))
        return Extraction(memories={})

    session = log.session("s", create=True)
    for number in (1, 2):
        session.append(Message.user(f"m{number}"))
        session.commit()

    Worker(log, Finalizer(summarize, remember)).run_once()

    assert sorted(seen) == [("archive_001", ["m1"]), ("archive_002", ["m2"])]
