"""Gemini files and batches over plain HTTP."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256

import pytest

from headgate.sim.faults import BatchEnd, Match, Rows, Rule
from headgate.sim.server import Simulator
from headgate.sim.settings import Limits, SimSettings
from headgate.wire.json import Json, JsonObject

CREATE = "/gemini/v1beta/models/sim-flash:batchGenerateContent"
Http = Callable[..., Json]


def body(index: int) -> JsonObject:
    return {"contents": [{"role": "user", "parts": [{"text": f"number: {index}"}]}]}


def upload(http: Http, data: bytes, name: str = "rows", cut: int | None = None) -> JsonObject:
    start = {
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": str(len(data)),
        "x-goog-upload-header-content-type": "application/jsonl",
    }
    opened = http("POST", "/gemini/upload/v1beta/files", {"file": {"displayName": name}}, start)
    assert opened.headers["x-goog-upload-status"] == "active"
    path = opened.headers["x-goog-upload-url"].removeprefix(http.sim.url)
    offset = 0
    if cut is not None:
        sent = http("POST", path, data[:cut], {"x-goog-upload-command": "upload", "x-goog-upload-offset": "0"})
        assert (sent.headers["x-goog-upload-status"], sent.headers["x-goog-upload-size-received"]) == ("active", str(cut))
        offset = cut
    final = http("POST", path, data[offset:], {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": str(offset)})
    assert final.headers["x-goog-upload-status"] == "final"
    return final.json()["file"]


def submit_file(http: Http, count: int, display: str = "tag-1") -> JsonObject:
    data = b"".join(json.dumps({"key": f"row-{index}", "request": body(index)}).encode() + b"\n" for index in range(count))
    file = upload(http, data)
    return http("POST", CREATE, {"batch": {"display_name": display, "input_config": {"file_name": file["name"]}}}).json()


def submit_inline(http: Http, count: int) -> JsonObject:
    rows = [{"request": body(index), "metadata": {"key": f"row-{index}"}} for index in range(count)]
    return http("POST", CREATE, {"batch": {"displayName": "tag-2", "inputConfig": {"requests": {"requests": rows}}}}).json()


def get(http: Http, batch: JsonObject) -> JsonObject:
    return http("GET", f"/gemini/v1beta/{batch['name']}").json()


def download(http: Http, batch: JsonObject) -> list[JsonObject]:
    name = batch["response"]["responsesFile"]
    reply = http("GET", f"/gemini/download/v1beta/{name}:download?alt=media")
    assert http("GET", f"/gemini/v1beta/{name}:download?alt=media").body == reply.body
    return [json.loads(line) for line in reply.body.split(b"\n") if line]


def test_files(http: Http) -> None:
    data = b'{"key": "a"}\n' * 50
    file = upload(http, data, cut=100)
    assert (file["sizeBytes"], file["displayName"], file["state"]) == (str(len(data)), "rows", "ACTIVE")
    assert file["sha256Hash"] == b64encode(sha256(data).hexdigest().encode()).decode()
    path = f"/gemini/v1beta/{file['name']}"
    assert http("GET", path).json() == file
    assert [item["name"] for item in http("GET", "/gemini/v1beta/files").json()["files"]] == [file["name"]]
    assert http("GET", path + ":download?alt=media").status == 400
    assert http("GET", path, headers={"x-goog-api-key": "sim-other"}).status == 403
    assert http("DELETE", path).json() == {}
    assert http("GET", path).json()["error"]["status"] == "PERMISSION_DENIED"


def test_an_upload_must_continue_where_it_stopped(http: Http) -> None:
    start = {"x-goog-upload-command": "start", "x-goog-upload-header-content-length": "10"}
    path = http("POST", "/gemini/upload/v1beta/files", {}, start).headers["x-goog-upload-url"].removeprefix(http.sim.url)
    assert http("POST", path, b"12345", {"x-goog-upload-command": "upload", "x-goog-upload-offset": "0"}).status == 200
    assert http("POST", path, b"12345", {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "3"}).status == 400
    asked = http("POST", path, None, {"x-goog-upload-command": "query"})
    assert asked.headers["x-goog-upload-size-received"] == "5"


def test_file_names_cannot_leave_the_store(http: Http) -> None:
    start = {"x-goog-upload-command": "start", "x-goog-upload-header-content-length": "1"}
    assert http("POST", "/gemini/upload/v1beta/files", {"file": {"name": "files/../../x"}}, start).status == 400


def test_a_file_batch(sim: Simulator, http: Http) -> None:
    batch = submit_file(http, 20)
    assert batch["metadata"]["batchStats"] == {"requestCount": "20", "pendingRequestCount": "20"}
    states = []
    for _ in range(80):
        states.append(get(http, batch)["metadata"]["state"])
        sim.advance(1)
    assert list(dict.fromkeys(states)) == ["BATCH_STATE_PENDING", "BATCH_STATE_RUNNING", "BATCH_STATE_SUCCEEDED"]
    batch = get(http, batch)
    assert batch["done"] is True and batch["metadata"]["displayName"] == "tag-1"
    rows = download(http, batch)
    names = [item["key"] for item in rows]
    assert sorted(names) == sorted(f"row-{index}" for index in range(20)) and names != sorted(names)
    spent = [item["response"]["usageMetadata"] for item in rows]
    assert sim.bill.total == sum((use["promptTokenCount"] * 100 + use["candidatesTokenCount"] * 400) // 2 for use in spent)
    assert [line.custom_id for line in sim.bill.lines] == names


def test_an_inline_batch_keeps_positions_and_metadata(sim: Simulator, http: Http) -> None:
    batch = submit_inline(http, 5)
    sim.advance(3600)
    batch = get(http, batch)
    rows = batch["response"]["inlinedResponses"]["inlinedResponses"]
    assert [item["metadata"]["key"] for item in rows] == [f"row-{index}" for index in range(5)]
    assert batch["metadata"]["output"]["inlinedResponses"]["inlinedResponses"] == rows
    assert http("GET", "/gemini/v1beta/files").json() == {}
    assert len(sim.bill) == 5


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(
    ("script", "fields", "billed"),
    [
        (Rows("error", error="rate_limit"), {"error"}, 0),
        (Rows("empty"), {"response"}, 6),
        (Rows("refusal"), {"response"}, 6),
        (Rows("expired"), {"error"}, 0),
    ],
)
def test_row_faults(sim: Simulator, http: Http, inline: bool, script: Rows, fields: set[str], billed: int) -> None:
    sim.set_faults((Rule(script, Match(operation="batch_create")),))
    batch = submit_inline(http, 6) if inline else submit_file(http, 6)
    sim.advance(3600)
    batch = get(http, batch)
    rows = batch["response"]["inlinedResponses"]["inlinedResponses"] if inline else download(http, batch)
    assert [set(item) - {"key", "metadata"} for item in rows] == [fields] * 6
    assert len(sim.bill) == billed
    if script.row == "empty":
        assert all("candidates" not in item["response"] and "promptFeedback" in item["response"] for item in rows)
    if script.row == "refusal":
        assert {item["response"]["candidates"][0]["finishReason"] for item in rows} == {"SAFETY"}


@pytest.mark.parametrize(
    ("end", "state", "billed"),
    [("expired", "BATCH_STATE_EXPIRED", 3), ("cancelled", "BATCH_STATE_CANCELLED", 3), ("failed", "BATCH_STATE_FAILED", 0)],
)
def test_scripted_ends(sim: Simulator, http: Http, end: str, state: str, billed: int) -> None:
    sim.set_faults((Rule(BatchEnd(end, share=0.5), Match(operation="batch_create")),))
    batch = submit_file(http, 6)
    sim.advance(3600)
    batch = get(http, batch)
    assert (batch["metadata"]["state"], batch["done"], len(sim.bill)) == (state, True, billed)
    assert ("error" in batch) == (billed == 0)
    assert billed == 0 or sum("response" in item for item in download(http, batch)) == billed


def test_a_cancelled_batch_has_no_results_and_costs_nothing(sim: Simulator, http: Http) -> None:
    batch = submit_file(http, 6)
    sim.advance(30)
    assert http("POST", f"/gemini/v1beta/{batch['name']}:cancel", {}).json() == {}
    sim.advance(60)
    batch = get(http, batch)
    assert batch["metadata"]["state"] == "BATCH_STATE_CANCELLED" and batch["error"]["code"] == 1 and "response" not in batch
    assert len(sim.bill) == 0


def test_a_line_that_is_not_json_fails_the_batch(sim: Simulator, http: Http) -> None:
    file = upload(http, b'{"key": "a", "request": {}}\nnope\n')
    batch = http("POST", CREATE, {"batch": {"input_config": {"file_name": file["name"]}}}).json()
    sim.advance(60)
    assert get(http, batch)["metadata"]["state"] == "BATCH_STATE_FAILED"


def test_listing_and_deleting(sim: Simulator, http: Http) -> None:
    made = [submit_inline(http, 1)["name"] for _ in range(3)]
    first = http("GET", "/gemini/v1beta/batches?pageSize=2").json()
    second = http("GET", f"/gemini/v1beta/batches?pageSize=2&pageToken={first['nextPageToken']}").json()
    assert [item["name"] for item in first["operations"] + second["operations"]] == made[::-1]
    assert http("DELETE", f"/gemini/v1beta/{made[0]}").json() == {}
    assert http("GET", f"/gemini/v1beta/{made[0]}").status == 404
    assert http("GET", f"/gemini/v1beta/{made[1]}", headers={"x-goog-api-key": "sim-other"}).status == 404


class TestSmallLimits:
    """Limits of the service, made small."""

    @pytest.fixture
    def settings(self) -> SimSettings:
        return SimSettings(limits=Limits(gemini_active=2, gemini_inline_bytes=2000))

    def test_too_many_at_once(self, sim: Simulator, http: Http) -> None:
        assert ["name" in submit_inline(http, 1) for _ in range(3)] == [True, True, False]
        sim.advance(3600)
        assert "name" in submit_inline(http, 1)

    def test_too_large_inline(self, http: Http) -> None:
        assert submit_inline(http, 100)["error"]["status"] == "INVALID_ARGUMENT"
