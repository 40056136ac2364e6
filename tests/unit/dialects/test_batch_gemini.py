"""The Gemini batch envelope: every flow against scripted replies, every numbered edge case of batches that this provider can produce."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.batch import BatchHandle, BatchRequestRow, BatchRow, BatchRows, BatchState, BatchStatus, BatchTag, Candidate
from headgate.dialects.batch_gemini import DIALECT, UPLOAD_ATTEMPTS, parse_operation
from headgate.dialects.batch_gemini import INLINE as SMALL_JOBS
from headgate.errors import ErrorKind, ProviderError, UsageError, WireError
from headgate.wire.http import Answer, Call, Download, Flow, Reply, Send, Stored, Upload
from headgate.wire.json import Json, JsonObject, encode

T = TypeVar("T")
TAG = BatchTag(
    key="hg-7-abc", prefix="r1-", model="gemini-2.5-flash", endpoint="/v1beta/models/gemini-2.5-flash:generateContent", boundary="b"
)
ROWS = BatchRows(tuple(BatchRequestRow(f"r1-{n}", TAG.endpoint, b'{"contents":[]}') for n in range(3)))
HANDLE = BatchHandle("batches/b1")
UPLOAD_URL = "https://generativelanguage.googleapis.com/upload/v1beta/files?upload_id=u&upload_protocol=resumable"


def drive(flow: Flow[T], *answers: Answer) -> tuple[T, list[Call]]:
    """Run a flow against answers given in order, all of which it must use."""
    calls: list[Call] = []
    waiting = iter(answers)
    try:
        call = next(flow)
        while True:
            calls.append(call)
            call = flow.send(next(waiting))
    except StopIteration as end:
        assert next(waiting, None) is None, "the flow made fewer calls than scripted"
        result: T = end.value
        return result, calls


def ok(body: Json = None, **headers: str) -> Reply:
    return Reply(200, {name.replace("_", "-"): value for name, value in headers.items()}, encode(body if body is not None else {}))


def refused(status: int, word: str, *details: Json) -> Reply:
    return Reply(status, {}, encode({"error": {"code": status, "status": word, "message": "m", "details": details}}))


STARTED = ok(x_goog_upload_url=UPLOAD_URL)
UPLOADED = ok({"file": {"name": "files/f1", "state": "ACTIVE"}})
CREATED = ok({"name": "batches/b1", "metadata": {"state": "BATCH_STATE_PENDING", "createTime": "2026-07-21T16:05:49.689379878Z"}})
FLAKY = refused(400, "INVALID_ARGUMENT")


def test_submit_uploads_and_creates() -> None:
    handle, calls = drive(DIALECT.submit(TAG, ROWS), STARTED, UPLOADED, CREATED)
    assert handle == BatchHandle("batches/b1", "files/f1", pytest.approx(1784649949.689379))
    start, up, create = calls
    assert isinstance(start, Send) and isinstance(up, Upload) and isinstance(create, Send)
    headers = dict(start.headers)
    assert (start.method, start.path, json.loads(start.body)) == ("POST", "/upload/v1beta/files", {"file": {"display_name": "hg-7-abc"}})
    assert (headers["x-goog-upload-protocol"], headers["x-goog-upload-command"]) == ("resumable", "start")
    data = b"".join(up.body)
    assert headers["x-goog-upload-header-content-length"] == str(up.body.length) == str(len(data))
    assert b"".join(up.body) == data, "the body can be sent again"
    assert [json.loads(line) for line in data.splitlines()] == [{"key": f"r1-{n}", "request": {"contents": []}} for n in range(3)]
    assert (up.path, dict(up.headers)["x-goog-upload-command"]) == (UPLOAD_URL, "upload, finalize")
    assert create.path == "/v1beta/models/gemini-2.5-flash:batchGenerateContent"
    assert json.loads(create.body) == {"batch": {"display_name": "hg-7-abc", "input_config": {"file_name": "files/f1"}}}


def test_rows_never_hold_a_line_feed_and_come_in_chunks() -> None:
    rows = BatchRows(
        (
            BatchRequestRow("a\n", "", b'{\n "x": "\xe2\x80\xa8"}'),
            *(BatchRequestRow(str(n), "", b'{"x":"%s"}' % (b"y" * 2000)) for n in range(400)),
        )
    )
    _, calls = drive(DIALECT.submit(TAG, rows), STARTED, UPLOADED, CREATED)
    assert isinstance(calls[1], Upload)
    chunks = list(calls[1].body)
    assert len(chunks) > 2
    lines = b"".join(chunks).split(b"\n")
    assert len(lines) == 402
    assert json.loads(lines[0]) == {"key": "a\n", "request": {"x": "\u2028"}}


def test_transient_upload_refusals_are_repeated_from_the_start() -> None:
    handle, calls = drive(DIALECT.submit(TAG, ROWS), FLAKY, STARTED, FLAKY, STARTED, UPLOADED, CREATED)
    assert handle.id == "batches/b1"
    assert [type(call).__name__ for call in calls] == ["Send", "Send", "Upload", "Send", "Upload", "Send"]


def test_transient_upload_refusals_are_bounded() -> None:
    with pytest.raises(ProviderError) as caught:
        drive(DIALECT.submit(TAG, ROWS), *([STARTED, FLAKY] * UPLOAD_ATTEMPTS))
    assert caught.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ([refused(400, "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"})], ErrorKind.AUTH),
        ([refused(429, "RESOURCE_EXHAUSTED")], ErrorKind.RATE_LIMIT),
        ([STARTED, refused(503, "UNAVAILABLE")], ErrorKind.OVERLOADED),
        ([STARTED, UPLOADED, refused(429, "RESOURCE_EXHAUSTED", {"retryDelay": "30s"})], ErrorKind.RATE_LIMIT),
        ([STARTED, UPLOADED, refused(400, "INVALID_ARGUMENT")], ErrorKind.BAD_REQUEST),
    ],
)
def test_other_refusals_are_raised_at_once(replies: list[Reply], kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        drive(DIALECT.submit(TAG, ROWS), *replies)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    "replies",
    [
        [ok()],
        [ok(x_goog_upload_url="ftp://e.org")],
        [STARTED, ok({"file": {}})],
        [STARTED, ok({"file": {"name": "files/../../x"}})],
        [STARTED, UPLOADED, ok({"name": "models/x"})],
        [STARTED, UPLOADED, Reply(200, {}, b"<html>")],
    ],
)
def test_odd_replies_are_wire_errors(replies: list[Reply]) -> None:
    with pytest.raises(WireError):
        drive(DIALECT.submit(TAG, ROWS), *replies)


def operation(state: str | None, **metadata: Json) -> JsonObject:
    return {"name": "batches/b1", "metadata": {**({"state": state} if state else {}), **metadata}}


STATES = {
    "QUEUED": BatchStatus.QUEUED,
    "PENDING": BatchStatus.QUEUED,
    "RUNNING": BatchStatus.RUNNING,
    "UPDATING": BatchStatus.RUNNING,
    "CANCELLING": BatchStatus.CANCELLING,
    "SUCCEEDED": BatchStatus.COMPLETED,
    "PARTIALLY_SUCCEEDED": BatchStatus.PARTIAL,
    "EXPIRED": BatchStatus.EXPIRED,
    "CANCELLED": BatchStatus.CANCELLED,
    "FAILED": BatchStatus.FAILED,
    "PAUSED": BatchStatus.FAILED,
    "UNSPECIFIED": BatchStatus.UNKNOWN,
    "SOMETHING_NEW": BatchStatus.UNKNOWN,
}


@pytest.mark.parametrize("prefix", ["BATCH_STATE_", "JOB_STATE_"])
@pytest.mark.parametrize(("word", "expected"), STATES.items())
def test_state_words(prefix: str, word: str, expected: BatchStatus) -> None:
    state, calls = drive(DIALECT.status(HANDLE), ok(operation(prefix + word)))
    assert (state.status, state.raw_status) == (expected, prefix + word)
    assert isinstance(calls[0], Send) and calls[0].path == "/v1beta/batches/b1"


def test_counts_are_strings_and_missing_ones_are_zero() -> None:
    running = parse_operation(
        operation("BATCH_STATE_RUNNING", batchStats={"requestCount": "4", "pendingRequestCount": "3", "successfulRequestCount": "1"})
    )
    assert (running.total, running.succeeded, running.failed) == (4, 1, 0)
    unknown = parse_operation(operation("BATCH_STATE_RUNNING"))
    assert (unknown.total, unknown.succeeded, unknown.failed) == (None, None, None)


def test_edge_2_success_without_output_lags() -> None:
    assert parse_operation(operation("BATCH_STATE_SUCCEEDED")).lagging
    assert parse_operation(operation("JOB_STATE_PARTIALLY_SUCCEEDED", output={"responsesFile": ""})).lagging
    done = parse_operation(operation("BATCH_STATE_SUCCEEDED", output={"responsesFile": "files/batch-b1"}))
    assert not done.lagging and done.output_ref == "files/batch-b1"
    assert not parse_operation(operation("BATCH_STATE_EXPIRED")).lagging


def test_edge_5_failed_operation_keeps_its_error() -> None:
    error = {"code": 3, "message": "bad line"}
    state = parse_operation({"name": "batches/b1", "metadata": {}, "done": True, "error": error})
    assert (state.status, state.errors) == (BatchStatus.FAILED, (error,))
    done = parse_operation({"name": "batches/b1", "done": True, "response": {"responsesFile": "files/x"}})
    assert (done.status, done.output_ref) == (BatchStatus.COMPLETED, "files/x")


def test_a_job_that_is_gone() -> None:
    with pytest.raises(ProviderError) as caught:
        drive(DIALECT.status(HANDLE), refused(404, "NOT_FOUND"))
    assert caught.value.kind is ErrorKind.NOT_FOUND
    with pytest.raises(WireError):
        drive(DIALECT.status(BatchHandle("batches/../models")))


@pytest.mark.parametrize("status", [BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED, BatchStatus.FAILED])
def test_edge_4_results_exist_in_any_terminal_state(status: BatchStatus) -> None:
    state = BatchState(status=status, raw_status="x", output_ref="files/batch-b1")
    files, calls = drive(DIALECT.results(HANDLE, state), Stored(200, {}, "/tmp/out", 5))
    assert calls == [Download("GET", "/download/v1beta/files/batch-b1:download?alt=media")]
    assert [(file.kind, file.path) for file in files] == [("output", "/tmp/out")]


def test_inline_results_are_downloaded_too() -> None:
    state = parse_operation(operation("BATCH_STATE_SUCCEEDED", output={"inlinedResponses": {"inlinedResponses": [{}]}}))
    _, calls = drive(DIALECT.results(HANDLE, state), Stored(200, {}, "/tmp/out", 5))
    assert calls == [Download("GET", "/v1beta/batches/b1")]


def test_edge_16_results_that_are_gone_or_never_were() -> None:
    assert drive(DIALECT.results(HANDLE, BatchState(status=BatchStatus.EXPIRED, raw_status="x"))) == ([], [])
    gone = BatchState(status=BatchStatus.COMPLETED, raw_status="x", output_ref="files/f")
    with pytest.raises(ProviderError) as caught:
        drive(DIALECT.results(HANDLE, gone), Stored(404, {}, "/tmp/err", 5))
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_the_files_of_a_job_and_the_job_are_deleted() -> None:
    handle, state = BatchHandle("batches/b1", "files/f1"), parse_operation(operation("BATCH_STATE_SUCCEEDED"))
    assert DIALECT.delete is not None
    _, calls = drive(DIALECT.delete(handle, state), refused(404, "NOT_FOUND"), ok())
    assert calls == [Send("DELETE", f"/v1beta/{name}") for name in ("files/f1", "batches/b1")]
    with pytest.raises(ProviderError):
        drive(DIALECT.delete(HANDLE, state), refused(403, "PERMISSION_DENIED"))


def test_edge_19_cancel() -> None:
    accepted, calls = drive(DIALECT.cancel(HANDLE), ok())
    assert accepted and isinstance(calls[0], Send) and calls[0].path == "/v1beta/batches/b1:cancel"
    late = refused(400, "FAILED_PRECONDITION")
    assert drive(DIALECT.cancel(HANDLE), late, ok(operation("BATCH_STATE_SUCCEEDED")))[0] is False
    with pytest.raises(ProviderError):
        drive(DIALECT.cancel(HANDLE), late, ok(operation("BATCH_STATE_RUNNING")))
    with pytest.raises(ProviderError) as caught:
        drive(DIALECT.cancel(HANDLE), refused(404, "NOT_FOUND"))
    assert caught.value.kind is ErrorKind.NOT_FOUND


def listed(name: str, display: str, created: str) -> JsonObject:
    stats = {"requestCount": "3"}
    return {
        "name": f"batches/{name}",
        "metadata": {
            "displayName": display,
            "createTime": created,
            "state": "BATCH_STATE_RUNNING",
            "batchStats": stats,
            "inputConfig": {"fileName": "files/f1"},
        },
    }


def test_edge_18_find_pages_until_since_and_matches_the_tag() -> None:
    since = 1_784_649_600.0  # 2026-07-21T16:00:00Z
    first = ok(
        {
            "operations": [listed("b9", "other", "2026-07-21T17:00:00Z"), listed("b1", TAG.key, "2026-07-21T16:05:00Z")],
            "nextPageToken": "p/2",
        }
    )
    second = ok({"operations": [listed("b0", "older", "2026-07-20T00:00:00Z")], "nextPageToken": "p3"})
    found, calls = drive(DIALECT.find(TAG, since), first, second)
    assert found == [Candidate(BatchHandle("batches/b1", "files/f1", 1_784_649_900.0), "tag", 3, 1_784_649_900.0, BatchStatus.RUNNING)]
    assert [call.path for call in calls] == ["/v1beta/batches?pageSize=100", "/v1beta/batches?pageSize=100&pageToken=p%2F2"]


def test_find_ends_where_the_list_ends() -> None:
    assert drive(DIALECT.find(TAG, 0.0), ok({}))[0] == []
    stuck = ok({"operations": [], "nextPageToken": "same"})
    assert drive(DIALECT.find(TAG, 0.0), stuck, stuck)[0] == []
    assert drive(DIALECT.find(TAG, 0.0), ok({"operations": 5}))[0] == []


def rows_of(data: bytes, cuts: tuple[int, ...] = ()) -> list[BatchRow]:
    decoder = DIALECT.row_decoder("output")
    edges = [0, *cuts, len(data)]
    rows = [row for start, end in pairwise(edges) for row in decoder.feed(data[start:end])]
    return rows + decoder.close()


def answer(text: str = "a") -> JsonObject:
    return {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}]}


def lines(*rows: Json) -> bytes:
    return b"".join(encode(row) + b"\n" for row in rows)


def test_edge_6_8_9_rows_pass_through_in_file_order() -> None:
    rows = rows_of(lines(*({"key": key, "response": answer(key)} for key in ("r1-2", "r1-0", "r1-2", "foreign"))))
    assert [row.custom_id for row in rows] == ["r1-2", "r1-0", "r1-2", "foreign"]
    assert [row.line for row in rows] == [1, 2, 3, 4]
    assert {(row.outcome, row.status) for row in rows} == {("succeeded", 200)}
    assert json.loads(rows[0].body or b"") == answer("r1-2")


def test_edge_10_a_torn_line_spoils_nothing_else() -> None:
    data = lines({"key": "a", "response": answer()}) + b'{"key":"b","resp\n' + b"\xff\xfe\n\n" + lines({"key": "c", "response": answer()})
    rows = rows_of(data + b'{"key":"d","response":{"candi')
    assert [(row.custom_id, row.outcome, row.line) for row in rows] == [
        ("a", "succeeded", 1),
        (None, "errored", 2),
        (None, "errored", 3),
        ("c", "succeeded", 5),
        (None, "errored", 6),
    ]


def test_edge_11_and_12_blocked_answers_are_for_the_chat_dialect() -> None:
    (row,) = rows_of(lines({"key": "a", "response": {"promptFeedback": {"blockReason": "SAFETY"}}}))
    assert (row.outcome, row.body) == ("succeeded", b'{"promptFeedback":{"blockReason":"SAFETY"}}')


@pytest.mark.parametrize(
    ("error", "outcome", "kind", "transient"),
    [
        ({"code": 8, "message": "quota"}, "errored", ErrorKind.RATE_LIMIT, True),
        ({"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}, "errored", ErrorKind.RATE_LIMIT, True),
        ({"code": 3, "message": "bad"}, "errored", ErrorKind.BAD_REQUEST, False),
        ({"code": 1, "message": "cancelled"}, "cancelled", ErrorKind.CANCELLED, False),
        ({"code": 8, "details": [{"reason": "BILLING_DISABLED"}]}, "errored", ErrorKind.QUOTA, False),
        ({}, "errored", ErrorKind.UNKNOWN, False),
    ],
)
def test_edge_12_13_17_error_rows(error: JsonObject, outcome: str, kind: ErrorKind, transient: bool) -> None:
    (row,) = rows_of(lines({"key": "a", "error": error}))
    assert row.error is not None
    assert (row.custom_id, row.outcome, row.error.kind, row.error.transient) == ("a", outcome, kind, transient)


def test_rows_without_content_or_id() -> None:
    rows = rows_of(lines({"key": "a"}, {"key": 5, "response": {}}, {"response": {}}, [], {"key": "", "response": "text"}))
    assert [(row.custom_id, row.outcome) for row in rows] == [
        ("a", "errored"),
        (None, "succeeded"),
        (None, "succeeded"),
        (None, "errored"),
        ("", "errored"),
    ]


def test_edge_23_line_separators_inside_json() -> None:
    text = "a\u2028b\u0085c\r"
    data = json.dumps({"key": "k", "response": answer(text)}, ensure_ascii=False).encode() + b"\r\n"
    (row,) = rows_of(data)
    assert json.loads(row.body or b"") == answer(text)


INLINE = {
    "name": "batches/b1",
    "metadata": {
        "state": "BATCH_STATE_SUCCEEDED",
        "output": {
            "inlinedResponses": {
                "inlinedResponses": [
                    {"response": answer("x"), "metadata": {"key": "r1-0"}},
                    {"error": {"code": 14, "message": "busy"}, "metadata": {"custom_id": "r1-1"}},
                    {"response": answer("y")},
                ]
            }
        },
    },
}


@pytest.mark.parametrize(
    "document", [json.dumps(INLINE).encode(), json.dumps(INLINE, indent=1).encode(), json.dumps(INLINE, indent=2).encode() + b"\n"]
)
def test_inline_results(document: bytes) -> None:
    for cuts in ((), (1,), (3, 40, 41), tuple(range(1, len(document)))):
        rows = rows_of(document, cuts)
        assert [(row.custom_id, row.outcome, row.line) for row in rows] == [
            ("r1-0", "succeeded", 1),
            ("r1-1", "errored", 2),
            (None, "succeeded", 3),
        ]
    with pytest.raises(WireError):
        rows_of(json.dumps(INLINE, indent=2).encode()[:-9])


FILE = (
    lines({"key": "a", "response": answer("é\u2028")}, {"key": "b", "error": {"code": 8}})
    + b"broken\n\n"
    + encode({"key": "c", "response": answer()})
)


@given(st.lists(st.integers(0, len(FILE)), max_size=6))
def test_any_split_gives_the_same_rows(cuts: list[int]) -> None:
    def seen(rows: list[BatchRow]) -> list[tuple[object, ...]]:
        return [(row.custom_id, row.outcome, row.line, row.body) for row in rows]

    assert seen(rows_of(FILE, tuple(sorted(cuts)))) == seen(rows_of(FILE))
    assert len(rows_of(FILE)) == 4


CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).resolve().parents[4] / "shared" / "corpus"))


def recorded(surface: str) -> Iterator[JsonObject]:
    folder = CORPUS / "core" / "gemini" / surface
    if not folder.is_dir():
        pytest.skip(f"no recorded traffic at {CORPUS}: set HEADGATE_CORPUS")
    for file in sorted(folder.glob("*.json")):
        body = json.loads(file.read_text(encoding="utf-8"))["response"]["body"]
        yield body.get("batch", body)


@pytest.mark.corpus
def test_recorded_operations() -> None:
    found = [(state.status, state.total, state.succeeded, state.output_ref) for state in map(parse_operation, recorded("batches"))]
    assert found == [
        (BatchStatus.COMPLETED, 4, 4, "files/batch-o6k1fq34vm2ou69wy5w72wqw56qjigbln6yy"),
        (BatchStatus.RUNNING, 2, 0, None),
        (BatchStatus.COMPLETED, 2, 2, "batches/31u18uq6dr4ods3957z38i1mbfa581k01xcq"),
    ]
    created = [parse_operation(body) for body in recorded("batchGenerateContent")]
    assert [(state.status, state.total) for state in created] == [(BatchStatus.QUEUED, 2)] * 2
    inline = [rows_of(json.dumps(body, indent=1).encode()) for body in recorded("batches") if "inlinedResponses" in json.dumps(body)]
    assert [[(row.custom_id, row.outcome) for row in rows] for rows in inline] == [[("0", "succeeded"), ("1", "succeeded")]]


def test_a_small_job_can_carry_its_rows_inline() -> None:
    handle, calls = drive(SMALL_JOBS.submit(TAG, ROWS), CREATED)
    assert handle == BatchHandle("batches/b1", None, pytest.approx(1784649949.689379))
    (create,) = calls
    assert isinstance(create, Send) and create.once and create.path == "/v1beta/models/gemini-2.5-flash:batchGenerateContent"
    requests = [{"request": {"contents": []}, "metadata": {"key": f"r1-{n}"}} for n in range(3)]
    assert json.loads(create.body) == {"batch": {"display_name": "hg-7-abc", "input_config": {"requests": {"requests": requests}}}}


@pytest.mark.parametrize("rows", [1001, 2], ids=["many-rows", "wide-rows"])
def test_a_job_that_does_not_fit_one_call_goes_up_as_a_file(rows: int) -> None:
    body = b'{"text":"%b"}' % (b"x" * (10 if rows > 2 else 10_000_000))
    many = BatchRows(tuple(BatchRequestRow(f"r1-{n}", TAG.endpoint, body) for n in range(rows)))
    handle, calls = drive(SMALL_JOBS.submit(TAG, many), STARTED, UPLOADED, CREATED)
    assert handle.input_file == "files/f1" and len(calls) == 3


def test_a_job_that_gemini_would_refuse_is_not_sent() -> None:
    with pytest.raises(UsageError, match="occurs twice"):
        drive(DIALECT.submit(TAG, BatchRows((ROWS.rows[0], ROWS.rows[0]))))
