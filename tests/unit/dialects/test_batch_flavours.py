"""Providers that speak OpenAI's batch envelope with differences."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import pytest

from headgate.dialects.batch import BatchDialect, BatchHandle, BatchRequestRow, BatchRows, BatchStatus, BatchTag
from headgate.dialects.batch_flavours import BATCH_AZURE, BATCH_GROQ, BATCH_TOGETHER
from headgate.errors import ErrorKind, ProviderError, UsageError
from headgate.wire.http import Answer, Call, Flow, Reply, Save, Send, Upload

T = TypeVar("T")
CHAT = "/v1/chat/completions"
HANDLE = BatchHandle("job-1", "file-1")


def tag(endpoint: str = CHAT, window: str = "24h") -> BatchTag:
    return BatchTag("run6-0-1-1", "run6-1-1", "m", endpoint, "boundary-0123456789", window=window)


def rows(endpoint: str = CHAT, custom_id: str = "run6-1-1-0") -> BatchRows:
    return BatchRows((BatchRequestRow(custom_id, endpoint, b'{"model":"m"}'),))


def reply(value: Any, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(value).encode())


def run(flow: Flow[T], *answers: Answer) -> tuple[T, list[Call | Save]]:
    """Drive a flow with prepared answers; every answer must be used."""
    calls: list[Call | Save] = []
    left = list(answers)
    try:
        call = next(flow)
        while True:
            calls.append(call)
            call = flow.send(left.pop(0))
    except StopIteration as stop:
        assert not left
        result: T = stop.value
        return result, calls


def together_job(status: str = "IN_PROGRESS", **fields: Any) -> dict[str, Any]:
    times = {"created_at": "2026-11-20T10:00:00.123Z", "job_deadline": "2026-11-21T10:00:00Z"}
    return {"id": "job-1", "input_file_id": "file-1", "status": status, "progress": 40.0, "endpoint": CHAT, **times, **fields}


def test_a_batch_of_together() -> None:
    created = reply({"job": together_job("VALIDATING"), "warning": ""}, 201)
    handle, (uploaded, create) = run(BATCH_TOGETHER.submit(tag(), rows()), reply({"id": "file-1"}), created)
    assert isinstance(uploaded, Upload) and isinstance(create, Send)
    assert (handle.id, handle.input_file, handle.created_at) == ("job-1", "file-1", 1795168800.123)
    form = b"".join(uploaded.body)
    assert uploaded.path == "/files/upload"
    assert b'name="purpose"\r\n\r\nbatch-api\r\n' in form and b'name="file_name"\r\n\r\nrun6-0-1-1.jsonl\r\n' in form
    assert b'{"custom_id":"run6-1-1-0","body":{"model":"m"}}\n' in form
    assert json.loads(create.body) == {"input_file_id": "file-1", "endpoint": CHAT, "completion_window": "24h"}


@pytest.mark.parametrize(
    ("job", "status", "lagging"),
    [
        (together_job("VALIDATING"), BatchStatus.QUEUED, False),
        (together_job("IN_PROGRESS"), BatchStatus.RUNNING, False),
        (together_job("COMPLETED", output_file_id="o"), BatchStatus.COMPLETED, False),
        (together_job("COMPLETED", error_file_id="e"), BatchStatus.COMPLETED, False),
        (together_job("COMPLETED"), BatchStatus.COMPLETED, True),
        (together_job("EXPIRED"), BatchStatus.EXPIRED, False),
        (together_job("CANCELLED", output_file_id="o"), BatchStatus.CANCELLED, False),
        (together_job("FAILED", error="line 1"), BatchStatus.FAILED, False),
        (together_job("PAUSED"), BatchStatus.UNKNOWN, False),
    ],
)
def test_states_of_together(job: dict[str, Any], status: BatchStatus, lagging: bool) -> None:
    state, _ = run(BATCH_TOGETHER.status(HANDLE), reply(job))
    assert (state.status, state.raw_status, state.lagging, state.total) == (status, job["status"], lagging, None)
    assert (state.created_at, state.expires_at) == (1795168800.123, 1795255200.0)
    assert state.errors == (({"message": "line 1"},) if status is BatchStatus.FAILED else ())


def test_a_job_of_together_is_found_by_the_name_of_its_file() -> None:
    files = reply({"data": [{"id": "file-1", "filename": "run6-0-1-1.jsonl"}, {"id": "file-2", "filename": "other.jsonl"}]})
    jobs = reply([together_job(), together_job(id="job-2", input_file_id="file-2")])
    found, calls = run(BATCH_TOGETHER.find(tag(), 1795168000.0), files, jobs)
    assert [(one.handle, one.matched_by) for one in found] == [(BatchHandle("job-1", "file-1", 1795168800.123), "tag")]
    assert [call.path for call in calls if isinstance(call, Send)] == ["/files", "/batches?limit=100"]
    assert run(BATCH_TOGETHER.find(tag(), 1795169000.0), files, jobs)[0] == []
    assert len(run(BATCH_TOGETHER.find(tag(), 0.0), reply({"data": []}))[1]) == 1


def test_cancelling_at_together_is_accepted_without_a_word_for_it() -> None:
    assert run(BATCH_TOGETHER.cancel(HANDLE), reply(together_job("IN_PROGRESS")))[0] is True
    assert run(BATCH_TOGETHER.cancel(HANDLE), reply(together_job("COMPLETED")))[0] is False


def test_ids_too_long_for_together_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match="line 1: custom id"):
        run(BATCH_TOGETHER.submit(tag(), rows(custom_id="x" * 65)))


def test_groq_takes_longer_windows_and_chat_alone() -> None:
    _, calls = run(BATCH_GROQ.submit(tag(window="7d"), rows()), reply({"id": "file-1"}), reply({"id": "batch_1"}))
    assert isinstance(calls[1], Send) and json.loads(calls[1].body)["completion_window"] == "7d"
    for wrong, told in ((tag("/v1/responses"), "runs batches for /v1/chat/completions"), (tag(window="8d"), "24h to 168h")):
        with pytest.raises(UsageError, match=told):
            run(BATCH_GROQ.submit(wrong, rows(wrong.endpoint)))


def test_azure_names_its_own_endpoint_in_the_job_and_in_the_rows() -> None:
    endpoint = "/chat/completions"
    _, calls = run(BATCH_AZURE.submit(tag(endpoint), rows(endpoint)), reply({"id": "file-1"}), reply({"id": "batch_1"}))
    assert isinstance(calls[0], Upload) and b'"url":"/chat/completions"' in b"".join(calls[0].body)
    assert isinstance(calls[1], Send) and json.loads(calls[1].body)["endpoint"] == endpoint


@pytest.mark.parametrize("dialect", [BATCH_GROQ, BATCH_AZURE, BATCH_TOGETHER], ids=lambda dialect: dialect.name)
def test_a_refused_job_takes_its_file_with_it(dialect: BatchDialect) -> None:
    endpoint = "/chat/completions" if dialect is BATCH_AZURE else CHAT
    flow = dialect.submit(tag(endpoint), rows(endpoint))
    next(flow)
    flow.send(reply({"id": "file-1"}))
    deleted = flow.send(reply({"error": {"message": "slow down"}}, 429))
    assert isinstance(deleted, Send) and (deleted.method, deleted.path) == ("DELETE", "/files/file-1")
    with pytest.raises(ProviderError) as caught:
        flow.send(reply({}))
    assert caught.value.kind is ErrorKind.RATE_LIMIT
