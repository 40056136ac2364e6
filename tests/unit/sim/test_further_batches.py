"""Batches of Groq, Azure, Together and xAI as their clients see them, over plain HTTP and by an SDK."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from headgate.sim.faults import Action, BatchEnd, Match, Rows, Rule
from headgate.sim.server import Simulator
from headgate.sim.settings import Limits, SimSettings

CHAT = "/v1/chat/completions"
DAY = 24 * 3600.0
BEARER = {"authorization": "Bearer sim-key"}


def body(number: int) -> dict[str, Any]:
    return {"model": "sim-small", "messages": [{"role": "user", "content": f"number: {number}"}]}


def jsonl(count: int, url: str | None = CHAT) -> bytes:
    named = {} if url is None else {"method": "POST", "url": url}
    return b"".join(json.dumps({"custom_id": f"row-{n}", **named, "body": body(n)}).encode() + b"\n" for n in range(count))


def upload(http, path: str, data: bytes, **fields: str) -> Any:
    parts = "".join(f'--mark\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    head = f'{parts}--mark\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
    return http("POST", path, head.encode() + data + b"\r\n--mark--\r\n", {**BEARER, "content-type": "multipart/form-data; boundary=mark"})


def play(sim: Simulator, *actions: Action) -> None:
    sim.set_faults(tuple(Rule(action, Match(operation="batch_create")) for action in actions))


def billed_at_half_price(sim: Simulator, usages: list[dict[str, Any]], provider: str) -> None:
    bill = sim.bill
    assert {(line.provider, line.lane) for line in bill.lines} == {(provider, "batch")} and len(bill) == len(usages)
    assert bill.total == sum((use["prompt_tokens"] * 150 + use["completion_tokens"] * 600) // 2 for use in usages)


def openai_like(client: openai.OpenAI, endpoint: str, window: str, count: int = 8) -> openai.types.Batch:
    file = client.files.create(file=("in.jsonl", jsonl(count, endpoint)), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window=window, metadata={"tag": "one"})


def answers(client: openai.OpenAI, batch: openai.types.Batch) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.files.content(batch.output_file_id or "").content.split(b"\n") if line]


def test_groq_by_the_official_client(sim: Simulator) -> None:
    with openai.OpenAI(base_url=f"{sim.url}/groq/openai/v1", api_key="sim-key", max_retries=0) as client:
        batch = openai_like(client, CHAT, "7d")
        assert (batch.status, batch.completion_window, batch.metadata) == ("validating", "7d", {"tag": "one"})
        assert batch.expires_at == batch.created_at + 7 * DAY
        sim.advance(3600)
        batch = client.batches.retrieve(batch.id)
        rows = answers(client, batch)
        assert batch.status == "completed" and "x_groq" in rows[0]["response"]["body"]
        billed_at_half_price(sim, [row["response"]["body"]["usage"] for row in rows], "groq")
        assert [job.id for job in client.batches.list()] == [batch.id]
        for endpoint, window in ((CHAT, "8d"), ("/v1/responses", "24h")):
            with pytest.raises(openai.BadRequestError):
                openai_like(client, endpoint, window)


def test_azure_by_the_official_client_never_expires(sim: Simulator) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=f"{sim.url}/azure", api_key="sim-key", api_version="2025-04-01-preview", max_retries=0
    ) as client:
        batch = openai_like(client, "/chat/completions", "24h")
        assert (batch.status, batch.expires_at) == ("validating", None)
        sim.advance(3600)
        batch = client.batches.retrieve(batch.id)
        rows = answers(client, batch)
        assert batch.status == "completed" and "content_filter_results" in rows[0]["response"]["body"]["choices"][0]
        billed_at_half_price(sim, [row["response"]["body"]["usage"] for row in rows], "azure")
        play(sim, BatchEnd("stuck"))
        stuck = openai_like(client, "/chat/completions", "24h")
        sim.advance(9 * DAY)
        assert client.batches.retrieve(stuck.id).status == "in_progress"


def test_a_job_of_together(http, sim: Simulator) -> None:
    file = upload(http, "/together/v1/files/upload", jsonl(6, None), purpose="batch-api", file_name="in.jsonl").json()
    assert (file["filename"], file["purpose"], file["Processed"]) == ("in.jsonl", "batch-api", True)
    wanted = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    created = http("POST", "/together/v1/batches", wanted, BEARER)
    job = created.json()["job"]
    assert (created.status, job["status"], job["progress"], "metadata" in job) == (201, "VALIDATING", 0.0, False)
    seen = []
    for _ in range(80):
        job = http("GET", f"/together/v1/batches/{job['id']}", headers=BEARER).json()
        seen.append((job["status"], job["progress"]))
        sim.advance(1)
    assert list(dict.fromkeys(word for word, _ in seen)) == ["VALIDATING", "IN_PROGRESS", "COMPLETED"]
    assert [share for _, share in seen] == sorted(share for _, share in seen) and seen[-1][1] == 100.0
    lines = http("GET", f"/together/v1/files/{job['output_file_id']}/content", headers=BEARER).body.splitlines()
    rows = [json.loads(line) for line in lines]
    assert sorted(row["custom_id"] for row in rows) == [f"row-{n}" for n in range(6)]
    billed_at_half_price(sim, [row["response"]["body"]["usage"] for row in rows], "together")
    assert [one["id"] for one in http("GET", "/together/v1/batches", headers=BEARER).json()] == [job["id"]]
    assert file["id"] in [one["id"] for one in http("GET", "/together/v1/files", headers=BEARER).json()["data"]]
    late = http("POST", f"/together/v1/batches/{job['id']}/cancel", {}, BEARER)
    assert late.status == 400 and "COMPLETED" in late.json()["error"]["message"]
    assert http("POST", "/together/v1/batches", {**wanted, "metadata": {"a": "b"}}, BEARER).status == 400


def test_a_job_of_together_that_fails_says_why_in_one_sentence(http, sim: Simulator) -> None:
    file = upload(http, "/together/v1/files/upload", b"{nope\n", purpose="batch-api", file_name="in.jsonl").json()
    job = http("POST", "/together/v1/batches", {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}, BEARER).json()
    sim.advance(60)
    job = http("GET", f"/together/v1/batches/{job['job']['id']}", headers=BEARER).json()
    assert (job["status"], "parseable" in job["error"], "output_file_id" in job) == ("FAILED", True, False)


def added(http, batch: str, numbers: range) -> Any:
    items = [{"batch_request_id": f"row-{n}", "batch_request": {"chat_get_completion": body(n)}} for n in numbers]
    return http("POST", f"/xai/v1/batches/{batch}/requests", {"batch_requests": items}, BEARER)


def test_a_container_of_xai_is_filled_and_counted(http, sim: Simulator) -> None:
    made = http("POST", "/xai/v1/batches", {"name": "mine"}, BEARER).json()
    batch = made["batch_id"]
    assert made["state"] == {"num_requests": 0, "num_pending": 0, "num_success": 0, "num_error": 0, "num_cancelled": 0}
    sim.advance(DAY)
    assert http("GET", f"/xai/v1/batches/{batch}", headers=BEARER).json()["state"]["num_requests"] == 0
    answer = added(http, batch, range(4))
    assert (answer.status, answer.body) == (200, b"null")
    assert added(http, batch, range(4, 6)).status == 200
    again = added(http, batch, range(1))
    assert again.status == 400 and "not unique" in again.json()["error"]
    states = []
    for _ in range(90):
        states.append(http("GET", f"/xai/v1/batches/{batch}", headers=BEARER).json()["state"])
        sim.advance(1)
    assert [state["num_success"] for state in states] == sorted(state["num_success"] for state in states)
    assert states[0]["num_pending"] == 6 and states[-1] == {**made["state"], "num_requests": 6, "num_success": 6}
    assert added(http, batch, range(9, 10)).status == 400
    first = http("GET", f"/xai/v1/batches/{batch}/results?limit=4", headers=BEARER).json()
    rest = http("GET", f"/xai/v1/batches/{batch}/results?limit=4&pagination_token={first['pagination_token']}", headers=BEARER).json()
    rows = [*first["results"], *rest["results"]]
    assert (len(first["results"]), rest["pagination_token"], len(rows)) == (4, None, 6)
    assert {row["batch_request_id"] for row in rows} == {f"row-{n}" for n in range(6)}
    usages = [row["batch_result"]["response"]["chat_get_completion"]["usage"] for row in rows]
    billed_at_half_price(sim, usages, "xai")


def test_an_input_file_of_xai_needs_no_purpose_and_is_counted_after_it_was_read(http, sim: Simulator) -> None:
    file = upload(http, "/xai/v1/files", jsonl(3)).json()
    made = http("POST", "/xai/v1/batches", {"name": "mine", "input_file_id": file["id"]}, BEARER).json()
    assert (made["input_file_id"], made["state"]["num_requests"]) == (file["id"], 0)
    sim.advance(10)
    assert http("GET", f"/xai/v1/batches/{made['batch_id']}", headers=BEARER).json()["state"]["num_requests"] == 3
    wrong = upload(http, "/xai/v1/files", b'{"custom_id": 1}\n').json()
    made = http("POST", "/xai/v1/batches", {"name": "mine", "input_file_id": wrong["id"]}, BEARER).json()
    sim.advance(60)
    rejected = http("GET", f"/xai/v1/batches/{made['batch_id']}", headers=BEARER).json()
    assert "Line 1" in rejected["cancel_by_xai_message"] and rejected["cancel_time"] and rejected["state"]["num_requests"] == 0


def test_a_batch_of_xai_that_expires_keeps_its_rest_pending(http, sim: Simulator) -> None:
    play(sim, BatchEnd("expired", share=0.5))
    batch = http("POST", "/xai/v1/batches", {"name": "mine"}, BEARER).json()["batch_id"]
    added(http, batch, range(8))
    sim.advance(3600)
    found = http("GET", f"/xai/v1/batches/{batch}", headers=BEARER).json()
    assert (found["state"]["num_success"], found["state"]["num_pending"]) == (4, 4)
    assert len(http("GET", f"/xai/v1/batches/{batch}/results", headers=BEARER).json()["results"]) == 4 == len(sim.bill)


def test_cancelling_a_container_of_xai_counts_what_was_left(http, sim: Simulator) -> None:
    empty = http("POST", "/xai/v1/batches", {"name": "empty"}, BEARER).json()["batch_id"]
    assert http("POST", f"/xai/v1/batches/{empty}:cancel", {}, BEARER).json()["cancel_time"]
    assert added(http, empty, range(1)).status == 400
    batch = http("POST", "/xai/v1/batches", {"name": "mine"}, BEARER).json()["batch_id"]
    added(http, batch, range(40))
    sim.advance(30)
    assert http("POST", f"/xai/v1/batches/{batch}:cancel", {}, BEARER).status == 200
    sim.advance(60)
    state = http("GET", f"/xai/v1/batches/{batch}", headers=BEARER).json()["state"]
    assert state["num_success"] + state["num_cancelled"] == 40 and 0 < state["num_cancelled"] < 40 and state["num_pending"] == 0
    assert http("POST", f"/xai/v1/batches/{batch}:cancel", {}, BEARER).status == 400
    listed = http("GET", "/xai/v1/batches?limit=1", headers=BEARER).json()
    assert [one["batch_id"] for one in listed["batches"]] == [batch] and listed["pagination_token"] == batch


def test_failed_rows_of_xai_carry_a_code_and_a_message(http, sim: Simulator) -> None:
    play(sim, Rows("error", error="rate_limit"))
    batch = http("POST", "/xai/v1/batches", {"name": "mine"}, BEARER).json()["batch_id"]
    added(http, batch, range(2))
    sim.advance(3600)
    rows = http("GET", f"/xai/v1/batches/{batch}/results", headers=BEARER).json()["results"]
    assert {(row["batch_result"]["error"]["code"], bool(row["error_message"])) for row in rows} == {(8, True)} and len(sim.bill) == 0


@pytest.mark.parametrize("settings", [SimSettings(seed=7, limits=Limits(xai_call_bytes=100))])
def test_a_call_that_adds_too_much_is_refused(http, sim: Simulator) -> None:
    batch = http("POST", "/xai/v1/batches", {"name": "mine"}, BEARER).json()["batch_id"]
    assert added(http, batch, range(3)).status == 413
