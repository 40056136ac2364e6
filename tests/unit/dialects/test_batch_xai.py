"""xAI's batch envelope as flows and rows."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects import batch_xai
from headgate.dialects.batch import BatchHandle, BatchRequestRow, BatchRow, BatchRows, BatchStatus, BatchTag
from headgate.dialects.batch_xai import BY_FILE, DIALECT, parse_state
from headgate.dialects.batch_xai_rows import ResultLines, parse_row
from headgate.errors import ErrorKind, HeadgateError, ProviderError, UsageError, WireError
from headgate.wire.http import Answer, Call, Flow, Reply, Save, Send, Stored, Upload

T = TypeVar("T")
CHAT = "/v1/chat/completions"
TAG = BatchTag("run6-0-1-1", "run6-1-1", "grok-4.3", CHAT, "boundary-0123456789")
ROWS = BatchRows(tuple(BatchRequestRow(f"run6-1-1-{i}", CHAT, b'{"model":"m","n":%d}' % i) for i in range(3)))
HANDLE = BatchHandle("batch_1")
DATE = "Sat, 21 Nov 2026 10:00:00 GMT"


def reply(value: Any, status: int = 200) -> Reply:
    return Reply(status, {"date": DATE}, json.dumps(value).encode())


def run(flow: Flow[T], *answers: Answer | HeadgateError) -> tuple[T, list[Call | Save]]:
    """Drive a flow with prepared answers; every answer must be used."""
    calls: list[Call | Save] = []
    left = list(answers)
    try:
        call = next(flow)
        while True:
            calls.append(call)
            answer = left.pop(0)
            call = flow.throw(answer) if isinstance(answer, HeadgateError) else flow.send(answer)
    except StopIteration as stop:
        assert not left
        result: T = stop.value
        return result, calls


def job(pending: int = 0, success: int = 0, error: int = 0, cancelled: int = 0, **fields: Any) -> dict[str, Any]:
    counts = {"num_pending": pending, "num_success": success, "num_error": error, "num_cancelled": cancelled}
    state = {"num_requests": sum(counts.values()), **counts}
    times = {"create_time": "2026-11-20T10:00:00Z", "expire_time": "2026-12-20T10:00:00Z", "cancel_time": None}
    return {"batch_id": "batch_1", "name": TAG.key, **times, "cancel_by_xai_message": None, "state": state, **fields}


EMPTY = reply(job())
NULL = Reply(200, {}, b"null")


def test_submitting_creates_a_container_under_our_key_and_adds_the_rows() -> None:
    handle, calls = run(DIALECT.submit(TAG, ROWS), EMPTY, NULL)
    assert (handle.id, handle.input_file, handle.created_at) == ("batch_1", None, 1795168800.0)
    create, add = calls
    assert isinstance(create, Send) and isinstance(add, Send) and create.once and add.once
    assert (create.path, json.loads(create.body)) == ("/batches", {"name": "run6-0-1-1"})
    assert add.path == "/batches/batch_1/requests"
    assert json.loads(add.body)["batch_requests"] == [
        {"batch_request_id": row.custom_id, "batch_request": {"chat_get_completion": json.loads(row.body)}} for row in ROWS.rows
    ]


def test_rows_of_the_responses_api_are_named_so() -> None:
    row = BatchRequestRow("a", "/v1/responses", b'{"input":"x"}')
    tag = BatchTag("k", "a", "m", "/v1/responses", "boundary-0123456789")
    _, calls = run(DIALECT.submit(tag, BatchRows((row,))), EMPTY, NULL)
    assert isinstance(calls[1], Send) and json.loads(calls[1].body)["batch_requests"][0]["batch_request"] == {"responses": {"input": "x"}}


def test_many_rows_go_in_calls_under_the_limit_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_xai, "_CALL_LIMIT", 200)
    rows = BatchRows(tuple(BatchRequestRow(f"r-{i}", CHAT, b'{"n":"%b"}' % (b"x" * (i % 60))) for i in range(50)))
    flow = DIALECT.submit(TAG, rows)
    next(flow)
    sent: list[str] = []
    call = flow.send(EMPTY)
    with pytest.raises(StopIteration):
        while True:
            assert isinstance(call, Send)
            items = json.loads(call.body)["batch_requests"]
            assert len(call.body) <= 200 + 40 or len(items) == 1
            sent += [item["batch_request_id"] for item in items]
            call = flow.send(NULL)
    assert sent == [row.custom_id for row in rows.rows]


def test_a_container_whose_rows_are_refused_is_cancelled() -> None:
    refused = reply({"code": "Client specified an invalid argument", "error": "Model grok-4.5 is not supported for batch processing"}, 400)
    flow = DIALECT.submit(TAG, ROWS)
    calls = [next(flow), flow.send(EMPTY), flow.send(refused)]
    with pytest.raises(ProviderError, match="not supported for batch processing") as caught:
        flow.send(reply(job(cancel_time="2026-11-20T10:00:01Z")))
    assert caught.value.kind is ErrorKind.BAD_REQUEST
    assert [call.path for call in calls if isinstance(call, Send)] == ["/batches", "/batches/batch_1/requests", "/batches/batch_1:cancel"]


def test_a_container_that_may_have_rows_is_left_alone() -> None:
    flow = DIALECT.submit(TAG, ROWS)
    next(flow)
    flow.send(EMPTY)
    with pytest.raises(ProviderError) as caught:
        flow.send(reply({"error": "oops"}, 503))
    assert caught.value.kind is ErrorKind.OVERLOADED


def test_rows_that_are_refused_late_leave_the_job_with_those_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_xai, "_CALL_LIMIT", 100)
    handle, calls = run(DIALECT.submit(TAG, ROWS), EMPTY, NULL, reply({"error": "too many"}, 429))
    assert handle.id == "batch_1" and len(calls) == 3


def test_nothing_is_sent_for_rows_that_would_be_refused() -> None:
    with pytest.raises(UsageError, match="occurs twice"):
        run(DIALECT.submit(TAG, BatchRows((ROWS.rows[0], ROWS.rows[0]))))
    with pytest.raises(UsageError, match="24h"):
        run(DIALECT.submit(BatchTag("k", "a", "m", CHAT, "b", window="7d"), ROWS))


def test_a_file_makes_the_whole_job_in_one_call() -> None:
    handle, calls = run(BY_FILE.submit(TAG, ROWS), reply({"id": "file_1"}), reply(job(input_file_id="file_1")))
    uploaded, create = calls
    assert isinstance(uploaded, Upload) and isinstance(create, Send) and handle == BatchHandle("batch_1", "file_1", 1795168800.0)
    body = b"".join(uploaded.body)
    assert b'name="purpose"' not in body and b'filename="run6-0-1-1.jsonl"' in body and body.count(b'"custom_id"') == 3
    assert json.loads(create.body) == {"name": "run6-0-1-1", "input_file_id": "file_1"}


@pytest.mark.parametrize(
    ("state", "word", "status"),
    [
        (job(), "empty", BatchStatus.QUEUED),
        (job(pending=2, success=1), "pending", BatchStatus.RUNNING),
        (job(pending=2, cancel_time="2026-11-20T10:00:01Z"), "cancelling", BatchStatus.CANCELLING),
        (job(success=2, error=1), "done", BatchStatus.COMPLETED),
        (job(error=3), "done", BatchStatus.COMPLETED),
        (job(success=2, cancelled=1), "cancelled", BatchStatus.CANCELLED),
        (job(cancel_time="2026-11-20T10:00:01Z"), "cancelled", BatchStatus.CANCELLED),
        (job(cancel_time="2026-11-20T10:00:01Z", cancel_by_xai_message="line 3 is wrong"), "rejected", BatchStatus.FAILED),
        (job(pending=2, success=1, expire_time="2026-11-21T09:59:59Z"), "expired", BatchStatus.EXPIRED),
        (job(pending=2, success=1, expire_time="2026-11-21T10:00:01Z"), "pending", BatchStatus.RUNNING),
        ({"batch_id": "batch_1"}, "empty", BatchStatus.QUEUED),
        (job(state={"num_requests": "3", "num_pending": None}), "empty", BatchStatus.QUEUED),
    ],
)
def test_the_counts_tell_the_state(state: dict[str, Any], word: str, status: BatchStatus) -> None:
    found, _ = run(DIALECT.status(HANDLE), reply(state))
    assert (found.raw_status, found.status) == (word, status)
    assert bool(found.errors) is (word == "rejected")


def test_counts_before_the_rows_are_known_are_no_progress() -> None:
    assert (parse_state(job()).total, parse_state(job(success=2, error=1)).failed) == (None, 1)


def stored(number: int) -> Stored:
    return Stored(200, {}, f"/tmp/{number}", 1)


def test_results_are_read_page_by_page_and_kept_as_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    first = reply({"results": [{"batch_request_id": "a", "batch_result": {}}, "torn"], "pagination_token": "t/1"})
    second = Reply(200, {}, b'{"results":[{"batch_request_id":\n "b"}],"pagination_token":""}')
    files, calls = run(DIALECT.results(HANDLE, parse_state(job(success=2))), first, second, stored(1))
    assert [file.path for file in files] == ["/tmp/1"]
    assert [call.path for call in calls if isinstance(call, Send)] == [
        "/batches/batch_1/results?limit=100",
        "/batches/batch_1/results?limit=100&pagination_token=t%2F1",
    ]
    kept = calls[-1]
    assert isinstance(kept, Save) and kept.data == b'{"batch_request_id": "a", "batch_result": {}}\n"torn"\n{"batch_request_id":"b"}\n'
    monkeypatch.setattr(batch_xai, "SAVED", 1)
    files, _ = run(DIALECT.results(HANDLE, parse_state(job(success=2))), first, stored(1), second, stored(2))
    assert [file.path for file in files] == ["/tmp/1", "/tmp/2"]


@pytest.mark.parametrize("state", [job(), job(cancel_time="2026-11-20T10:00:01Z"), job(pending=1)])
def test_a_job_without_results_is_not_asked_for_them(state: dict[str, Any]) -> None:
    assert run(DIALECT.results(HANDLE, parse_state(state))) == ([], [])


def test_a_page_that_cannot_be_read_is_an_error_of_the_wire() -> None:
    with pytest.raises(WireError, match="page of results"):
        run(DIALECT.results(HANDLE, parse_state(job(success=1))), Reply(200, {}, b'{"results":[{'))


def test_cancelling() -> None:
    assert run(DIALECT.cancel(HANDLE), reply(job(pending=2, cancel_time="2026-11-20T10:00:01Z")))[0] is True
    assert run(DIALECT.cancel(HANDLE), reply({"code": "x", "error": "over"}, 400), reply(job(success=2)))[0] is False
    with pytest.raises(ProviderError, match="no"):
        run(DIALECT.cancel(HANDLE), reply({"code": "x", "error": "no"}, 400), reply(job(pending=2)))


def test_jobs_are_found_by_name_on_every_page_but_not_containers_nobody_fills() -> None:
    old = job(success=1, create_time="2026-11-01T10:00:00Z", batch_id="old")
    pages = (
        reply({"batches": [job(batch_id="empty"), job(success=3, name="other"), old], "pagination_token": "n"}),
        reply({"batches": [job(success=3, batch_id="ours")], "pagination_token": None}),
    )
    found, _ = run(DIALECT.find(TAG, 1795168000.0), *pages)
    assert [(one.handle.id, one.matched_by, one.total, one.status) for one in found] == [("ours", "tag", 3, BatchStatus.COMPLETED)]
    found, _ = run(BY_FILE.find(TAG, 1795168000.0), *pages)
    assert [one.handle.id for one in found] == ["empty", "ours"]


def line(**fields: Any) -> bytes:
    return json.dumps({"batch_request_id": "a", "batch_result": None, "error_message": None, **fields}).encode()


ANSWER = {"response": {"chat_get_completion": {"id": "c1", "choices": []}}}


@pytest.mark.parametrize(
    ("content", "outcome", "kind"),
    [
        (line(batch_result=ANSWER), "succeeded", None),
        (line(batch_result={"error": {"code": 8, "message": "slow"}}), "errored", ErrorKind.RATE_LIMIT),
        (line(batch_result={"error": {"code": 3, "message": "bad"}}), "errored", ErrorKind.BAD_REQUEST),
        (line(batch_result={"error": {"code": 4, "message": "late"}}), "expired", ErrorKind.TIMEOUT),
        (line(batch_result={"error": {"code": 1, "message": "stop"}}), "cancelled", ErrorKind.CANCELLED),
        (line(error_message="something went wrong"), "errored", ErrorKind.UNKNOWN),
        (line(batch_result={"error": {"code": "rate_limit_exceeded", "message": "slow"}}), "errored", ErrorKind.RATE_LIMIT),
        (line(batch_result={"response": {"chat_get_completion": "text"}}), "errored", ErrorKind.UNKNOWN),
        (line(batch_result={"response": "odd"}), "errored", ErrorKind.UNKNOWN),
        (line(), "errored", ErrorKind.UNKNOWN),
    ],
)
def test_a_result_is_an_answer_or_says_why_not(content: bytes, outcome: str, kind: ErrorKind | None) -> None:
    row = parse_row(content, 1)
    assert (row.custom_id, row.outcome, row.error and row.error.kind) == ("a", outcome, kind)
    assert (row.body is not None) is (outcome == "succeeded") and (row.error is None or bool(row.error.message))


@pytest.mark.parametrize("content", [b'"torn"', b"[1]", b"{", b"\xff\xfe", b"[" * 5000])
def test_a_result_that_cannot_be_read_has_no_id(content: bytes) -> None:
    row = parse_row(content, 7)
    assert (row.custom_id, row.outcome, row.line, row.error and row.error.code) == (None, "errored", 7, "invalid_line")


@given(cuts=st.lists(st.integers(0, 300), max_size=5))
def test_any_split_gives_the_same_rows(cuts: list[int]) -> None:
    content = line(batch_result=ANSWER) + b"\n\n" + b"{torn\n" + line(batch_request_id="b", error_message="\u2028")
    places = sorted({0, *cuts, len(content)})
    decoder = ResultLines()
    rows: list[BatchRow] = []
    for start, end in zip(places, [*places[1:], len(content)], strict=True):
        rows += decoder.feed(content[start:end])
    rows += decoder.close()
    assert [(row.custom_id, row.outcome, row.line) for row in rows] == [("a", "succeeded", 1), (None, "errored", 3), ("b", "errored", 4)]
