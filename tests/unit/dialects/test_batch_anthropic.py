"""The Anthropic batch envelope as flows, against scripted replies. Numbers in the ids are the edge cases of the batch design."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects.batch import (
    BatchHandle,
    BatchRequestRow,
    BatchRows,
    BatchState,
    BatchStatus,
    BatchTag,
    ResultFile,
)
from headgate.dialects.batch_anthropic import DIALECT, LIMITS, CreateBody, state_of
from headgate.errors import ErrorKind, ProviderError, TooLarge, Unsupported, WireError
from headgate.wire.http import Answer, Call, Download, Flow, Reply, Send, Stored, Upload
from headgate.wire.json import decode, encode

TAG = BatchTag("run1-3-1", "run1-3-1-", "claude", "/v1/messages", "boundary")
HANDLE = BatchHandle("msgbatch_1")
COUNTS = {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
JOB: dict[str, Any] = {
    "id": "msgbatch_1",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": COUNTS,
    "ended_at": None,
    "created_at": "2026-01-01T00:00:10.5+00:00",
    "expires_at": "2026-01-02T00:00:10.5Z",
    "archived_at": None,
    "cancel_initiated_at": None,
    "results_url": None,
}
URL = "https://api.anthropic.com/v1/messages/batches/msgbatch_1/results"
ENDED = JOB | {"processing_status": "ended", "request_counts": COUNTS | {"processing": 0, "succeeded": 2}, "results_url": URL}


def ok(body: Any) -> Reply:
    return Reply(200, {}, encode(body))


def refused(status: int, kind: str, **details: Any) -> Reply:
    return Reply(status, {"retry-after": "7"}, encode({"type": "error", "error": {"type": kind, "message": "no", **details}}))


def run(flow: Flow[Any], *answers: Answer) -> tuple[Any, list[Call]]:
    """Drive a flow with scripted answers; every answer must be asked for."""
    calls: list[Call] = []
    script = iter(answers)
    answer: Answer | None = None
    while True:
        try:
            calls.append(flow.send(answer) if answer is not None else next(flow))
        except StopIteration as end:
            assert next(script, None) is None
            return end.value, calls
        answer = next(script)


def rows(*ids: str, body: bytes = b'{"model":"claude"}') -> BatchRows:
    return BatchRows(tuple(BatchRequestRow(custom_id, "/v1/messages", body) for custom_id in ids))


def test_submit_streams_one_json_body_of_known_length() -> None:
    handle, calls = run(DIALECT.submit(TAG, rows("a", "b")), ok(JOB))
    (call,) = calls
    assert isinstance(call, Upload) and (call.method, call.path) == ("POST", "/v1/messages/batches")
    assert dict(call.headers) == {"content-type": "application/json"}
    sent = b"".join(call.body)
    assert sent == b"".join(call.body) and len(sent) == call.body.length
    assert decode(sent) == {"requests": [{"custom_id": name, "params": {"model": "claude"}} for name in "ab"]}
    assert handle == BatchHandle("msgbatch_1", None, 1767225610.5)


@given(
    st.lists(st.tuples(st.text("ab_-09", min_size=1, max_size=9), st.binary(max_size=30)), min_size=1, max_size=9, unique_by=lambda r: r[0])
)
@settings(deadline=None)
def test_length_equals_the_bytes(pairs: list[tuple[str, bytes]]) -> None:
    body = CreateBody(BatchRows(tuple(BatchRequestRow(name, "/v1/messages", data) for name, data in pairs)))
    assert body.length == sum(map(len, body))


class Many:
    """Rows made as they are read: `alive` never holds more than one."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size

    def __iter__(self) -> Iterator[BatchRequestRow]:
        filling = b'"' + b"x" * self.size + b'"'
        return (BatchRequestRow(f"u{number}", "/v1/messages", filling) for number in range(self.count))


def test_no_piece_of_a_large_body_is_large() -> None:
    body = CreateBody(Many(2000, 1000))
    pieces = [len(piece) for piece in body]
    assert sum(pieces) == body.length > 2_000_000
    assert max(pieces) < 80_000


