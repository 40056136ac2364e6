"""OpenAI files and batches, driven by the official client."""

from __future__ import annotations

import json
from collections.abc import Callable

import openai
import pytest

from headgate.sim.faults import BatchEnd, Match, Rows, Rule
from headgate.sim.server import Simulator
from headgate.sim.settings import Limits, SimSettings
from headgate.wire.json import JsonObject

URL = "/v1/chat/completions"
DAY = 24 * 3600.0


def row(index: int, **changes: object) -> JsonObject:
    body = {"model": "sim-small", "messages": [{"role": "user", "content": f"number: {index}"}]}
    return {"custom_id": f"row-{index}", "method": "POST", "url": URL, "body": body, **changes}


def jsonl(rows: list[JsonObject]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in rows)


def submit(client: openai.OpenAI, data: bytes, **extra: object) -> openai.types.Batch:
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=URL, completion_window="24h", **extra)


def lines(client: openai.OpenAI, file_id: str | None) -> list[JsonObject]:
    return [] if not file_id else [json.loads(line) for line in client.files.content(file_id).content.split(b"\n") if line]


def play(end: BatchEnd | Rows) -> tuple[Rule, ...]:
    return (Rule(end, Match(operation="batch_create")),)


def test_a_batch_from_validating_to_completed(sim: Simulator, openai_client: openai.OpenAI) -> None:
    batch = submit(openai_client, jsonl([row(index) for index in range(20)]), metadata={"tag": "run-1"})
    assert (batch.status, batch.request_counts.total, batch.model) == ("validating", 0, None)
    seen = []
    for _ in range(80):
        batch = openai_client.batches.retrieve(batch.id)
        seen.append((batch.status, batch.request_counts.completed))
        sim.advance(1)
    assert list(dict.fromkeys(status for status, _ in seen)) == ["validating", "in_progress", "finalizing", "completed"]
    assert [count for _, count in seen] == sorted(count for _, count in seen)
    assert (batch.metadata, batch.model, batch.error_file_id) == ({"tag": "run-1"}, "sim-small", None)
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at < batch.expires_at
    answers = lines(openai_client, batch.output_file_id)
    names = [answer["custom_id"] for answer in answers]
    assert sorted(names) == sorted(f"row-{index}" for index in range(20)) and names != sorted(names)
    bill = sim.bill
    assert [line.custom_id for line in bill.lines] == names
    spent = [answer["response"]["body"]["usage"] for answer in answers]
    assert bill.total == sum((use["prompt_tokens"] * 150 + use["completion_tokens"] * 600) // 2 for use in spent)
    assert batch.usage.total_tokens == sum(use["total_tokens"] for use in spent)
    assert {line.request_id for line in bill.lines} == {answer["response"]["request_id"] for answer in answers}


def test_a_row_gets_the_answer_a_realtime_call_gets(sim: Simulator, openai_client: openai.OpenAI) -> None:
    batch = submit(openai_client, jsonl([row(3)]))
    sim.advance(DAY / 2)
    (line,) = lines(openai_client, openai_client.batches.retrieve(batch.id).output_file_id)
    said = openai_client.chat.completions.create(**row(3)["body"])
    assert line["response"]["body"]["choices"][0]["message"]["content"] == said.choices[0].message.content


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (b"\n", "empty_file", None),
        (jsonl([row(1)]) + b"{nope\n", "invalid_json_line", 2),
        (jsonl([row(1), row(1)]), "duplicate_custom_id", 2),
        (jsonl([row(1), row(2, url="/v1/embeddings")]), "mismatched_url", 2),
        (jsonl([row(1), row(2, body={"model": "sim-large", "messages": []})]), "mismatched_model", 2),
        (jsonl([row(1, body={"model": "unknown-1", "messages": []})]), "model_not_found", 1),
        (jsonl([row(1, method="GET")]), "invalid_method", 1),
    ],
)
def test_invalid_input_fails_while_validating(
    sim: Simulator, openai_client: openai.OpenAI, data: bytes, code: str, line: int | None
) -> None:
    batch = submit(openai_client, data)
    assert (batch.status, batch.errors) == ("validating", None)
    sim.advance(60)
    batch = openai_client.batches.retrieve(batch.id)
    assert (batch.status, batch.output_file_id, batch.request_counts.total) == ("failed", None, 0)
    assert (batch.errors.data[0].code, batch.errors.data[0].line) == (code, line)
    assert len(sim.bill) == 0


def test_cancelling_keeps_what_was_done(sim: Simulator, openai_client: openai.OpenAI) -> None:
    batch = submit(openai_client, jsonl([row(index) for index in range(40)]))
    sim.advance(36)
    assert openai_client.batches.cancel(batch.id).status == "cancelling"
    sim.advance(10)
    batch = openai_client.batches.retrieve(batch.id)
    done, left = lines(openai_client, batch.output_file_id), lines(openai_client, batch.error_file_id)
    assert batch.status == "cancelled" and len(done) + len(left) == 40 and 0 < len(done) < 40
    assert {item["error"]["code"] for item in left} == {"batch_cancelled"}
    assert len(sim.bill) == len(done) == batch.request_counts.completed
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'cancelled'"):
        openai_client.batches.cancel(batch.id)


