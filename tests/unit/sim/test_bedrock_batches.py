"""Bedrock's batch inference and its S3, driven by the envelope with signed calls."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from headgate.client import BatchClient, Credential, Target
from headgate.config import Secret
from headgate.dialects import anthropic_messages, batch_bedrock
from headgate.dialects.batch import BatchHandle, BatchRequestRow, BatchRow, BatchRows, BatchState, BatchStatus, BatchTag
from headgate.errors import ConfigError, ErrorKind, ProviderError, UsageError
from headgate.providers.base import Auth, Outgoing, Provider, Variable
from headgate.sim.faults import Action, BatchEnd, Match, Rows, Rule, Status
from headgate.sim.server import Simulator
from headgate.sim.sigv4 import ACCESS_KEY, SECRET
from headgate.testing.conformance.batches import read
from headgate.testing.simulators import target_at, with_batches
from headgate.wire.http import Headers
from headgate.wire.sigv4 import UNSIGNED_PAYLOAD, sign

T = TypeVar("T")
HOUR = 3600.0
COUNT = 120
KEY = f"{ACCESS_KEY}:{SECRET}"
ENDPOINT = "/model/sim-small/converse"


def signed(key: str, call: Outgoing) -> Headers:
    access, _, secret = key.partition(":")
    path, _, query = call.path.partition("?")
    service = "s3" if call.service == "s3" else "bedrock"
    body = UNSIGNED_PAYLOAD if call.body is None else sha256(call.body).hexdigest()
    names = {"access_key": access, "secret_key": secret, "session_token": None, "region": "us-east-1"}
    return sign(call.method, call.host, path, query, call.headers, body, **names, service=service, at=call.at)


PROVIDER = Provider(
    name="sim-bedrock",
    label="Simulated Bedrock",
    base_url="http://127.0.0.1:1/bedrock",
    base_url_env="HEADGATE_SIM_URL",
    base_path="/bedrock",
    chat=anthropic_messages.DIALECT,
    auth=Auth(header="authorization", sign=signed),
    batch=batch_bedrock.DIALECT,
    batch_endpoint="/model/{model}/converse",
    hosts=(("control", "/bedrock"), ("s3", "/s3")),
    variables=(
        Variable(name="batch_bucket", default="s3://sim-bucket/headgate"),
        Variable(name="batch_role", default="arn:aws:iam::000000000000:role/batch"),
    ),
    allow_private=True,
    simulated=True,
)


def target_of(sim: Simulator, key: str = KEY) -> Target:
    return target_at(PROVIDER, sim.url, "sim-small", Credential("tests", Secret(key)))


def tag(target: Target, key: str = "run7a-0-1-1") -> BatchTag:
    return BatchTag(key, "run7a-1-1", target.model, ENDPOINT, "boundary", variables=target.variables)


def body(number: int) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": [{"text": f"number: {number}"}]}]}).encode()


def rows(count: int = COUNT) -> BatchRows:
    return BatchRows(tuple(BatchRequestRow(f"run7a-1-1-{n}", ENDPOINT, body(n)) for n in range(count)))


def run(sim: Simulator, work: Callable[[BatchClient, Target], Awaitable[T]], *script: Action) -> T:
    sim.set_faults(tuple(Rule(action, Match(operation="batch_create")) for action in script))
    target = target_of(sim)
    return with_batches(target, lambda client: work(client, target))


async def collected(client: BatchClient, handle: BatchHandle, polls: int = 8) -> tuple[BatchState, dict[str | None, BatchRow]]:
    for _ in range(polls):
        state = await client.status(handle)
        if state.raw_status not in ("Submitted", "InProgress", "Stopping") and not state.lagging:
            break
    files = await client.results(handle, state)
    return state, {row.custom_id: row for row in read(batch_bedrock.DIALECT, files)}


def test_a_job_from_submitted_to_completed(sim: Simulator) -> None:
    async def live(client: BatchClient, target: Target) -> tuple[list[str], BatchState, dict[str | None, BatchRow]]:
        handle = await client.submit(tag(target), rows())
        seen = []
        for _ in range(90):
            seen.append((await client.status(handle)).raw_status)
            sim.advance(1)
        return seen, *await collected(client, handle)

    seen, state, found = run(sim, live)
    assert list(dict.fromkeys(seen)) == ["Submitted", "InProgress", "Completed"]
    assert (state.status, state.total, state.succeeded, state.failed) == (BatchStatus.COMPLETED, COUNT, COUNT, 0)
    assert set(found) == {f"run7a-1-1-{n}" for n in range(COUNT)} and list(found) != [f"run7a-1-1-{n}" for n in range(COUNT)]
    answer = json.loads(found["run7a-1-1-3"].body or b"")
    assert answer["stopReason"] == "end_turn" and answer["output"]["message"]["content"][0]["text"]
    bill = sim.bill
    assert (len(bill), {line.lane for line in bill.lines}, {line.provider for line in bill.lines}) == (COUNT, {"batch"}, {"bedrock"})
    assert bill.total == sum(
        (use["inputTokens"] * 150 + use["outputTokens"] * 600) // 2
        for use in (json.loads(row.body or b"")["usage"] for row in found.values())
    )


def test_a_small_job_is_refused_before_anything_is_sent(sim: Simulator) -> None:
    with pytest.raises(UsageError, match="99 rows: a batch of Amazon Bedrock has at least 100") as caught:
        run(sim, lambda client, target: client.submit(tag(target), rows(99)))
    assert "realtime" in (caught.value.hint or "") and sim.requests == []


@pytest.mark.parametrize("name", ["batch_bucket", "batch_role"])
def test_a_job_without_bucket_or_role_says_what_to_set(sim: Simulator, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(sim, lambda client, target: client.submit(replace(tag(target), variables={**target.variables, name: ""}), rows()))
    assert name in (caught.value.hint or "")


def test_a_job_made_twice_is_one_job_and_is_found_by_its_token(sim: Simulator) -> None:
    async def twice(client: BatchClient, target: Target) -> tuple[str, str, list[str], list[str]]:
        since = sim.clock.now() - 60
        first, second = [await client.submit(tag(target), rows()) for _ in range(2)]
        other = await client.submit(tag(target, "run7a-0-1-12"), rows())
        ours = await client.find(tag(target), since)
        assert [one.matched_by for one in ours] == ["tag"] and ours[
            0
        ].handle.input_file == "s3://sim-bucket/headgate/run7a-0-1-1/rows.jsonl"
        late = await client.find(tag(target), sim.clock.now() + 3600)
        return (
            first.id,
            second.id,
            [one.handle.id for one in ours],
            [one.handle.id for one in late] + ([other.id] if other.id == first.id else []),
        )

    first, second, found, late = run(sim, twice)
    assert first == second and found == [first] and late == []


@pytest.mark.parametrize(
    ("share", "word", "status"), [(0.5, "PartiallyCompleted", BatchStatus.PARTIAL), (0.0, "Expired", BatchStatus.EXPIRED)]
)
def test_what_was_done_in_time_is_kept(sim: Simulator, share: float, word: str, status: BatchStatus) -> None:
    async def late(client: BatchClient, target: Target) -> tuple[BatchState, dict[str | None, BatchRow]]:
        handle = await client.submit(tag(target), rows())
        sim.advance(HOUR)
        return await collected(client, handle)

    state, found = run(sim, late, BatchEnd("expired", share=share))
    assert (state.raw_status, state.status, len(found)) == (word, status, int(share * COUNT))
    assert {row.outcome for row in found.values()} <= {"succeeded"} and len(sim.bill) == len(found)


def test_a_stopped_job_keeps_its_answers_and_stopping_again_is_no_error(sim: Simulator) -> None:
    async def stop(client: BatchClient, target: Target) -> tuple[bool, bool, BatchState, int]:
        handle = await client.submit(tag(target), rows())
        sim.advance(30)
        accepted = await client.cancel(handle)
        sim.advance(HOUR)
        state, found = await collected(client, handle)
        return accepted, await client.cancel(handle), state, len(found)

    accepted, again, state, found = run(sim, stop)
    assert (accepted, again, state.raw_status, state.status) == (True, False, "Stopped", BatchStatus.CANCELLED)
    assert 0 < found < COUNT


def test_results_that_lag_are_waited_for(sim: Simulator) -> None:
    async def lag(client: BatchClient, target: Target) -> tuple[list[bool], int]:
        handle = await client.submit(tag(target), rows())
        sim.advance(HOUR)
        seen = [(await client.status(handle)).lagging for _ in range(4)]
        return seen, len((await collected(client, handle))[1])

    assert run(sim, lag, BatchEnd("output_lag", polls=3)) == ([True, True, False, False], COUNT)


def test_failed_records_say_why_and_torn_ones_spoil_nothing(sim: Simulator) -> None:
    async def spoil(client: BatchClient, target: Target) -> dict[str | None, BatchRow]:
        handle = await client.submit(tag(target), rows())
        sim.advance(HOUR)
        return (await collected(client, handle))[1]

    found = run(sim, spoil, Rows("error", share=0.3, error="rate_limit"), Rows("bad_json", share=0.2))
    failed = [row for row in found.values() if row.outcome == "errored" and row.custom_id]
    assert failed and all(row.error is not None and row.error.kind is ErrorKind.RATE_LIMIT and row.error.transient for row in failed)
    assert None in found and sum(row.outcome == "succeeded" for row in found.values()) > COUNT / 3


def test_a_job_that_fails_at_validation_says_why(sim: Simulator) -> None:
    async def fail(client: BatchClient, target: Target) -> BatchState:
        handle = await client.submit(tag(target), rows())
        sim.advance(HOUR)
        return (await collected(client, handle))[0]

    state = run(sim, fail, BatchEnd("failed"))
    assert (state.status, state.errors[0]["message"], len(sim.bill)) == (BatchStatus.FAILED, "The batch failed at validation.", 0)


def test_a_refused_job_leaves_no_object_behind(sim: Simulator) -> None:
    with pytest.raises(ProviderError) as caught:
        run(sim, lambda client, target: client.submit(tag(target), rows()), Status("rate_limit"))
    assert (caught.value.kind, caught.value.status) == (ErrorKind.RATE_LIMIT, 429)
    assert [entry.operation for entry in sim.requests] == ["file_upload", "batch_create", "file_delete"]


def test_a_job_that_may_exist_keeps_its_object(sim: Simulator) -> None:
    with pytest.raises(ProviderError) as caught:
        run(sim, lambda client, target: client.submit(tag(target), rows()), Status("server"))
    assert caught.value.kind is ErrorKind.SERVER
    assert [entry.operation for entry in sim.requests] == ["file_upload", "batch_create"]


def test_a_wrong_key_is_refused_by_both_hosts(sim: Simulator) -> None:
    target = target_of(sim, f"{ACCESS_KEY}:wrong")
    for work in (lambda client: client.submit(tag(target), rows()), lambda client: client.find(tag(target), 0.0)):
        with pytest.raises(ProviderError) as caught:
            with_batches(target, work)
        assert caught.value.kind is ErrorKind.AUTH and caught.value.hint


def test_an_unknown_job_is_not_found(sim: Simulator) -> None:
    with pytest.raises(ProviderError) as caught:
        run(
            sim,
            lambda client, target: client.status(BatchHandle("arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefabcdef")),
        )
    assert (caught.value.kind, caught.value.code) == (ErrorKind.NOT_FOUND, "ResourceNotFoundException")


def test_s3_lists_in_pages_and_forgets_what_is_deleted(http, sim: Simulator) -> None:
    held = {"authorization": "Bearer sim-key", "content-type": "text/plain"}
    for n in range(3):
        assert http("PUT", f"/s3/bucket/a/b{n}", b"x" * n, held).status == 200
    page = http("GET", "/s3/bucket?list-type=2&prefix=a/&max-keys=2&encoding-type=url", headers=held).body.decode()
    assert page.count("<Key>") == 2 and "<IsTruncated>true" in page and "<NextContinuationToken>2<" in page
    assert http("GET", "/s3/bucket/a/b2", headers=held).body == b"xx"
    assert http("DELETE", "/s3/bucket/a/b2", headers=held).status == 204
    gone = http("GET", "/s3/bucket/a/b2", headers=held)
    assert gone.status == 404 and b"<Code>NoSuchKey</Code>" in gone.body
    assert http("GET", "/s3/bucket/a/b1", headers={"authorization": "Bearer other"}).status == 403


def test_downloads_are_kept_apart(sim: Simulator, tmp_path: Path) -> None:
    async def twice(client: BatchClient, target: Target) -> int:
        handle = await client.submit(tag(target), rows())
        sim.advance(HOUR)
        state = await client.status(handle)
        return len({file.path for _ in range(2) for file in await client.results(handle, state)})

    assert run(sim, twice) == 2