@pytest.mark.parametrize("name", ["", "x" * 65, "a.b", "ü", "a b", 'a"b'], ids=["empty", "long", "dot", "umlaut", "space", "quote"])
def test_custom_ids_the_wire_refuses_never_leave(name: str) -> None:
    with pytest.raises(WireError, match="custom id") as error:
        run(DIALECT.submit(TAG, rows(name)))
    assert error.value.fault == "local"


def test_a_custom_id_twice_never_leaves() -> None:
    with pytest.raises(WireError, match="twice"):
        CreateBody(rows("a", "a"))


def test_an_empty_batch_never_leaves() -> None:
    with pytest.raises(WireError, match="at least one row"):
        CreateBody(rows())


def test_other_endpoints_are_unsupported() -> None:
    with pytest.raises(Unsupported) as error:
        CreateBody(BatchRows((BatchRequestRow("a", "/v1/complete", b"{}"),)))
    assert error.value.param == "endpoint"


def test_case_24_the_byte_limit_counts_with_few_rows() -> None:
    with pytest.raises(TooLarge):
        CreateBody(Many(257, LIMITS.max_bytes // 256))


def test_the_row_limit_counts() -> None:
    with pytest.raises(TooLarge):
        CreateBody(Many(LIMITS.max_rows + 1, 0))


def test_case_14_a_refused_create_keeps_its_reason() -> None:
    with pytest.raises(ProviderError) as error:
        run(DIALECT.submit(TAG, rows("a")), refused(429, "rate_limit_error"))
    assert (error.value.kind, error.value.retry_after) == (ErrorKind.RATE_LIMIT, 7.0)


def test_case_18_a_reply_without_an_id_is_an_error_not_a_handle() -> None:
    with pytest.raises(WireError):
        run(DIALECT.submit(TAG, rows("a")), ok({"type": "message_batch"}))


STATES: list[tuple[str, dict[str, Any], BatchStatus]] = [
    ("running", JOB, BatchStatus.RUNNING),
    ("cancelling", JOB | {"processing_status": "canceling"}, BatchStatus.CANCELLING),
    ("completed", ENDED, BatchStatus.COMPLETED),
    ("case-1-completed-with-failures-only", ENDED | {"request_counts": COUNTS | {"processing": 0, "errored": 2}}, BatchStatus.COMPLETED),
    ("case-4-expired-with-partial-output", ENDED | {"request_counts": COUNTS | {"succeeded": 1, "expired": 1}}, BatchStatus.EXPIRED),
    ("case-19-cancelled-with-partial-output", ENDED | {"request_counts": COUNTS | {"succeeded": 1, "canceled": 1}}, BatchStatus.CANCELLED),
    ("unknown-word", JOB | {"processing_status": "resting"}, BatchStatus.UNKNOWN),
    ("no-word", {"id": "x"}, BatchStatus.UNKNOWN),
]


@pytest.mark.parametrize(("job", "expected"), [row[1:] for row in STATES], ids=[row[0] for row in STATES])
def test_states(job: dict[str, Any], expected: BatchStatus) -> None:
    state, calls = run(DIALECT.status(HANDLE), ok(job))
    assert calls == [Send("GET", "/v1/messages/batches/msgbatch_1")]
    assert state.status is expected and state.raw_status == job.get("processing_status", "") and state.raw == job


def test_case_21_counts_are_unknown_while_running() -> None:
    state = state_of(JOB)
    assert (state.total, state.succeeded, state.failed) == (2, None, None)
    ended = state_of(ENDED | {"request_counts": COUNTS | {"processing": 0, "succeeded": 5, "errored": 2, "expired": 1}})
    assert (ended.total, ended.succeeded, ended.failed) == (8, 5, 3)
    assert (state.created_at, state.expires_at) == (1767225610.5, 1767312010.5)


def test_case_2_an_ended_job_without_results_is_lagging() -> None:
    state = state_of(ENDED | {"results_url": None})
    assert state.lagging and state.output_ref is None and state.errors == ()


def test_case_16_archived_results_are_gone_not_lagging() -> None:
    state = state_of(ENDED | {"archived_at": "2026-02-01T00:00:00Z"})
    assert not state.lagging and state.output_ref is None
    assert [error["code"] for error in state.errors] == ["results_archived"]


def test_a_job_the_provider_forgot() -> None:
    with pytest.raises(ProviderError) as error:
        run(DIALECT.status(HANDLE), refused(404, "not_found_error"))
    assert error.value.kind is ErrorKind.NOT_FOUND


def test_results_are_stored_by_the_driver() -> None:
    files, calls = run(DIALECT.results(HANDLE, state_of(ENDED)), Stored(200, {}, "/tmp/file", 10))
    assert calls == [Download("GET", "/v1/messages/batches/msgbatch_1/results")]
    assert files == [ResultFile("output", "/tmp/file")]


def test_no_results_no_download() -> None:
    assert run(DIALECT.results(HANDLE, state_of(JOB))) == ([], [])


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/results",
        "https://api.anthropic.com/v1/messages/batches/other/results",
        f"{URL}?to=evil",
        "file:///etc/passwd",
        "results",
    ],
)
def test_a_results_url_that_is_not_the_jobs_own_is_refused(url: str) -> None:
    state = BatchState(status=BatchStatus.COMPLETED, raw_status="ended", output_ref=url)
    with pytest.raises(WireError, match="not followed"):
        run(DIALECT.results(HANDLE, state))


