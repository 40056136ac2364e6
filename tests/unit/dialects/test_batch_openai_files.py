"""OpenAI's batch envelope as flows and rows. Case numbers are those of the list of batch edge cases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.batch import BatchHandle, BatchRequestRow, BatchRow, BatchRows, BatchState, BatchStatus, BatchTag
from headgate.dialects.batch_openai_files import DIALECT, FLAVOUR, LIMITS, STATUSES, Rows, json_lines, parse_state
from headgate.errors import ErrorKind, HeadgateError, ProviderError, UsageError, WireError
from headgate.wire.http import Answer, Call, Download, Flow, Reply, Send, Stored, Upload

T = TypeVar("T")
TAG = BatchTag("run6-2-1", "run6-2-1-", "gpt-4o-mini", "/v1/chat/completions", "boundary-0123456789")
ROWS = BatchRows(tuple(BatchRequestRow(f"run6-2-1-{i}", "/v1/chat/completions", b'{"model":"m","n":%d}' % i) for i in range(3)))
HANDLE = BatchHandle("batch_1", "file_1")


def reply(value: Any, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(value).encode())


def run(flow: Flow[T], *answers: Answer | HeadgateError) -> tuple[T, list[Call]]:
    """Drive a flow with prepared answers; every answer must be used."""
    calls: list[Call] = []
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


def job(**fields: Any) -> dict[str, Any]:
    return {"id": "batch_1", "object": "batch", "status": "in_progress", "created_at": 1700000000, "input_file_id": "file_1", **fields}


def test_submitting_uploads_the_rows_and_names_our_tag() -> None:
    handle, calls = run(DIALECT.submit(TAG, ROWS), reply({"id": "file_1"}), reply(job(status="validating")))
    assert handle == BatchHandle("batch_1", "file_1", 1700000000.0)
    upload, create = calls
    assert isinstance(upload, Upload) and isinstance(create, Send)
    body = b"".join(upload.body)
    assert len(body) == upload.body.length and b"".join(upload.body) == body
    assert b'name="purpose"\r\n\r\nbatch\r\n' in body and b'filename="run6-2-1.jsonl"' in body
    lines = [json.loads(line) for line in body.split(b"\r\n\r\n")[2].split(b"\r\n--")[0].splitlines()]
    assert lines == [
        {"custom_id": row.custom_id, "method": "POST", "url": "/v1/chat/completions", "body": json.loads(row.body)} for row in ROWS.rows
    ]
    assert (upload.path, create.path) == ("/files", "/batches")
    assert json.loads(create.body) == {
        "input_file_id": "file_1",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"headgate": "run6-2-1"},
    }


def test_a_body_with_line_breaks_stays_one_line() -> None:
    row = BatchRequestRow("a", TAG.endpoint, b'{\n "text": "a\\nb"\r\n}')
    lines = b"".join(json_lines(BatchRows((row,)), TAG.endpoint, FLAVOUR))
    assert lines.count(b"\n") == 1
    assert json.loads(lines)["body"] == {"text": "a\nb"}


class ManyRows:
    """A body that claims many rows without holding them."""

    count = LIMITS.max_rows + 1

    def __iter__(self) -> Iterator[BatchRequestRow]:
        return iter(())


class WideRows:
    """Few rows, too many bytes (case 24)."""

    count = 3

    def __iter__(self) -> Iterator[BatchRequestRow]:
        return iter([BatchRequestRow("a", "/x", b'"' + b"x" * 70_000_000 + b'"')] * 3)


@pytest.mark.parametrize("body", [ManyRows(), WideRows()], ids=["rows", "case-24-bytes"])
def test_a_batch_over_the_limits_is_refused_before_anything_is_sent(body: ManyRows | WideRows) -> None:
    with pytest.raises(UsageError, match="over the limits") as caught:
        run(DIALECT.submit(TAG, body))
    assert caught.value.hint


def test_case_14_a_refused_job_leaves_no_file_and_is_a_rate_limit() -> None:
    refused = reply({"error": {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}}, 400)
    with pytest.raises(ProviderError) as caught:
        run(DIALECT.submit(TAG, ROWS), reply({"id": "file_1"}), refused, reply({"deleted": True}))
    assert caught.value.kind is ErrorKind.RATE_LIMIT and caught.value.transient


def test_case_18_a_job_that_may_exist_keeps_its_file() -> None:
    flow = DIALECT.submit(TAG, ROWS)
    next(flow)
    flow.send(reply({"id": "file_1"}))
    with pytest.raises(ProviderError) as caught:
        flow.send(reply({"error": {"message": "oops", "type": "server_error"}}, 500))
    assert caught.value.kind is ErrorKind.SERVER


def test_a_failed_clean_up_does_not_hide_the_refusal() -> None:
    gone = ProviderError(ErrorKind.CONNECTION, "connection lost")
    with pytest.raises(ProviderError, match="no such endpoint"):
        run(DIALECT.submit(TAG, ROWS), reply({"id": "file_1"}), reply({"error": {"message": "no such endpoint"}}, 400), gone)


@pytest.mark.parametrize("answer", [{}, {"id": ""}, {"id": 7}])
def test_an_upload_without_an_id_is_a_wire_error(answer: dict[str, Any]) -> None:
    with pytest.raises(WireError, match="file id"):
        run(DIALECT.submit(TAG, ROWS), reply(answer))


@pytest.mark.parametrize(("word", "expected"), STATUSES.items())
def test_every_status_word_is_known(word: str, expected: BatchStatus) -> None:
    state, calls = run(DIALECT.status(HANDLE), reply(job(status=word)))
    assert (state.status, state.raw_status) == (expected, word)
    assert [(call.method, call.path) for call in calls] == [("GET", "/batches/batch_1")]
    assert parse_state(job(status=word.upper())).status is expected


def test_an_unknown_status_word_is_kept() -> None:
    state = parse_state(job(status="paused"))
    assert (state.status, state.raw_status, state.lagging) == (BatchStatus.UNKNOWN, "paused", False)


def test_a_job_that_is_gone_is_not_found() -> None:
    with pytest.raises(ProviderError) as caught:
        run(DIALECT.status(HANDLE), reply({"error": {"message": "No batch found"}}, 404))
    assert caught.value.kind is ErrorKind.NOT_FOUND


COUNTS = {"total": 3, "completed": 3, "failed": 0}
STATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "case-1-all-failed": (
        {"status": "completed", "output_file_id": None, "error_file_id": "e", "request_counts": {"total": 3, "completed": 0, "failed": 3}},
        {"output_ref": None, "error_ref": "e", "lagging": False, "failed": 3},
    ),
    "case-2-output-lags": (
        {"status": "completed", "output_file_id": None, "error_file_id": None, "request_counts": COUNTS},
        {"lagging": True, "status": BatchStatus.COMPLETED},
    ),
    "case-2-error-file-is-there-first": (
        {"status": "completed", "error_file_id": "e", "request_counts": {"total": 3, "completed": 2, "failed": 1}},
        {"lagging": True},
    ),
    "case-3-empty-id": (
        {"status": "completed", "output_file_id": "o", "error_file_id": "", "request_counts": COUNTS},
        {"output_ref": "o", "error_ref": None, "lagging": False},
    ),
    "case-4-expired-with-results": (
        {"status": "expired", "output_file_id": "o", "error_file_id": "e", "request_counts": {"total": 3, "completed": 1, "failed": 2}},
        {"status": BatchStatus.EXPIRED, "output_ref": "o", "error_ref": "e", "lagging": False},
    ),
    "case-5-failed-at-validation": (
        {"status": "failed", "errors": {"data": [{"code": "invalid_json_line", "line": 2}]}, "request_counts": {"total": 0}},
        {"status": BatchStatus.FAILED, "total": None, "errors": ({"code": "invalid_json_line", "line": 2},), "crowded": False},
    ),
    "case-14-no-room-in-the-queue": (
        {"status": "failed", "errors": {"data": [{"code": "token_limit_exceeded", "line": None}]}, "request_counts": {"total": 0}},
        {"status": BatchStatus.FAILED, "crowded": True, "lagging": False},
    ),
    "case-14-a-file-with-rows-shows-that-it-began": (
        {"status": "failed", "output_file_id": "o", "errors": {"data": [{"code": "token_limit_exceeded"}]}},
        {"status": BatchStatus.FAILED, "crowded": False, "output_ref": "o"},
    ),
    "case-19-cancelled-before-anything": (
        {"status": "cancelled", "request_counts": {"total": 3, "completed": 0, "failed": 0}},
        {"status": BatchStatus.CANCELLED, "lagging": False, "total": 3},
    ),
    "odd-types": (
        {"status": None, "request_counts": [], "errors": {}, "output_file_id": {}, "created_at": "yesterday", "expires_at": True},
        {"status": BatchStatus.UNKNOWN, "raw_status": "", "output_ref": None, "created_at": None, "expires_at": None},
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_states(name: str) -> None:
    fields, expected = STATES[name]
    state = parse_state(job(**fields))
    assert {key: getattr(state, key) for key in expected} == expected


def test_results_brings_both_files_in_any_terminal_state() -> None:
    state = BatchState(status=BatchStatus.EXPIRED, raw_status="expired", output_ref="o", error_ref="e")
    files, calls = run(DIALECT.results(HANDLE, state), Stored(200, {}, "/tmp/o", 10), Stored(200, {}, "/tmp/e", 5))
    assert [(file.kind, file.path) for file in files] == [("output", "/tmp/o"), ("error", "/tmp/e")]
    assert all(isinstance(call, Download) for call in calls)
    assert [call.path for call in calls] == ["/files/o/content", "/files/e/content"]


def test_case_16_a_result_that_is_no_longer_kept_is_not_found() -> None:
    state = BatchState(status=BatchStatus.COMPLETED, raw_status="completed", output_ref="o")
    with pytest.raises(ProviderError) as caught:
        run(DIALECT.results(HANDLE, state), Stored(404, {}, "/tmp/o", 10))
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_results_of_a_job_without_files_is_empty() -> None:
    assert run(DIALECT.results(HANDLE, BatchState(status=BatchStatus.FAILED, raw_status="failed"))) == ([], [])


def test_case_19_cancelling_races_with_completion() -> None:
    accepted, calls = run(DIALECT.cancel(HANDLE), reply(job(status="cancelling")))
    assert accepted and calls[0].path == "/batches/batch_1/cancel"
    conflict = reply({"error": {"message": "Cannot cancel a batch with status completed"}}, 409)
    late, _ = run(DIALECT.cancel(HANDLE), conflict, reply(job(status="completed")))
    assert late is False
    with pytest.raises(ProviderError):
        run(DIALECT.cancel(HANDLE), conflict, reply(job(status="in_progress")))
    with pytest.raises(ProviderError) as caught:
        run(DIALECT.cancel(HANDLE), reply({"error": {"message": "no such batch"}}, 404))
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_the_files_of_a_job_are_deleted_and_one_that_is_gone_is_no_error() -> None:
    state = BatchState(status=BatchStatus.COMPLETED, raw_status="completed", output_ref="o", error_ref="e")
    gone = reply({"error": {"message": "no such file"}}, 404)
    assert DIALECT.delete is not None
    _, calls = run(DIALECT.delete(HANDLE, state), reply({}), gone, reply({}))
    assert calls == [Send("DELETE", f"/files/{name}") for name in ("file_1", "o", "e")]
    with pytest.raises(ProviderError):
        run(DIALECT.delete(HANDLE, state), reply({"error": {"message": "no"}}, 500))


def listed(name: str, created: int, key: str | None = None) -> dict[str, Any]:
    return job(id=name, created_at=created, metadata={"headgate": key} if key else None, request_counts=COUNTS)


def test_case_18_a_lost_job_is_found_by_its_tag_on_a_later_page() -> None:
    first = reply({"data": [listed("c", 500), listed("b", 400, "another")], "has_more": True})
    second = reply({"data": [listed("a", 300, TAG.key), listed("z", 99, TAG.key)], "has_more": True})
    found, calls = run(DIALECT.find(TAG, 100.0), first, second)
    assert [(c.handle.id, c.matched_by, c.total) for c in found] == [("a", "tag", 3)]
    assert found[0].handle.input_file == "file_1"
    assert [call.path for call in calls] == ["/batches?limit=100", "/batches?limit=100&after=b"]


@pytest.mark.parametrize("page", [{"data": []}, {"data": None, "has_more": True}, {"data": [7, {"id": 3}], "has_more": True}, {}])
def test_a_list_without_jobs_ends_the_search(page: dict[str, Any]) -> None:
    assert run(DIALECT.find(TAG, 0.0), reply(page))[0] == []


def test_a_list_that_repeats_itself_ends_the_search() -> None:
    page = reply({"data": [listed("a", 300, TAG.key)], "has_more": True})
    found, _ = run(DIALECT.find(TAG, 0.0), page, page)
    assert {candidate.handle.id for candidate in found} == {"a"}


def line(custom_id: str, status: int = 200, body: Any = None, error: Any = None) -> bytes:
    response = {"status_code": status, "request_id": "req_1", "body": body if body is not None else {"id": custom_id}}
    return json.dumps({"id": "r", "custom_id": custom_id, "response": None if error else response, "error": error}).encode()


def rows_of(data: bytes, size: int = 1 << 20) -> list[BatchRow]:
    decoder = DIALECT.row_decoder("output")
    found = [row for at in range(0, len(data), size) for row in decoder.feed(data[at : at + size])]
    return found + decoder.close()


def test_case_6_and_8_and_9_rows_are_handed_on_as_they_come() -> None:
    found = rows_of(b"\n".join(map(line, ["b", "a", "a", "foreign"])))
    assert [(row.custom_id, row.outcome, row.line) for row in found] == [
        ("b", "succeeded", 1),
        ("a", "succeeded", 2),
        ("a", "succeeded", 3),
        ("foreign", "succeeded", 4),
    ]
    assert found[0].body == b'{"id": "b"}' and found[0].request_id == "req_1" and found[0].status == 200


def test_case_10_a_torn_line_costs_only_itself() -> None:
    deep = b'{"custom_id":"d","error":' + b"[" * 5000 + b"]" * 5000 + b"}"
    found = rows_of(b"\xef\xbb\xbf" + line("a") + b'\n{"custom_id": "b", "resp\n\r\n\xff\xfe\n' + deep + b"\n[]\n" + line("c") + b"\r\n")
    assert [(row.custom_id, row.line) for row in found] == [("a", 1), (None, 2), (None, 4), (None, 5), (None, 6), ("c", 7)]
    assert [row.outcome for row in found] == ["succeeded", "errored", "errored", "errored", "errored", "succeeded"]
    assert all(row.error is not None and row.error.code == "invalid_json_line" for row in found if row.custom_id is None)


def test_case_23_unicode_line_separators_split_nothing() -> None:
    text = "one\u2028two\u0085three"
    data = json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": {"text": text}}}, ensure_ascii=False).encode()
    (row,) = rows_of(data + b"\n", size=1)
    assert row.custom_id == "a" and row.body is not None and json.loads(row.body)["text"] == text


OUTCOMES: dict[str, tuple[bytes, str, ErrorKind]] = {
    "case-4-expired": (line("a", error={"code": "batch_expired", "message": "not done in time"}), "expired", ErrorKind.TIMEOUT),
    "case-19-cancelled": (line("a", error={"code": "batch_cancelled", "message": "cancelled"}), "cancelled", ErrorKind.CANCELLED),
    "case-13-rate-limited-row": (line("a", 429, {"error": {"code": "rate_limit_exceeded"}}), "errored", ErrorKind.RATE_LIMIT),
    "case-17-no-credit": (line("a", 429, {"error": {"code": "insufficient_quota"}}), "errored", ErrorKind.QUOTA),
    "bad-request": (line("a", 400, {"error": {"message": "bad", "type": "invalid_request_error"}}), "errored", ErrorKind.BAD_REQUEST),
    "server": (line("a", 500, {"error": {"message": "oops", "type": "server_error"}}), "errored", ErrorKind.SERVER),
    "unknown-error": (line("a", error={"message": "strange"}), "errored", ErrorKind.UNKNOWN),
    "no-answer": (b'{"custom_id":"a","response":{"status_code":200,"body":null},"error":null}', "errored", ErrorKind.UNKNOWN),
    "nothing": (b'{"custom_id":"a"}', "errored", ErrorKind.UNKNOWN),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes(name: str) -> None:
    data, outcome, kind = OUTCOMES[name]
    (row,) = rows_of(data)
    assert (row.custom_id, row.outcome, row.body) == ("a", outcome, None)
    assert row.error is not None and row.error.kind is kind


@pytest.mark.parametrize("odd", [b'{"custom_id":"","response":{"body":{}}}', b'{"custom_id":7,"response":{"request_id":{},"body":{}}}'])
def test_an_odd_field_costs_no_answer(odd: bytes) -> None:
    (row,) = rows_of(odd)
    assert (row.custom_id, row.outcome, row.body, row.request_id) == (None, "succeeded", b"{}", None)


@given(st.lists(st.binary(max_size=30) | st.sampled_from([line("a"), line("b", 500), b"{}", b"null"])), st.integers(1, 40))
def test_no_bytes_break_the_reader_and_no_split_changes_the_rows(pieces: list[bytes], size: int) -> None:
    data = b"\n".join(pieces)
    whole, split = rows_of(data), rows_of(data, size)
    facts = [(r.custom_id, r.outcome, r.line, r.status, r.body) for r in whole]
    assert facts == [(r.custom_id, r.outcome, r.line, r.status, r.body) for r in split]


def test_both_files_have_the_same_reader() -> None:
    assert isinstance(DIALECT.row_decoder("error"), Rows)
