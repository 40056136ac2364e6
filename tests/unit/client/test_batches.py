"""Batch calls to one provider; the whole life of a job is in the conformance suite."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from headgate.client import BatchClient, Credential, Target, Token, TokenSource
from headgate.client.chat import prepare
from headgate.config import Secret
from headgate.dialects.batch import BatchHandle, BatchRequestRow, BatchRows, BatchStatus, BatchTag
from headgate.errors import ErrorKind, ProviderError, Unsupported
from headgate.providers import PROVIDERS
from headgate.sim.faults import Status
from headgate.sim.server import Simulator
from headgate.testing import samples
from headgate.testing.simulators import END_OF_BATCH, fault, simulated_target, with_batches
from headgate.transport.http1 import HttpClient

pytest_plugins = ["headgate.testing.pytest_plugin"]

BATCHES = sorted(name for name, provider in PROVIDERS.items() if provider.simulated and provider.batch is not None)
each = pytest.mark.parametrize("name", BATCHES)
JOBS_BY_ID = {"sim-gemini": "batches/none", "sim-bedrock": "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/none"}
"""What an unknown job is called where jobs have more than a plain id."""


def tag_and_rows(target: Target) -> tuple[BatchTag, BatchRows]:
    """A job of three rows, or of as many as the wire wants at least."""
    provider = target.provider
    assert provider.batch is not None
    endpoint = provider.batch_endpoint.format(model=target.model)
    body = prepare(target, samples.PLAIN).body
    rows = tuple(BatchRequestRow(f"u-{n}", endpoint, body) for n in range(max(3, provider.batch.limits.min_rows)))
    return BatchTag("run:1", "u", target.model, endpoint, "a-boundary", variables=target.variables), BatchRows(rows)


@each
def test_a_job_from_submission_to_rows_on_disk(name: str, headgate_sim: Simulator) -> None:
    target = simulated_target(PROVIDERS[name], headgate_sim)
    tag, rows = tag_and_rows(target)

    async def live(client: BatchClient) -> list[str]:
        handle = await client.submit(tag, rows)
        headgate_sim.advance(END_OF_BATCH)
        state = await client.status(handle)
        assert state.status is BatchStatus.COMPLETED
        files = await client.results(handle, state)
        decoder = client.dialect.row_decoder("output")
        (path,) = {Path(file.path) for file in files if file.kind == "output"}
        return sorted(str(row.custom_id) for row in [*decoder.feed(path.read_bytes()), *decoder.close()])

    assert with_batches(target, live) == sorted(row.custom_id for row in rows.rows)
    account = target.credential.key.reveal().partition(":")[0]
    assert {line.account for line in headgate_sim.bill.lines} == {account}
    assert len(headgate_sim.bill.lines) == len(rows.rows)


@each
def test_a_refused_key_names_its_variable(name: str, headgate_sim: Simulator) -> None:
    target = simulated_target(PROVIDERS[name], headgate_sim, key="wrong")

    async def look(client: BatchClient) -> None:
        with pytest.raises(ProviderError) as caught:
            await client.find(tag_and_rows(target)[0], 0.0)
        assert caught.value.provider == name
        refused = (ErrorKind.BAD_REQUEST,) if name == "sim-xai" else (ErrorKind.AUTH, ErrorKind.PERMISSION)
        assert caught.value.kind in refused
        if caught.value.kind is ErrorKind.AUTH:
            assert caught.value.hint == "check the key in HEADGATE_SIM_KEY (account 'tests')"

    with_batches(target, look)


@each
def test_an_unclear_submission_is_found_again(name: str, headgate_sim: Simulator) -> None:
    """The job may exist although creating it failed with a 5xx: whoever asks `find` learns."""
    target = simulated_target(PROVIDERS[name], headgate_sim)
    tag, rows = tag_and_rows(target)
    headgate_sim.set_faults(fault("batch_create", Status("unavailable"), first=1))

    async def retry(client: BatchClient) -> None:
        since = headgate_sim.clock.now() - 1.0
        with pytest.raises(ProviderError) as caught:
            await client.submit(tag, rows)
        assert caught.value.transient
        assert await client.find(tag, since) == []
        handle = await client.submit(tag, rows)
        assert [candidate.handle.id for candidate in await client.find(tag, since)] == [handle.id]

    with_batches(target, retry)


def test_a_provider_without_a_batch_api_says_what_to_do(headgate_sim: Simulator, tmp_path: Path) -> None:
    plain = msgspec.structs.replace(PROVIDERS["sim-openai"], batch=None, batch_endpoint="")
    client = BatchClient(HttpClient(), simulated_target(plain, headgate_sim), tmp_path)
    with pytest.raises(Unsupported) as caught:
        _ = client.dialect
    assert caught.value.hint == "use --mode realtime"


@each
def test_an_unknown_job_is_not_found(name: str, headgate_sim: Simulator) -> None:
    target = simulated_target(PROVIDERS[name], headgate_sim)
    handle = BatchHandle(JOBS_BY_ID.get(name, "none"))

    async def look(client: BatchClient) -> None:
        with pytest.raises(ProviderError) as caught:
            await client.status(handle)
        assert caught.value.kind is ErrorKind.NOT_FOUND

    with_batches(target, look)


def test_a_token_that_is_refused_in_a_batch_call_is_fetched_anew(headgate_sim: Simulator) -> None:
    tokens = iter(("wrong", "next"))
    source = TokenSource(lambda: Token(Secret(next(tokens))))
    target = simulated_target(PROVIDERS["sim-openai"], headgate_sim)
    waiting = msgspec.structs.replace(target, credential=Credential("main", Secret(""), source))

    async def look(client: BatchClient) -> str:
        with pytest.raises(ProviderError) as caught:
            await client.status(BatchHandle("batch_1"))
        assert caught.value.kind is ErrorKind.AUTH
        return (await source.current()).reveal()

    assert with_batches(waiting, look) == "next"