def test_a_results_url_on_another_host_never_gets_the_key() -> None:
    state = BatchState(status=BatchStatus.COMPLETED, raw_status="ended", output_ref=URL.replace("api.anthropic.com", "evil.example"))
    _, calls = run(DIALECT.results(HANDLE, state), Stored(200, {}, "/tmp/file", 1))
    assert calls[0].path == "/v1/messages/batches/msgbatch_1/results"


def test_a_failed_download_is_an_error() -> None:
    with pytest.raises(ProviderError) as error:
        run(DIALECT.results(HANDLE, state_of(ENDED)), Stored(529, {}, "/tmp/file", 1))
    assert error.value.kind is ErrorKind.OVERLOADED


def test_cancel() -> None:
    accepted, calls = run(DIALECT.cancel(HANDLE), ok(JOB | {"processing_status": "canceling"}))
    assert accepted is True and calls == [Send("POST", "/v1/messages/batches/msgbatch_1/cancel")]


def test_a_job_is_deleted_and_one_that_is_gone_is_no_error() -> None:
    assert DIALECT.delete is not None
    assert run(DIALECT.delete(HANDLE, state_of(ENDED)), ok({}))[1] == [Send("DELETE", "/v1/messages/batches/msgbatch_1")]
    run(DIALECT.delete(HANDLE, state_of(ENDED)), refused(404, "not_found_error"))
    with pytest.raises(ProviderError):
        run(DIALECT.delete(HANDLE, state_of(ENDED)), refused(400, "invalid_request_error"))


def test_case_19_cancel_races_with_the_end() -> None:
    assert run(DIALECT.cancel(HANDLE), ok(ENDED))[0] is False
    assert run(DIALECT.cancel(HANDLE), refused(400, "invalid_request_error"), ok(ENDED))[0] is False
    with pytest.raises(ProviderError):
        run(DIALECT.cancel(HANDLE), refused(400, "invalid_request_error"), ok(JOB))
    with pytest.raises(ProviderError):
        run(DIALECT.cancel(HANDLE), refused(500, "api_error"))


def page(*jobs: dict[str, Any], more: bool) -> Reply:
    return ok({"data": list(jobs), "has_more": more, "first_id": None, "last_id": jobs[-1]["id"] if jobs else None})


def job(name: str, second: int, processing: int = 3) -> dict[str, Any]:
    return JOB | {"id": name, "created_at": f"2026-01-01T00:00:{second:02d}Z", "request_counts": COUNTS | {"processing": processing}}