def end_of(sim: Simulator, client: openai.OpenAI, script: BatchEnd | Rows, count: int = 10) -> openai.types.Batch:
    sim.set_faults(play(script))
    batch = submit(client, jsonl([row(index) for index in range(count)]))
    sim.advance(3600)
    return client.batches.retrieve(batch.id)


def test_expired_with_partial_output(sim: Simulator, openai_client: openai.OpenAI) -> None:
    batch = end_of(sim, openai_client, BatchEnd("expired", share=0.3))
    left = lines(openai_client, batch.error_file_id)
    assert batch.status == "expired" and batch.expired_at
    assert len(lines(openai_client, batch.output_file_id)) == 3 == len(sim.bill)
    assert {item["error"]["code"] for item in left} == {"batch_expired"} and len(left) == 7


def test_scripted_cancellation(sim: Simulator, openai_client: openai.OpenAI) -> None:
    batch = end_of(sim, openai_client, BatchEnd("cancelled", share=0.5))
    assert (batch.status, len(sim.bill)) == ("cancelled", 5)


def test_all_rows_in_the_error_file(sim: Simulator, openai_client: openai.OpenAI) -> None:
    batch = end_of(sim, openai_client, BatchEnd("all_errors"))
    assert (batch.status, batch.output_file_id, batch.request_counts.failed) == ("completed", None, 10)
    assert {item["response"]["status_code"] for item in lines(openai_client, batch.error_file_id)} == {500}
    assert len(sim.bill) == 0


def test_the_output_file_id_lags(sim: Simulator, openai_client: openai.OpenAI) -> None:
    batch = end_of(sim, openai_client, BatchEnd("output_lag", polls=2))
    seen = [batch.output_file_id] + [openai_client.batches.retrieve(batch.id).output_file_id for _ in range(3)]
    assert batch.status == "completed" and [bool(item) for item in seen] == [False, False, True, True]


def test_an_empty_error_file_id(sim: Simulator, openai_client: openai.OpenAI) -> None:
    assert end_of(sim, openai_client, BatchEnd("empty_error_file_id")).error_file_id == ""


def test_a_stuck_batch_ends_only_by_cancelling(sim: Simulator, openai_client: openai.OpenAI) -> None:
    batch = end_of(sim, openai_client, BatchEnd("stuck"))
    sim.advance(10 * DAY)
    assert openai_client.batches.retrieve(batch.id).status == "in_progress"
    openai_client.batches.cancel(batch.id)
    sim.advance(60)
    assert openai_client.batches.retrieve(batch.id).status == "cancelled"
    assert len(sim.bill) == 0


def test_a_cancellation_that_comes_too_late(sim: Simulator, openai_client: openai.OpenAI) -> None:
    sim.set_faults(play(BatchEnd("cancel_lost")))
    batch = submit(openai_client, jsonl([row(1)]))
    sim.advance(20)
    assert openai_client.batches.cancel(batch.id).status == "cancelling"
    sim.advance(3600)
    assert openai_client.batches.retrieve(batch.id).status == "completed"


def test_a_scripted_validation_failure(sim: Simulator, openai_client: openai.OpenAI) -> None:
    batch = end_of(sim, openai_client, BatchEnd("failed", code="token_limit_exceeded"))
    assert (batch.status, batch.errors.data[0].code) == ("failed", "token_limit_exceeded")


def content(line: JsonObject) -> str:
    return line["response"]["body"]["choices"][0]["message"]["content"]


ROW_CASES: list[tuple[Rows, Callable[[list[bytes], list[JsonObject]], bool], int]] = [
    (Rows("error", error="rate_limit"), lambda out, err: not out and all(item["response"]["status_code"] == 429 for item in err), 0),
    (
        Rows("error", error="quota"),
        lambda out, err: all(item["response"]["body"]["error"]["code"] == "insufficient_quota" for item in err),
        0,
    ),
    (Rows("expired"), lambda out, err: all(item["error"]["code"] == "batch_expired" for item in err), 0),
    (Rows("missing"), lambda out, err: not out and not err, 0),
    (Rows("missing", billed=True), lambda out, err: not out and not err, 6),
    (Rows("duplicate"), lambda out, err: len(out) == 12 and len(set(out)) == 6, 6),
    (Rows("foreign"), lambda out, err: sum(b'"custom_id":"foreign-' in line for line in out) == 6, 6),
    (Rows("bad_json"), lambda out, err: all(not line.endswith(b"}") or line.count(b"{") != line.count(b"}") for line in out), 0),
    (Rows("empty"), lambda out, err: all(json.loads(line)["response"]["body"]["choices"] == [] for line in out), 6),
    (Rows("refusal"), lambda out, err: all(content(json.loads(line)) is None for line in out), 6),
    (
        Rows("length"),
        lambda out, err: all(json.loads(line)["response"]["body"]["choices"][0]["finish_reason"] == "length" for line in out),
        6,
    ),
    (Rows("fenced"), lambda out, err: all(content(json.loads(line)).startswith("```json\n") for line in out), 6),
    (Rows("invalid"), lambda out, err: all("unexpected" in content(json.loads(line)) for line in out), 6),
]


