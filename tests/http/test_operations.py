"""What each operation answers, with true statuses, one envelope and versions as ETags (R9)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from eventlog import Finalizer, Message, Summary
from eventlog.http.application import ROUTES
from tests.http.api import Api

TEXT = [{"type": "text", "text": "hi"}]


def code(answer: Any) -> tuple[int, str]:
    """Return the status and the code of a refusal."""
    document = answer.json()
    assert document["status"] == "error"
    assert set(document["error"]) == {"code", "message", "details"}
    return answer.status_code, document["error"]["code"]


# ---- sessions ---------------------------------------------------------------------------------


def test_a_session_is_created_once(api: Api) -> None:
    body = {"session_id": "s", "project": "p", "workspace": "w", "provider": "claude", "model": "m"}
    created = api("POST", "sessions", json=body)

    assert created.status_code == 201
    assert created.headers["etag"] == '"1"'
    assert created.headers["location"] == "/api/v1/sessions/s"
    meta = created.json()["meta"]
    assert (meta["owner"], meta["project"], meta["model"]) == ("ada", "p", "m")
    assert [entry.type for entry in api.log.read("s")] == ["session_created"]
    assert next(api.log.read("s")).metadata.actor == "ada@home"
    assert code(api("POST", "sessions", json=body)) == (409, "session_exists")


def test_a_session_without_an_id_gets_one(api: Api) -> None:
    first, second = (api("POST", "sessions").json()["session_id"] for _ in range(2))
    assert first != second
    assert {first, second} == {*api.log.sessions()}


def test_a_repeated_creation_gets_the_first_answer(api: Api) -> None:
    def create(**body: str) -> Any:
        return api(
            "POST", "sessions", json={"session_id": "s", **body}, headers={"Idempotency-Key": '"k"'}
        )

    assert [create(project="p").status_code for _ in range(2)] == [201, 201]
    assert code(create(project="other")) == (422, "duplicate_key")
    assert api.log.session("s").version == 1


def test_a_closed_session_is_taken_and_gone(api: Api) -> None:
    api.append("s", "hi")
    assert api("DELETE", "sessions/s?reason=done").status_code == 204
    assert api("GET", "sessions/s").json()["meta"]["status"] == "closed"
    for path, body in (("messages", {"role": "user", "parts": TEXT}), ("commit", {}), ("used", {})):
        refused = api("POST", f"sessions/s/{path}", json=body)
        assert code(refused) == (410, "session_closed"), path
    assert code(api("POST", "sessions", json={"session_id": "s"})) == (409, "session_exists")


def test_a_session_is_created_on_reading_only_where_the_principal_may_write(api: Api) -> None:
    assert code(api("GET", "sessions/s")) == (404, "session_not_found")
    missing = api("GET", "sessions/s?auto_create=true", who="reader")
    assert code(missing) == (404, "session_not_found")
    assert [*api.log.sessions()] == []

    created = api("GET", "sessions/s?auto_create=true")
    assert (created.status_code, created.headers["etag"]) == (200, '"1"')
    assert api("GET", "sessions/s?auto_create=false").json()["version"] == 1


def test_sessions_are_listed_page_by_page(api: Api) -> None:
    for number in range(5):
        api.append(f"s{number}", "hi")
        api.clock.advance(1)
    pages = []
    query = "limit=2"
    while True:
        page = api("GET", f"sessions?{query}").json()
        pages.append([entry["session_id"] for entry in page["sessions"]])
        if page["next"] is None:
            break
        query = f"limit=2&after={page['next']}"
    assert pages == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    newest = api("GET", "sessions?newest_first=true&limit=1").json()["sessions"]
    assert newest == [{"session_id": "s4"}]
    assert api("GET", "sessions?workspace=w").json()["sessions"] == []
    assert code(api("GET", "sessions?updated_after=yesterday"))[0] == 422


# ---- messages ---------------------------------------------------------------------------------


def test_a_message_creates_its_session_and_is_stored_once(api: Api) -> None:
    body = {"id": "m/1 ü", "role": "user", "parts": TEXT, "mood": "curious"}
    answers = [api("POST", "sessions/s/messages", json=body) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["etag"] == '"2"'
    (stored,) = api.log.session("s").tail()
    assert stored == Message.model_validate(answers[0].json()["message"])
    assert answers[0].json()["message"]["mood"] == "curious"

    other = api("POST", "sessions/s/messages", json={**body, "role": "assistant"})
    assert code(other) == (409, "duplicate_event")


def test_an_idempotency_key_stands_for_an_id(api: Api) -> None:
    """Quoted, as the draft has it, or bare."""
    sent = {"role": "user", "content": "hi"}
    keys = ['"k"', "k"]
    ids = {
        api(
            "POST", "sessions/s/messages", json=sent, headers={"Idempotency-Key": key}
        ).json()["message"]["id"]
        for key in keys
    }  # fmt: skip
    assert len(ids) == 1
    other = api(
        "POST",
        "sessions/s/messages",
        json={**sent, "content": "ho"},
        headers={"Idempotency-Key": "k"},
    )
    assert code(other) == (422, "duplicate_key")


@pytest.mark.parametrize("key", ['"', '"a', "a b", "", "x" * 256, '"a"b"', '""'])
def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    answer = api("POST", "sessions", headers={"Idempotency-Key": key})
    assert code(answer) == (422, "invalid_argument")


def test_a_batch_is_stored_whole_or_not_at_all(api: Api) -> None:
    good, bad = {"role": "user", "content": "a"}, {"role": "user", "parts": [{"type": "text"}]}
    refused = api("POST", "sessions/s/messages/batch", json={"messages": [good, bad]})
    assert code(refused) == (422, "invalid_message")
    assert refused.json()["error"]["details"] == {
        "reason": "Field required",
        "field": "parts.0.text.text",
        "line": None,
        "index": 1,
    }
    assert [*api.log.sessions()] == []

    stored = api("POST", "sessions/s/messages/batch", json={"messages": [good, good]})
    assert stored.status_code == 201
    assert len(stored.json()["messages"]) == 2
    for count in (0, 101):
        answer = api("POST", "sessions/s/messages/batch", json={"messages": [good] * count})
        assert code(answer) == (422, "invalid_argument")


def test_nothing_is_converted(api: Api) -> None:
    """A number in place of a text, or the other way round, is a mistake of the sender."""
    wrong: list[tuple[str, Any]] = [
        ("sessions", {"session_id": 7}),
        ("sessions", {"owner": "eve"}),
        ("sessions/s/messages", {"role": "user", "parts": [{"type": "text", "text": 7}]}),
        ("sessions/s/messages", {"role": "nobody", "parts": TEXT}),
        ("sessions/s/messages", {"role": "user"}),
        ("sessions/s/messages", [1]),
        ("sessions/s/commit", {"keep_recent_count": False}),
        ("sessions/s/commit", {"keep_recent_count": "1"}),
        ("sessions/s/commit", {"keep_recent": 1}),
        ("sessions/s/used", {"contexts": "memory://1"}),
        ("sessions/s/messages/m/results", {"tool_id": "t", "output": None}),
    ]
    api.append("s", "hi")
    before = api.log.session("s").version
    for path, body in wrong:
        assert api("POST", path, json=body).status_code == 422, (path, body)
    assert api.log.session("s").refresh()
    assert api.log.session("s").version == before


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"role": NaN}', b'{"a":' * 5_000, b"", b"7"])
def test_what_is_no_json_object_is_refused(api: Api, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = api("POST", "sessions/s/messages", content=content, headers=headers)
    assert answer.status_code == 422
    assert [*api.log.sessions()] == []


@pytest.mark.parametrize("query", ["last=1.0", "last=%2B1", "last=a", "last=1&last=2", "first=1"])
def test_a_query_is_read_strictly(api: Api, query: str) -> None:
    api.append("s", "hi")
    assert code(api("GET", f"sessions/s/messages?{query}")) == (422, "invalid_argument")


def test_ids_with_slashes_travel_percent_encoded(api: Api) -> None:
    """On the raw path, so that neither a message's nor a tool's id is cut."""
    message_id, tool_id = "a/../b?c#d", "t/%2F é"
    call = Message.call("look", {}, tool_id=tool_id)
    api.log.session("s", create=True, owner="ada").append(
        Message.assistant(tools=(call,), id=message_id)
    )
    path = f"sessions/s/messages/{quote(message_id, safe='')}"
    stored = api("POST", f"{path}/results", json={"tool_id": tool_id, "output": "x" * 30_000})
    assert stored.status_code == 200, stored.text
    piece = api("GET", f"{path}/outputs/{quote(tool_id, safe='')}?offset=10&limit=5").json()
    assert piece == {
        "text": "xxxxx",
        "offset": 10,
        "total_characters": 30_000,
        "next_offset": 15,
    }
    assert code(api("GET", f"{path}/outputs/other")) == (404, "tool_output_not_found")
    assert api.append("a%2Fb", "hi")["session_id"] == "a/b"
    assert api("GET", "sessions/a%2Fb").json()["session_id"] == "a/b"
    assert code(api("GET", "sessions/%ff")) == (404, "not_found")


def test_the_newest_messages_are_returned(api: Api) -> None:
    for text in ("a", "b", "c"):
        api.append("s", text)
    answer = api("GET", "sessions/s/messages?last=2")
    texts = [message["parts"][0]["text"] for message in answer.json()["messages"]]
    assert (texts, answer.headers["etag"]) == (["b", "c"], '"4"')
    context = api("GET", "sessions/s/context?token_budget=100").json()
    assert len(context["messages"]) == 3
    assert context["stats"]["included"] == 3


def test_a_message_is_written_in_chunks(api: Api) -> None:
    begun = api("POST", "sessions/s/streams", json={"message_id": "a/1"})
    assert begun.status_code == 201
    fence = begun.json()["fence"]
    path = "sessions/s/streams/a%2F1"
    for _ in range(2):  # The answer to the first was lost.
        chunk = {"fence": fence, "sequence": 1, "content": "Hel"}
        assert api("POST", f"{path}/chunks", json=chunk).status_code == 200
    other = api("POST", f"{path}/chunks", json={"fence": fence, "sequence": 1, "content": "x"})
    assert code(other) == (409, "duplicate_event")
    gap = api("POST", f"{path}/chunks", json={"fence": fence, "sequence": 3, "content": "x"})
    assert code(gap) == (409, "out_of_order")  # A sound request, but not yet.
    api("POST", f"{path}/chunks", json={"fence": fence, "sequence": 2, "content": "lo"})
    ended = [api("POST", f"{path}/end", json={"fence": fence}).json() for _ in range(2)]
    assert ended[0]["message"]["parts"] == [{"type": "text", "text": "Hello"}]
    assert ended[1]["message"] == ended[0]["message"]
    seen = api("GET", "sessions/s/events?after=1").json()["events"]
    said = json.dumps([event["data"] for event in seen])
    assert '"Hel"' in said, "viewers of a token stream see its chunks"
    assert '"lo"' in said
    late = api("POST", f"{path}/chunks", json={"fence": fence + 1, "sequence": 1, "content": "x"})
    assert code(late)[0] == 409


def test_a_message_that_is_not_finished_is_interrupted(api: Api) -> None:
    begun = api("POST", "sessions/s/streams").json()
    path, fence = f"sessions/s/streams/{begun['message_id']}", begun["fence"]
    api("POST", f"{path}/chunks", json={"fence": fence, "sequence": 1, "content": "Hel"})
    ended = api("POST", f"{path}/end", json={"fence": fence, "interrupted": True}).json()
    assert ended["message"]["interrupted"] is True
    assert api.log.session("s").tail()[0].text == "Hel"


def test_a_message_is_found_by_its_id(api: Api) -> None:
    stored = api.append("s", "a")["message"]
    found = api("GET", f"sessions/s/messages/{stored['id']}").json()
    assert (found["version"], found["message"]) == (2, stored)
    missing = api("GET", "sessions/s/messages/other")
    assert code(missing) == (404, "message_not_found")
    api("POST", "sessions/s/messages/withdraw", json={"last": 1})
    withdrawn = api("GET", f"sessions/s/messages/{stored['id']}")
    assert code(withdrawn) == (409, "message_withdrawn")


def test_messages_are_withdrawn_and_replaced(api: Api) -> None:
    first, second = api.append("s", "a"), api.append("s", "b")
    unclear: list[dict[str, int]] = [{}, {"last": 1, "after": 2}]
    for each in unclear:
        assert code(api("POST", "sessions/s/messages/withdraw", json=each))[0] == 422
    answer = api("POST", "sessions/s/messages/withdraw", json={"last": 1})
    assert answer.json()["withdrawn"] == [second["message"]]
    body: dict[str, Any] = {"after": 0, "messages": [{"role": "user", "content": "c"}]}
    replaced = api("POST", "sessions/s/messages/replace", json=body)
    assert replaced.json()["withdrawn"] == [first["message"]]
    cleared = api("POST", "sessions/s/messages/clear").json()
    assert [message["parts"][0]["text"] for message in cleared["withdrawn"]] == ["c"]
    assert api("GET", "sessions/s/messages").json()["messages"] == []


def test_a_version_that_has_passed_is_a_failed_precondition(api: Api) -> None:
    """412 as for a blocked commit; the code says which."""
    version = f'"{api.append("s", "a")["version"]}"'
    api.append("s", "b", headers={"If-Match": version})
    bodies: dict[str, Any] = {
        "messages": {"role": "user", "content": "c"},
        "messages/batch": {"messages": [{"role": "user", "content": "c"}]},
        "messages/withdraw": {"last": 1},
        "messages/replace": {"after": 0, "messages": []},
        "messages/clear": {},
    }
    for path, body in bodies.items():
        refused = api("POST", f"sessions/s/{path}", json=body, headers={"If-Match": version})
        assert code(refused) == (412, "version_conflict"), path
        assert refused.json()["error"]["details"] == {"stream": "s", "expected": 2, "actual": 3}
    for header in ("-2", "*", 'W/"2"', '"a"'):
        answer = api("POST", "sessions/s/messages/clear", headers={"If-Match": header})
        assert code(answer) == (422, "invalid_argument")
    assert api.log.session("s").version == 3


# ---- commits and tasks ------------------------------------------------------------------------


def test_a_commit_is_polled_until_it_is_done(api: Api) -> None:
    api.append("s", "hi")
    api("POST", "sessions/s/used", json={"contexts": ["memory://1"], "skill": {"uri": "s"}})
    committed = api("POST", "sessions/s/commit", json={"keep_recent_count": 0})
    assert committed.status_code == 202
    task = committed.json()["task_id"]
    assert api("GET", f"tasks/{task}").json()["status"] == "pending"
    assert code(api("GET", "sessions/s/archives/archive_001")) == (409, "not_completed")

    api.work(Finalizer(lambda request: Summary(overview="# all", abstract="all")))

    assert api("GET", f"tasks/{task}").json()["state"] == "completed"
    assert api("GET", "tasks?state=completed").json()["tasks"][0]["task_id"] == task
    assert api("GET", "tasks?session=s&state=pending").json() == {"tasks": [], "next": None}
    archive = api("GET", "sessions/s/archives/archive_001").json()
    assert archive["overview"] == "# all"
    assert len(archive["messages"]) == 1
    (listed,) = api("GET", "sessions/s/archives").json()["archives"]
    assert listed["state"] == "completed"
    again = api("POST", "sessions/s/commit")
    assert (again.status_code, again.json()["status"]) == (200, "skipped")


def test_a_repeated_commit_gets_the_first_archive(api: Api) -> None:
    def commit(**body: int) -> Any:
        headers = {"Idempotency-Key": '"c"'}
        return api("POST", "sessions/s/commit", json=body, headers=headers)

    api.append("s", "a")
    first = commit()
    api.append("s", "b")
    assert commit().json() == first.json()
    assert code(commit(keep_recent_count=1)) == (422, "duplicate_key")


def test_a_blocked_commit_says_by_what_and_goes_on_after_a_retry(api: Api) -> None:
    api.block("s")
    api.append("s", "more")
    assert api("GET", "sessions/s").json()["meta"]["blocked_by"] == "archive_001"
    refused = api("POST", "sessions/s/commit")
    assert code(refused) == (412, "commit_blocked")
    assert refused.json()["error"]["details"] == {
        "session_id": "s",
        "archive_id": "archive_001",
        "attempts": 1,
        "last_error": "NonRetryableError: prompt is too long",
    }
    assert api("GET", "health", who="ops").json()["blocked_sessions"] == 1

    path = "sessions/s/archives/archive_001/retry"
    assert code(api("POST", path, who="writer")) == (403, "forbidden")
    retried = api("POST", path, json={"reason": "shorter"})
    assert (retried.status_code, retried.json()) == (202, {"status": "accepted"})
    assert api("POST", "sessions/s/commit").status_code == 202
    api.work()
    assert api("GET", "sessions/s").json()["meta"]["blocked_by"] is None
    assert code(api("POST", "sessions/s/archives/archive_009/retry"))[0] == 404


def test_an_archive_is_abandoned(api: Api) -> None:
    api.block("s")
    answer = api("POST", "sessions/s/archives/archive_001/abandon")
    assert answer.json() == {"status": "abandoned"}
    (listed,) = api("GET", "sessions/s/archives").json()["archives"]
    assert listed["state"] == "abandoned"


def test_tasks_are_listed_page_by_page(api: Api) -> None:
    for session in ("a", "b", "c"):
        api.append(session, "hi")
        api("POST", f"sessions/{session}/commit")
    first = api("GET", "tasks?limit=2").json()
    rest = api("GET", f"tasks?limit=2&after={first['next']}").json()
    assert [task["session_id"] for task in first["tasks"] + rest["tasks"]] == ["a", "b", "c"]
    assert rest["next"] is None


def test_the_health_is_an_operators(api: Api) -> None:
    health = api("GET", "health", who="ops").json()
    assert (health["durability"], health["queue_depth"]) == ("none", 0)
    assert code(api("GET", "health")) == (403, "forbidden")


# ---- refusals ---------------------------------------------------------------------------------


def test_a_problem_document_is_sent_to_those_who_take_it(api: Api) -> None:
    """RFC 9457."""
    answer = api("GET", "sessions/s", headers={"Accept": "application/problem+json"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Session not found",
        "status": 404,
        "detail": answer.json()["error"]["message"],
        "instance": "/api/v1/sessions/s",
        "error": answer.json()["error"],
    }


def test_an_unknown_path_or_method_says_so(api: Api) -> None:
    assert code(api("GET", "nothing")) == (404, "not_found")
    assert code(api("GET", "sessions//messages")) == (404, "not_found")
    refused = api("PUT", "sessions/s")
    assert code(refused) == (405, "method_not_allowed")
    assert refused.headers["allow"] == "DELETE, GET"


def test_a_version_that_cannot_be_compared_is_not_passed_over(api: Api) -> None:
    answer = api("POST", "sessions/s/commit", headers={"If-Match": '"1"'})
    assert code(answer) == (422, "invalid_argument")


def test_a_failure_of_the_server_tells_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(api.app._service.log, "health", fail)
    answer = api("GET", "health", who="ops")
    assert code(answer) == (500, "internal_error")
    assert "hunter2" not in answer.text
    assert "request_failed" in caplog.text


def test_a_closed_log_is_unavailable(api: Api) -> None:
    api.append("s", "hi")
    api.log.close()
    refused = api("GET", "sessions/s")
    assert code(refused) == (503, "log_closed")
    assert refused.headers["retry-after"] == "1"


def test_the_work_is_recorded_with_its_origin(api: Api) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"Eventlog-Correlation-Id": "c", "Eventlog-Causation-Id": "d", "traceparent": trace}
    api.append("s", "hi", headers=headers)
    api.append("s", "hi", headers={"traceparent": "nonsense"})
    first, *_, last = api.log.read("s")
    assert first.metadata.actor == "ada@home"
    assert (first.metadata.correlation_id, first.metadata.causation_id) == ("c", "d")
    assert (first.metadata.traceparent, last.metadata.traceparent) == (trace, None)


def test_the_document_lists_every_operation(api: Api) -> None:
    document = json.loads(api.http.get("http://localhost/openapi.json").content)
    listed = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert listed == {(it.method, f"/api/v1{it.path}") for it in ROUTES.operations}