def test_case_18_find_lists_the_window_with_counts() -> None:
    since = 1767225620.0
    found, calls = run(
        DIALECT.find(TAG, since), page(job("c", 40), job("b/2", 30, 7), more=True), page(job("a", 20), job("z", 19), more=True)
    )
    assert [call.path for call in calls] == [
        "/v1/messages/batches?limit=100",
        "/v1/messages/batches?limit=100&after_id=b%2F2",
    ]
    assert [(one.handle.id, one.matched_by, one.total) for one in found] == [("c", "window", 3), ("b/2", "window", 7), ("a", "window", 3)]
    assert found[0].created_at == 1767225640.0 and found[0].status is BatchStatus.RUNNING


def test_find_ends_with_the_list_and_never_loops() -> None:
    assert run(DIALECT.find(TAG, 0.0), page(more=False))[0] == []
    again = page(job("a", 1), more=True)
    found, calls = run(DIALECT.find(TAG, 0.0), again, again)
    assert len(calls) == 2 and len(found) == 2


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": "refusal", "usage": {}}


def line(name: str, kind: str, **result: Any) -> bytes:
    return encode({"custom_id": name, "result": {"type": kind, **result}})


def failure(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": "no", **more}, "request_id": "req_1"}


FILE = b"\n".join(
    [
        line("b", "succeeded", message=MESSAGE),
        line("a", "errored", error=failure("invalid_request_error")),
        b"",
        b'{"custom_id":"torn","result":{"type":"succ',
        b'{"result":{"type":"succeeded"}}',
        b'\xff{"custom_id":"x"}',
        line("c", "canceled"),
        line("d", "expired"),
        line("e", "errored", error=failure("rate_limit_error")),
        line("f", "errored", error=failure("billing_error")),
        line("g", "errored", error=failure("invalid_request_error", details={"error_code": "contract_spend_limit_reached"})),
        line("b", "succeeded", message=MESSAGE),
        line("h", "brand_new"),
        line("i", "succeeded"),
        '{"custom_id":"j","result":{"type":"succeeded","message":{"text":"a\u2028b\u0085c"}}}'.encode(),
    ]
)


def decoded(data: bytes, size: int) -> list[Any]:
    decoder = DIALECT.row_decoder("output")
    found = [row for start in range(0, len(data), size) for row in decoder.feed(data[start : start + size])]
    return found + decoder.close()


def test_rows_of_every_kind() -> None:
    found = decoded(FILE, len(FILE))
    outcomes = [(row.line, row.custom_id, row.outcome, row.error.kind if row.error else None) for row in found]
    assert outcomes == [
        (1, "b", "succeeded", None),
        (2, "a", "errored", ErrorKind.BAD_REQUEST),
        (4, None, "errored", ErrorKind.UNKNOWN),  # case 10: a torn line spoils nothing else
        (5, None, "errored", ErrorKind.UNKNOWN),
        (6, None, "errored", ErrorKind.UNKNOWN),
        (7, "c", "cancelled", ErrorKind.CANCELLED),
        (8, "d", "expired", ErrorKind.TIMEOUT),
        (9, "e", "errored", ErrorKind.RATE_LIMIT),  # case 13
        (10, "f", "errored", ErrorKind.QUOTA),  # case 17
        (11, "g", "errored", ErrorKind.QUOTA),
        (12, "b", "succeeded", None),  # case 8: the engine judges duplicates
        (13, "h", "errored", ErrorKind.UNKNOWN),
        (14, "i", "errored", ErrorKind.UNKNOWN),
        (15, "j", "succeeded", None),  # case 23: U+2028 and U+0085 end no line
    ]
    assert decode(found[0].body) == MESSAGE and found[0].status == 200
    assert (found[1].status, found[1].request_id) == (400, "req_1")
    assert decode(found[-1].body)["text"] == "a\u2028b\u0085c"


@pytest.mark.parametrize("size", [1, 7, 64])
def test_any_split_gives_the_same_rows(size: int) -> None:
    def flat(rows: list[Any]) -> list[Any]:
        return [(r.line, r.custom_id, r.outcome, r.body, r.error.message if r.error else None) for r in rows]

    assert flat(decoded(FILE, size)) == flat(decoded(FILE, len(FILE)))