@pytest.mark.parametrize(("script", "holds", "billed"), ROW_CASES)
def test_row_faults(
    sim: Simulator, openai_client: openai.OpenAI, script: Rows, holds: Callable[[list[bytes], list[JsonObject]], bool], billed: int
) -> None:
    batch = end_of(sim, openai_client, script, 6)
    out = openai_client.files.content(batch.output_file_id).content.split(b"\n")[:-1] if batch.output_file_id else []
    assert holds(out, lines(openai_client, batch.error_file_id))
    assert len(sim.bill) == billed


def test_a_share_of_rows_is_chosen_by_custom_id(sim: Simulator, openai_client: openai.OpenAI) -> None:
    batch = end_of(sim, openai_client, Rows("error", share=0.25), 200)
    assert 25 < batch.request_counts.failed < 75
    assert batch.request_counts.failed + batch.request_counts.completed == 200 and len(sim.bill) == batch.request_counts.completed


def test_listing_pages_newest_first(sim: Simulator, openai_client: openai.OpenAI) -> None:
    made = [submit(openai_client, jsonl([row(index)])).id for index in range(5)]
    page = openai_client.batches.list(limit=2)
    assert [batch.id for batch in page.data] == made[:2:-1] and page.has_more
    assert [batch.id for batch in openai_client.batches.list(limit=2)] == made[::-1]
    with openai_client.with_options(api_key="sim-other") as other:
        assert list(other.batches.list()) == []
        with pytest.raises(openai.NotFoundError, match="No batch found"):
            other.batches.retrieve(made[0])


def test_files(openai_client: openai.OpenAI, http: Callable[..., object], sim: Simulator) -> None:
    data = jsonl([row(index) for index in range(3)])
    file = openai_client.files.create(file=("a b.jsonl", data), purpose="batch")
    assert (file.bytes, file.filename, file.purpose) == (len(data), "a b.jsonl", "batch")
    assert openai_client.files.retrieve(file.id) == file
    assert openai_client.files.content(file.id).content == data
    part = openai_client.files.content(file.id, extra_headers={"range": "bytes=5-9"})
    assert (part.response.status_code, part.content) == (206, data[5:10])
    assert [item.id for item in openai_client.files.list(purpose="batch")] == [file.id]
    assert openai_client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        openai_client.files.retrieve(file.id)
    with pytest.raises(openai.BadRequestError, match="purpose"):
        openai_client.files.create(file=("x", b"x"), purpose="poetry")


def test_create_is_checked_at_once_where_the_service_does(openai_client: openai.OpenAI) -> None:
    file = openai_client.files.create(file=("in.jsonl", jsonl([row(1)])), purpose="batch")
    good = {"input_file_id": file.id, "endpoint": URL, "completion_window": "24h"}
    for wrong in ({"endpoint": "/v1/poems"}, {"completion_window": "1h"}, {"input_file_id": "file-none"}, {"metadata": {"k": "v" * 513}}):
        with pytest.raises(openai.BadRequestError):
            openai_client.batches.create(**{**good, **wrong})


class TestSmallLimits:
    """Limits of the service, made small."""

    @pytest.fixture
    def settings(self) -> SimSettings:
        return SimSettings(limits=Limits(openai_rows=3, openai_bytes=2000, enqueued_tokens=200))

    def test_too_many_rows(self, sim: Simulator, openai_client: openai.OpenAI) -> None:
        batch = submit(openai_client, jsonl([row(index) for index in range(4)]))
        sim.advance(60)
        assert openai_client.batches.retrieve(batch.id).errors.data[0].code == "too_many_tasks"

    def test_too_many_bytes(self, openai_client: openai.OpenAI) -> None:
        with pytest.raises(openai.APIStatusError) as refused:
            openai_client.files.create(file=("in.jsonl", b"x" * 2001), purpose="batch")
        assert refused.value.status_code == 413

    def test_enqueued_tokens(self, sim: Simulator, openai_client: openai.OpenAI) -> None:
        first, second = (submit(openai_client, jsonl([row(index) for index in range(3)])) for _ in range(2))
        sim.advance(60)
        assert openai_client.batches.retrieve(second.id).errors.data[0].code == "token_limit_exceeded"
        sim.advance(3600)
        assert openai_client.batches.retrieve(first.id).status == "completed"
        third = submit(openai_client, jsonl([row(1)]))
        sim.advance(3600)
        assert openai_client.batches.retrieve(third.id).status == "completed"
