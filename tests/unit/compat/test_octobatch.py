"""Octobatch's provider layer over Headgate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from headgate.catalog.load import load_catalog
from headgate.compat import octobatch
from headgate.compat.octobatch import (
    AuthenticationError,
    BatchStatus,
    FatalProviderError,
    LLMProvider,
    ProviderConfigError,
    ProviderError,
    RateLimitError,
    get_provider,
    get_provider_info,
    get_provider_models,
    get_step_provider,
    load_model_registry,
    provider_class,
)
from headgate.compat.octobatch.errors import octobatch_error
from headgate.errors import ErrorKind
from headgate.errors import ProviderError as Failure
from headgate.ledger import Ledger, Receipt
from headgate.providers import PROVIDERS
from headgate.sim.faults import BatchEnd, Rows, Status, Twist
from headgate.sim.server import Simulator
from headgate.testing.simulators import END_OF_BATCH, fault

WIRES = ["sim-openai", "sim-anthropic", "sim-gemini"]
SCHEMA = {
    "title": "colour",
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


def at(sim: Simulator, name: str = "sim-openai", **api: object) -> LLMProvider:
    """A provider that is the simulator."""
    return get_provider({"api": {"provider": name, "base_url": sim.url, "max_tokens": 128, **api}})


def write_batch(provider: LLMProvider, path: Path, count: int = 5) -> Path:
    """A file of formatted requests."""
    lines = [provider.format_batch_request(f"unit-{n}", f"Name colour number {n}.") for n in range(count)]
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return path


def booked(workplace: Path) -> tuple[Receipt, ...]:
    """The receipts of the data folder."""
    ledger = Ledger.open(workplace / "data" / "ledger.db", read_only=True)
    try:
        return ledger.list()
    finally:
        ledger.close()


@pytest.mark.parametrize("name", WIRES)
def test_a_realtime_answer_and_its_receipt(name: str, sim: Simulator, workplace: Path) -> None:
    result = at(sim, name).generate_realtime("Name a colour.")
    (receipt,) = booked(workplace)
    assert result == {
        "content": result["content"],
        "input_tokens": receipt.usage.input_total,
        "output_tokens": receipt.usage.output_total,
        "finish_reason": "stop",
    }
    assert result["content"]
    assert receipt.cost_nanos == sim.bill.total


@pytest.mark.parametrize("name", WIRES)
def test_a_schema_is_handed_to_the_provider(name: str, sim: Simulator) -> None:
    result = at(sim, name).generate_realtime("Name a colour.", SCHEMA)
    assert set(msgspec.json.decode(result["content"])) == {"name"}


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("sim-openai", {"custom_id", "method", "url", "body"}),
        ("sim-anthropic", {"custom_id", "params"}),
        ("sim-gemini", {"key", "request"}),
    ],
)
def test_lines_are_in_the_providers_own_words(name: str, keys: set[str], sim: Simulator) -> None:
    assert set(at(sim, name).format_batch_request("unit-1", "Hello", SCHEMA)) == keys


@pytest.mark.parametrize("name", WIRES)
def test_the_life_of_a_batch(name: str, sim: Simulator, workplace: Path) -> None:
    provider = at(sim, name)
    file_id = provider.upload_batch_file(write_batch(provider, workplace / "batch.jsonl"))
    batch_id = provider.create_batch(file_id)
    early = provider.get_batch_status(batch_id)
    assert early["status"] in (BatchStatus.PENDING, BatchStatus.RUNNING)
    assert early["provider_status"]
    with pytest.raises(ProviderError, match="not over"):
        provider.download_batch_results(batch_id)
    sim.advance(END_OF_BATCH)
    late = provider.get_batch_status(batch_id)
    assert (late["status"], late["progress"], late["error"]) == (BatchStatus.COMPLETED, "5/5", None)
    results, metadata = provider.download_batch_results(batch_id)
    assert sorted(result["unit_id"] for result in results) == [f"unit-{n}" for n in range(5)]
    assert all(result["content"] and result["error"] is None for result in results)
    assert metadata["total_input_tokens"] == sum(result["input_tokens"] for result in results)
    assert (metadata["provider"], metadata["model"]) == (name, "sim-small")
    provider.download_batch_results(batch_id)
    assert sum(receipt.cost_nanos or 0 for receipt in booked(workplace)) == sim.bill.total
    assert provider.cancel_batch(batch_id) is False


@pytest.mark.parametrize("name", WIRES)
def test_a_running_batch_is_cancelled(name: str, sim: Simulator, workplace: Path) -> None:
    provider = at(sim, name)
    batch_id = provider.create_batch(provider.upload_batch_file(write_batch(provider, workplace / "batch.jsonl")))
    assert provider.cancel_batch(batch_id) is True
    sim.advance(END_OF_BATCH)
    assert provider.get_batch_status(batch_id)["status"] in (BatchStatus.CANCELLED, BatchStatus.COMPLETED)


def test_an_expired_batch_keeps_what_was_done(sim: Simulator, workplace: Path) -> None:
    sim.set_faults(fault("batch_create", BatchEnd("expired", share=0.5)))
    provider = at(sim)
    batch_id = provider.create_batch(provider.upload_batch_file(write_batch(provider, workplace / "batch.jsonl", 8)))
    sim.advance(END_OF_BATCH * 48)
    assert provider.get_batch_status(batch_id)["status"] is BatchStatus.FAILED
    results, _ = provider.download_batch_results(batch_id)
    assert {result["error"] is None for result in results} == {True, False}
    assert all((result["content"] is None) == (result["error"] is not None) for result in results)


def test_a_row_that_failed_says_why(sim: Simulator, workplace: Path) -> None:
    sim.set_faults(fault("batch_create", Rows("error", share=0.5, error="server")))
    provider = at(sim)
    batch_id = provider.create_batch(provider.upload_batch_file(write_batch(provider, workplace / "batch.jsonl", 8)))
    sim.advance(END_OF_BATCH)
    results, _ = provider.download_batch_results(batch_id)
    assert {bool(result["error"]) for result in results} == {True, False}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "has no requests"),
        ("{}\n", r"batch\.jsonl:1 is no request"),
        ("not JSON\n", "line 1"),
        ("7\n", "line 1"),
        ('\n{"key": "a"}\n', r":2 is no request"),
    ],
)
def test_a_file_that_is_no_batch_is_refused_when_it_is_uploaded(text: str, what: str, sim: Simulator, workplace: Path) -> None:
    path = workplace / "batch.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProviderError, match=what):
        at(sim).upload_batch_file(path)


def test_a_file_that_is_not_there_is_refused(sim: Simulator, workplace: Path) -> None:
    with pytest.raises(ProviderError, match="cannot be read"):
        at(sim).upload_batch_file(workplace / "missing.jsonl")


@pytest.mark.parametrize(
    ("action", "cls", "transient"),
    [
        (Status("rate_limit", retry_after=3.0), RateLimitError, True),
        (Status("auth"), AuthenticationError, False),
        (Status("permission"), AuthenticationError, False),
        (Status("quota"), FatalProviderError, False),
        (Status("model_not_found"), FatalProviderError, False),
        (Status("server"), ProviderError, True),
        (Status("bad_request"), ProviderError, False),
        (Twist("refusal"), ProviderError, False),
    ],
)
def test_errors_are_told_by_their_kind(action: Status | Twist, cls: type[ProviderError], transient: bool, sim: Simulator) -> None:
    sim.set_faults(fault("chat", action))
    wire = "sim-gemini" if isinstance(action, Twist) else "sim-openai"
    with pytest.raises(ProviderError) as caught:
        at(sim, wire).generate_realtime("Hello")
    assert (type(caught.value), caught.value.transient) == (cls, transient)
    if isinstance(action, Status) and action.retry_after:
        assert (caught.value.retry_after, caught.value.status) == (3.0, 429)


def test_a_request_id_with_400_in_it_is_not_fatal() -> None:
    found = octobatch_error(Failure(ErrorKind.SERVER, "request req_400401403 failed", status=500))
    assert type(found) is ProviderError


def test_authentication_errors_are_fatal_ones() -> None:
    assert issubclass(AuthenticationError, FatalProviderError)
    assert issubclass(FatalProviderError, ProviderError)
    assert issubclass(RateLimitError, ProviderError)


def test_a_missing_key_shows_when_the_provider_is_made() -> None:
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        octobatch.OpenAIProvider({})


@pytest.mark.parametrize("cls", [octobatch.GeminiProvider, octobatch.OpenAIProvider, octobatch.AnthropicProvider])
def test_the_three_classes_load_their_models_prices(cls: type[LLMProvider]) -> None:
    provider = cls({"api": {"api_key": "test-key-0000"}})
    card = load_catalog().find(cls.PROVIDER_NAME, provider.model)
    assert card is not None
    listed = float(card.prices[-1].rates.input or 0)
    assert provider.pricing["input_per_million"] == pytest.approx(listed / 2)
    assert provider.estimate_cost(1_000_000, 0) == pytest.approx(listed / 2)
    assert provider.estimate_cost(1_000_000, 0, is_batch=False) == pytest.approx(listed)
    assert provider.get_api_key_env_var() == get_provider_info(cls.PROVIDER_NAME)["env_var"]


@pytest.mark.parametrize("timeout", ["120", 0, -1, True])
def test_a_time_limit_must_be_a_number_of_seconds(timeout: object) -> None:
    with pytest.raises(ProviderConfigError, match="timeout must be a number"):
        octobatch.OpenAIProvider({"api": {"api_key": "test-key-0000", "timeout": timeout}})


def test_an_unknown_price_is_said_never_made_up() -> None:
    provider = octobatch.OpenAIProvider({"api": {"api_key": "test-key-0000", "model": "ft:gpt-4o-mini:mine"}})
    assert provider.pricing["input_per_million"] is None
    with pytest.raises(ProviderError, match="cost unknown"):
        provider.estimate_cost(1000, 1000)


def test_prices_of_an_old_registry_go_before_the_catalogs(workplace: Path) -> None:
    (workplace / "models.yaml").write_text(
        "providers:\n  openai:\n    models:\n      my-model: {display_name: Mine, input_per_million: 0.5, output_per_million: 2.0}\n",
        encoding="utf-8",
    )
    config = {"api": {"api_key": "test-key-0000", "model": "my-model", "models_file": "models.yaml"}}
    provider = octobatch.OpenAIProvider(config)
    assert (provider.estimate_cost(1_000_000, 1_000_000), provider.estimate_cost(1_000_000, 0, False)) == (2.5, 1.0)


def test_the_registry_has_every_provider_at_batch_prices() -> None:
    registry = load_model_registry()
    assert set(registry["providers"]) == set(PROVIDERS)
    assert registry["default_provider"] is None
    assert registry["defaults"]["input_per_million"] is None
    info = get_provider_info("OpenAI")
    assert (info["env_var"], info["realtime_multiplier"], info["default_model"]) == ("OPENAI_API_KEY", 2.0, "gpt-4o-mini")
    model = get_provider_models("openai")["gpt-4o-mini"]
    assert model == {"display_name": model["display_name"], "input_per_million": 0.075, "output_per_million": 0.3, "batch_support": True}
    with pytest.raises(ValueError, match="unknown provider 'nobody'"):
        get_provider_info("nobody")


def test_a_provider_is_named_by_the_configuration_or_the_settings(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert at(sim, "SIM-OpenAI").PROVIDER_NAME == "sim-openai"
    with pytest.raises(ValueError, match="no provider is named"):
        get_provider({})
    with pytest.raises(ValueError, match="unknown provider 'nobody'") as caught:
        get_provider({"api": {"provider": "nobody"}})
    assert isinstance(caught.value, ProviderConfigError)
    monkeypatch.setenv("HEADGATE_DEFAULT_PROVIDER", "sim-gemini")
    assert get_provider({}).PROVIDER_NAME == "sim-gemini"


CONFIG = {
    "api": {"provider": "sim-openai", "model": "sim-small"},
    "pipeline": {"steps": [{"name": "plain"}, {"name": "other", "provider": "sim-gemini"}, {"name": "large", "model": "sim-large"}]},
}


@pytest.mark.parametrize(
    ("step", "manifest", "found"),
    [
        ("plain", None, ("sim-openai", "sim-small")),
        ("missing", None, ("sim-openai", "sim-small")),
        ("other", None, ("sim-gemini", "sim-small")),
        ("large", {}, ("sim-openai", "sim-large")),
        ("large", {"metadata": {"cli_model_override": True}}, ("sim-openai", "sim-small")),
        ("other", {"metadata": {"cli_provider_override": True}}, ("sim-openai", "sim-small")),
        ("other", {"metadata": {"cli_model_override": True}}, ("sim-gemini", "sim-small")),
    ],
)
def test_a_steps_own_provider_counts_unless_the_command_line_said_otherwise(
    step: str, manifest: dict[str, object] | None, found: tuple[str, str]
) -> None:
    provider = get_step_provider(CONFIG, step, manifest)
    assert (provider.PROVIDER_NAME, provider.model) == found
    assert CONFIG["api"] == {"provider": "sim-openai", "model": "sim-small"}


def test_a_step_that_changes_the_provider_drops_the_other_ones_model() -> None:
    config = {
        "api": {"provider": "openai", "model": "gpt-4o-mini", "api_key": "test-key-0000"},
        "pipeline": {"steps": [{"name": "s", "provider": "gemini"}]},
    }
    assert get_step_provider(config, "s").model == PROVIDERS["gemini"].default_model


def test_calls_work_inside_a_running_loop(sim: Simulator) -> None:
    provider = at(sim)

    async def inside() -> str:
        return provider.generate_realtime("Hello")["content"]

    assert asyncio.run(inside())


def test_every_provider_has_a_class() -> None:
    assert {provider_class(name).PROVIDER_NAME for name in PROVIDERS} == set(PROVIDERS)
