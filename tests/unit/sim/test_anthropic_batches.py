"""Anthropic message batches, driven by the official client."""

from __future__ import annotations

import anthropic
import pytest

from headgate.sim.faults import BatchEnd, Match, Rows, Rule
from headgate.sim.server import Simulator
from headgate.wire.json import JsonObject

DAY = 24 * 3600.0


def row(index: int, **changes: object) -> JsonObject:
    params = {"model": "sim-large", "max_tokens": 100, "messages": [{"role": "user", "content": f"number: {index}"}]}
    return {"custom_id": f"row-{index}", "params": {**params, **changes}}


def submit(client: anthropic.Anthropic, count: int = 10) -> anthropic.types.messages.MessageBatch:
    return client.messages.batches.create(requests=[row(index) for index in range(count)])


def test_a_batch_from_start_to_results(sim: Simulator, anthropic_client: anthropic.Anthropic) -> None:
    batches = anthropic_client.messages.batches
    batch = submit(anthropic_client, 20)
    assert (batch.processing_status, batch.request_counts.processing, batch.results_url) == ("in_progress", 20, None)
    sim.advance(40)
    raw = batches.with_raw_response.retrieve(batch.id)
    assert (raw.parse().request_counts.processing, raw.parse().request_counts.succeeded) == (20, 0)
    assert raw.headers["retry-after"] == "10"
    with pytest.raises(anthropic.AnthropicError, match="No `results_url`"):
        batches.results(batch.id)
    sim.advance(3600)
    batch = batches.retrieve(batch.id)
    assert (batch.processing_status, batch.request_counts.processing, batch.request_counts.succeeded) == ("ended", 0, 20)
    assert batch.results_url.startswith(sim.url) and batch.created_at < batch.ended_at < batch.expires_at
    results = list(batches.results(batch.id))
    names = [item.custom_id for item in results]
    assert sorted(names) == sorted(f"row-{index}" for index in range(20)) and names != sorted(names)
    bill = sim.bill
    spent = [item.result.message.usage for item in results]
    assert bill.total == sum((use.input_tokens * 3000 + use.output_tokens * 15000) // 2 for use in spent)
    assert [line.response_id for line in bill.lines] == [item.result.message.id for item in results]
    assert {use.service_tier for use in spent} == {"batch"}


def test_params_are_checked_only_when_a_row_runs(sim: Simulator, anthropic_client: anthropic.Anthropic) -> None:
    batch = anthropic_client.messages.batches.create(requests=[row(1), row(2, max_tokens=0), row(3, model="unknown-1")])
    sim.advance(3600)
    results = {item.custom_id: item.result for item in anthropic_client.messages.batches.results(batch.id)}
    assert [results[f"row-{index}"].type for index in (1, 2, 3)] == ["succeeded", "errored", "errored"]
    assert results["row-2"].error.error.type == "invalid_request_error"
    assert results["row-3"].error.error.type == "not_found_error"
    assert len(sim.bill) == 1


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [row(1), row(1)],
        [{**row(1), "custom_id": "x" * 65}],
        [{**row(1), "custom_id": "no spaces"}],
        [{**row(1), "custom_id": ""}],
        [{"custom_id": "a"}],
    ],
)
def test_the_envelope_is_checked_at_once(anthropic_client: anthropic.Anthropic, requests: list[JsonObject]) -> None:
    with pytest.raises(anthropic.BadRequestError, match="requests"):
        anthropic_client.messages.batches.create(requests=requests)


def test_cancelling_keeps_what_was_done(sim: Simulator, anthropic_client: anthropic.Anthropic) -> None:
    batches = anthropic_client.messages.batches
    batch = submit(anthropic_client, 40)
    sim.advance(36)
    batch = batches.cancel(batch.id)
    assert batch.processing_status == "canceling" and batch.cancel_initiated_at is not None
    sim.advance(60)
    counts = batches.retrieve(batch.id).request_counts
    assert counts.succeeded + counts.canceled == 40 and 0 < counts.succeeded < 40
    assert len(sim.bill) == counts.succeeded == sum(item.result.type == "succeeded" for item in batches.results(batch.id))
    with pytest.raises(anthropic.BadRequestError, match="already ended"):
        batches.cancel(batch.id)


@pytest.mark.parametrize(
    ("script", "counted", "billed"),
    [
        (BatchEnd("expired", share=0.4), {"succeeded": 4, "expired": 6}, 4),
        (BatchEnd("all_errors"), {"errored": 10}, 0),
        (Rows("error", error="rate_limit"), {"errored": 10}, 0),
        (Rows("expired"), {"expired": 10}, 0),
        (Rows("refusal"), {"succeeded": 10}, 10),
        (Rows("empty"), {"succeeded": 10}, 10),
    ],
)
def test_scripted_ends(
    sim: Simulator, anthropic_client: anthropic.Anthropic, script: BatchEnd | Rows, counted: dict[str, int], billed: int
) -> None:
    sim.set_faults((Rule(script, Match(provider="anthropic", operation="batch_create")),))
    batch = submit(anthropic_client)
    sim.advance(3600)
    counts = anthropic_client.messages.batches.retrieve(batch.id).request_counts
    assert {name: value for name, value in counts.model_dump().items() if value} == counted
    results = list(anthropic_client.messages.batches.results(batch.id))
    assert {name: sum(item.result.type == name for item in results) for name in counted} == counted
    assert len(sim.bill) == billed


def test_a_batch_that_runs_into_its_window_expires(sim: Simulator, anthropic_client: anthropic.Anthropic) -> None:
    sim.set_faults((Rule(BatchEnd("stuck")),))
    batch = submit(anthropic_client)
    sim.advance(2 * DAY)
    assert anthropic_client.messages.batches.retrieve(batch.id).processing_status == "in_progress"


def test_results_are_archived_after_29_days(sim: Simulator, anthropic_client: anthropic.Anthropic) -> None:
    batch = submit(anthropic_client)
    sim.advance(29 * DAY + 1)
    batch = anthropic_client.messages.batches.retrieve(batch.id)
    assert batch.archived_at is not None and batch.results_url is None
    with pytest.raises(anthropic.AnthropicError):
        anthropic_client.messages.batches.results(batch.id)


def test_listing_deleting_and_isolation(sim: Simulator, anthropic_client: anthropic.Anthropic) -> None:
    batches = anthropic_client.messages.batches
    made = [submit(anthropic_client, 1).id for _ in range(5)]
    assert [batch.id for batch in batches.list(limit=2)] == made[::-1]
    page = batches.list(limit=2, before_id=made[0])
    assert [batch.id for batch in page.data] == [made[2], made[1]] and page.has_more
    with pytest.raises(anthropic.BadRequestError):
        batches.delete(made[0])
    sim.advance(3600)
    assert batches.delete(made[0]).type == "message_batch_deleted"
    assert len(list(batches.list())) == 4
    with pytest.raises(anthropic.NotFoundError):
        anthropic_client.with_options(api_key="sim-other").messages.batches.retrieve(made[1])
