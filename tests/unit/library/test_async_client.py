"""The asynchronous client over the simulator: answers, streams, receipts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from headgate.domain.events import Finished
from headgate.domain.request import Request, user_message
from headgate.domain.response import Finish
from headgate.errors import ConfigError, ErrorKind, ProviderError, Truncated, Unsupported, UsageError
from headgate.ledger import Ledger
from headgate.library import AsyncClient, LibraryParts
from headgate.sim.faults import CutStream, Delay, Match, Rule, Status, StreamError
from headgate.sim.server import Simulator
from headgate.testing.simulators import wait_for

MakeParts = Callable[[], LibraryParts]
MODELS = ("sim-openai/sim-small", "sim-anthropic/sim-small", "sim-gemini/sim-small")
ASK = "Where is the sailor's harbour, and how far is it from there to the sea?"


def using(make_parts: MakeParts, work: Callable[[AsyncClient], Awaitable[object]]) -> None:
    """Run `work` with a client, and see that no task is left behind."""

    async def main() -> None:
        async with AsyncClient(make_parts=make_parts) as client:
            await work(client)
        for _ in range(3):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@pytest.mark.parametrize("model", MODELS)
def test_complete(make_parts: MakeParts, sim: Simulator, ledger: Ledger, model: str) -> None:
    billed = sim.bill.total

    async def work(client: AsyncClient) -> None:
        answer = await client.complete(model, ASK, system="Be brief.", max_tokens=60, temperature=0)
        assert answer.text == str(answer) != ""
        assert answer.finish is Finish.STOP
        assert answer.usage.source == "provider" and answer.usage.total > 0
        assert answer.cost.nanos == sim.bill.total - billed
        receipt = ledger.get(answer.receipt_id)
        assert receipt is not None
        assert (receipt.face, receipt.status, receipt.dialect_in, receipt.cost) == ("library", "ok", None, answer.cost)

    using(make_parts, work)


@pytest.mark.parametrize("model", MODELS)
def test_stream(make_parts: MakeParts, sim: Simulator, ledger: Ledger, model: str) -> None:
    async def work(client: AsyncClient) -> None:
        whole = await client.complete(model, ASK)
        billed = sim.bill.total
        async with client.stream(model, ASK) as stream:
            pieces = [piece async for piece in stream]
            answer = stream.completion
        assert len(pieces) > 1
        assert "".join(pieces) == answer.text == whole.text
        assert answer.usage.source == "provider"
        assert answer.cost.nanos == sim.bill.total - billed
        receipt = ledger.get(answer.receipt_id)
        assert receipt is not None and receipt.stream and receipt.first_byte is not None

    using(make_parts, work)
    assert len(ledger.list()) == 2


@pytest.mark.parametrize("model", MODELS)
def test_structured_output_and_tools(make_parts: MakeParts, model: str) -> None:
    schema = {"type": "object", "properties": {"step": {"type": "integer"}}, "required": ["step"], "additionalProperties": False}

    async def work(client: AsyncClient) -> None:
        assert set((await client.complete(model, "step: 3", schema=schema)).json) == {"step"}
        tool = {"name": "walk", "description": "Take steps.", "parameters": schema}
        answer = await client.complete(model, "step: 3", tools=[tool], tool_choice="required")
        assert answer.finish is Finish.TOOL_CALLS
        assert [call.name for call in answer.tool_calls] == ["walk"]
        assert "step" in json.loads(answer.tool_calls[0].arguments)

    using(make_parts, work)


def test_events(make_parts: MakeParts) -> None:
    async def work(client: AsyncClient) -> None:
        request = Request(model=MODELS[0], messages=(user_message(ASK),))
        async with client.stream(request) as stream:
            events = [event async for event in stream.events()]
            assert sum(isinstance(event, Finished) for event in events) == 1
            with pytest.raises(UsageError, match="once"):
                await anext(aiter(stream))

    using(make_parts, work)


@pytest.mark.parametrize("model", MODELS)
def test_leaving_early_cancels_and_settles(make_parts: MakeParts, sim: Simulator, ledger: Ledger, model: str) -> None:
    async def work(client: AsyncClient) -> None:
        async with client.stream(model, ASK) as stream:
            async for _ in stream:
                break
            with pytest.raises(UsageError, match="not whole"):
                _ = stream.completion

    using(make_parts, work)
    (receipt,) = ledger.list()
    assert (receipt.status, receipt.usage.source) == ("cancelled", "estimated")
    assert receipt.cost_nanos
    assert wait_for(lambda: sim.requests[-1].client_gone is not None)


def test_cancelling_the_task_settles(make_parts: MakeParts, sim: Simulator, ledger: Ledger) -> None:
    async def work(client: AsyncClient) -> None:
        async def read() -> None:
            async with client.stream(MODELS[1], ASK) as stream:
                async for _ in stream:
                    begun.set()

        begun = asyncio.Event()
        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    using(make_parts, work)
    assert [receipt.status for receipt in ledger.list()] == ["cancelled"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_refusals(make_parts: MakeParts, sim: Simulator, ledger: Ledger, stream: bool) -> None:
    sim.set_faults((Rule(Status("rate_limit", retry_after=2)),))

    async def work(client: AsyncClient) -> None:
        with pytest.raises(ProviderError) as caught:
            if stream:
                async with client.stream(MODELS[0], ASK):
                    raise AssertionError("opened")
            await client.complete(MODELS[0], ASK)
        assert (caught.value.kind, caught.value.retry_after) == (ErrorKind.RATE_LIMIT, 2)

    using(make_parts, work)
    (receipt,) = ledger.list()
    assert (receipt.status, receipt.error, receipt.cost_nanos) == ("error", "rate_limit", 0)


@pytest.mark.parametrize(("action", "kind"), [(CutStream(3), Truncated), (StreamError(3), ProviderError)], ids=["cut", "error event"])
def test_broken_streams(
    make_parts: MakeParts, sim: Simulator, ledger: Ledger, action: CutStream | StreamError, kind: type[Exception]
) -> None:
    sim.set_faults((Rule(action, Match(operation="stream")),))

    async def work(client: AsyncClient) -> None:
        with pytest.raises(kind):
            async with client.stream(MODELS[1], ASK) as stream:
                async for _ in stream:
                    continue

    using(make_parts, work)
    (receipt,) = ledger.list()
    assert (receipt.status, receipt.usage.source) == ("error", "estimated")
    assert receipt.cost_nanos


def test_what_is_lost_is_noted_or_refused(make_parts: MakeParts, ledger: Ledger) -> None:
    async def work(client: AsyncClient) -> None:
        answer = await client.complete(MODELS[1], ASK, temperature=1.7)
        assert "temperature" in {note.field for note in answer.notes}
        with pytest.raises(Unsupported) as caught:
            await client.complete(MODELS[1], ASK, temperature=1.7, max_tokens=10, strict=True)
        assert caught.value.param == "temperature"
        with pytest.raises(Unsupported):
            async with client.stream(MODELS[1], ASK, temperature=1.7, max_tokens=10, strict=True):
                raise AssertionError("opened")

    using(make_parts, work)
    assert [receipt.cost_nanos for receipt in ledger.list()][:2] == [0, 0]


def test_unknown_names_and_closed_clients(make_parts: MakeParts, ledger: Ledger) -> None:
    async def work(client: AsyncClient) -> None:
        with pytest.raises(ConfigError, match="did you mean"):
            await client.complete("sim-openai/sim-smal", ASK)
        with pytest.raises(UsageError, match="open the stream first"):
            _ = client.stream(MODELS[0], ASK).completion
        await client.aclose()
        await client.aclose()
        with pytest.raises(UsageError, match="closed"):
            await client.complete(MODELS[0], ASK)

    using(make_parts, work)
    assert ledger.list() == ()


def test_parts_are_needed() -> None:
    with pytest.raises(TypeError, match="parts or make_parts"):
        AsyncClient()


def test_many_at_once(make_parts: MakeParts, sim: Simulator, ledger: Ledger) -> None:
    billed = sim.bill.total

    async def work(client: AsyncClient) -> None:
        answers = await asyncio.gather(*(client.complete(MODELS[n % 3], f"Question {n}") for n in range(30)))
        assert len({answer.receipt_id for answer in answers}) == 30
        assert sum(answer.cost.nanos or 0 for answer in answers) == sim.bill.total - billed

    using(make_parts, work)
    assert len(ledger.list()) == 30


def test_closing_ends_calls_under_way_and_books_them_before_the_parts_go(make_parts: MakeParts, sim: Simulator, ledger: Ledger) -> None:
    sim.set_faults((Rule(Delay(20), Match(operation="chat")),))
    parts, booked = make_parts(), []

    async def close() -> None:
        booked.extend(ledger.list())
        await parts.http.aclose()

    async def main() -> None:
        client = AsyncClient(msgspec.structs.replace(parts, close=close))
        resume = asyncio.Event()

        async def work() -> None:
            try:
                await client.complete(MODELS[0], ASK)
            finally:
                await resume.wait()

        tasks = [asyncio.create_task(work()) for _ in range(3)]
        while parts.http.open_connections < 3:
            await asyncio.wait(tasks, timeout=0.001)
        await client.aclose()
        resume.set()
        failures = await asyncio.gather(*tasks, return_exceptions=True)
        assert [getattr(failure, "kind", failure) for failure in failures] == [ErrorKind.CANCELLED] * 3

    asyncio.run(main())
    assert len(booked) == 3
