"""GenAI Spine's provider layer over Headgate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from headgate.compat import spine
from headgate.compat.spine import CompletionRequest, CompletionResponse, LLMProvider, SpineProvider, get_provider, provider_class
from headgate.errors import ConfigError, ErrorKind, ProviderError, Truncated, UsageError
from headgate.ledger import Ledger, Receipt
from headgate.providers import PROVIDERS
from headgate.sim.faults import CutStream, Status
from headgate.sim.server import Simulator
from headgate.testing.simulators import fault

WIRES = ["sim-openai", "sim-anthropic", "sim-gemini"]
HELLO = [{"role": "user", "content": "Name three rivers."}]
SCHEMA = {
    "title": "rivers",
    "type": "object",
    "properties": {"names": {"type": "string"}},
    "required": ["names"],
    "additionalProperties": False,
}


def at(sim: Simulator, name: str = "sim-openai") -> SpineProvider:
    """A provider that is the simulator."""
    return get_provider(name, base_url=sim.url)


def complete(provider: LLMProvider, **fields: object) -> CompletionResponse:
    """The answer to a request."""
    return asyncio.run(provider.complete(msgspec.convert({"messages": HELLO, **fields}, CompletionRequest)))


def booked(workplace: Path) -> tuple[Receipt, ...]:
    """The receipts of the data folder."""
    ledger = Ledger.open(workplace / "data" / "ledger.db", read_only=True)
    try:
        return ledger.list()
    finally:
        ledger.close()


@pytest.mark.parametrize("name", WIRES)
def test_an_answer_with_its_tokens_cost_and_receipt(name: str, sim: Simulator, workplace: Path) -> None:
    response = complete(at(sim, name), model="sim-small", max_tokens=64)
    assert (response.success, response.error, response.provider) == (True, None, name)
    assert response.content and response.model == "sim-small" and response.finish_reason == "stop"
    assert response.latency_ms > 0
    assert isinstance(response.raw_response, dict) and response.raw_response
    (receipt,) = booked(workplace)
    assert (response.input_tokens, response.output_tokens) == (receipt.usage.input_total, receipt.usage.output_total)
    assert response.cost_usd == pytest.approx(sim.bill.total / 1e9)
    assert receipt.cost_nanos == sim.bill.total


@pytest.mark.parametrize("name", WIRES)
def test_streaming_gives_the_same_text_and_one_receipt(name: str, sim: Simulator, workplace: Path) -> None:
    provider = at(sim, name)
    request = CompletionRequest(messages=HELLO, model="sim-small", max_tokens=64)

    async def read() -> str:
        return "".join([piece async for piece in provider.stream_complete(request)])

    text = asyncio.run(read())
    assert text == asyncio.run(provider.complete(request)).content
    receipts = booked(workplace)
    assert [(receipt.status, receipt.stream) for receipt in receipts] == [("ok", False), ("ok", True)]
    assert sum(receipt.cost_nanos or 0 for receipt in receipts) == sim.bill.total


@pytest.mark.parametrize("name", WIRES)
def test_an_output_schema_gives_structured_output(name: str, sim: Simulator) -> None:
    response = complete(at(sim, name), model="sim-small", output_schema=SCHEMA, max_tokens=256)
    assert response.success, response.error
    assert set(msgspec.json.decode(response.content)) == {"names"}


REACHABLE = [cls for cls in spine.SIX if cls.PROVIDER_NAME in PROVIDERS and f"sim-{cls.PROVIDER_NAME}" in PROVIDERS]


@pytest.mark.parametrize("cls", REACHABLE, ids=lambda cls: cls.PROVIDER_NAME)
def test_each_of_the_six_answers_at_the_simulator_of_its_wire(cls: type[SpineProvider], sim: Simulator) -> None:
    twin = PROVIDERS[f"sim-{cls.PROVIDER_NAME}"]
    provider = cls(api_key=twin.auth.default, base_url=f"{sim.url}{twin.base_path}")
    response = complete(provider, max_tokens=64)
    assert response.success, response.error
    assert response.content and response.input_tokens and response.output_tokens


def test_an_error_is_in_the_response(sim: Simulator, workplace: Path) -> None:
    sim.set_faults(fault("chat", Status("rate_limit")))
    response = complete(at(sim), model="sim-small")
    assert (response.success, response.content, response.finish_reason) == (False, "", "error")
    assert response.error
    assert [receipt.error for receipt in booked(workplace)] == [ErrorKind.RATE_LIMIT.value]


def test_a_missing_key_is_in_the_response_too() -> None:
    response = complete(spine.OpenAIProvider(), model="gpt-4o-mini")
    assert response.success is False
    assert "OPENAI_API_KEY" in (response.error or "")


def test_messages_that_are_none_are_in_the_response_too() -> None:
    response = complete(spine.OpenAIProvider(api_key="sk-test-000000000000"), messages=[{"role": "user", "content": 7}])
    assert response.success is False and response.error


def test_a_stream_that_breaks_raises_and_is_booked(sim: Simulator, workplace: Path) -> None:
    sim.set_faults(fault("stream", CutStream(3)))

    async def read() -> None:
        async for _ in at(sim).stream_complete(CompletionRequest(messages=HELLO, model="sim-small")):
            pass

    with pytest.raises(Truncated):
        asyncio.run(read())
    (receipt,) = booked(workplace)
    assert receipt.status == "error"
    assert receipt.usage.output_total > 0


def test_leaving_a_stream_early_books_what_came(sim: Simulator, workplace: Path) -> None:
    async def read() -> str:
        pieces = at(sim).stream_complete(CompletionRequest(messages=HELLO, model="sim-small"))
        first = await anext(pieces)
        await pieces.aclose()
        return first

    assert asyncio.run(read())
    (receipt,) = booked(workplace)
    assert receipt.status == "cancelled"


@pytest.mark.parametrize("temperature", [-0.1, 2.1])
def test_a_temperature_out_of_range_is_refused(temperature: float) -> None:
    with pytest.raises(UsageError, match="from 0 to 2"):
        CompletionRequest(messages=HELLO, model="m", temperature=temperature)


def test_the_defaults_of_a_request() -> None:
    request = CompletionRequest(messages=HELLO, model="m")
    assert (request.temperature, request.max_tokens, request.stream, request.output_schema) == (0.7, None, False, None)


def test_costs_come_from_the_catalog_and_an_unknown_one_is_an_error(sim: Simulator) -> None:
    assert at(sim).calculate_cost("sim-small", 1_000_000, 1_000_000) == pytest.approx(0.75)
    with pytest.raises(UsageError, match="unknown"):
        spine.OpenAIProvider().calculate_cost("no-such-model", 1, 1)


def test_a_request_without_a_model_gets_the_default(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(at(sim)).model == "sim-small"
    assert get_provider("sim-openai", base_url=sim.url, default_model="sim-large").default_model == "sim-large"
    monkeypatch.setenv("GENAI_OPENAI_DEFAULT_MODEL", "gpt-5-mini")
    assert spine.OpenAIProvider().default_model == "gpt-5-mini"


def test_the_six_providers_are_there_by_name() -> None:
    names = {cls.PROVIDER_NAME for cls in spine.SIX}
    assert names == {"ollama", "openai", "anthropic", "bedrock", "groq", "together"}
    for cls in spine.SIX:
        assert provider_class(cls.PROVIDER_NAME) is cls
        if cls.PROVIDER_NAME in PROVIDERS:
            assert cls().name == cls.PROVIDER_NAME


def test_every_other_provider_has_a_class_as_well() -> None:
    for name in PROVIDERS:
        assert get_provider(name.upper()).name == name
    with pytest.raises(ConfigError, match="unknown provider 'nobody'"):
        get_provider("nobody")


def test_arguments_nobody_knows_are_refused() -> None:
    with pytest.raises(TypeError, match="flavour"):
        spine.OpenAIProvider(flavour="sweet")


def test_errors_of_a_stream_are_headgates(sim: Simulator) -> None:
    sim.set_faults(fault("stream", Status("server")))

    async def read() -> None:
        async for _ in at(sim).stream_complete(CompletionRequest(messages=HELLO, model="sim-small")):
            pass

    with pytest.raises(ProviderError):
        asyncio.run(read())
