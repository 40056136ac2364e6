"""Taking over configurations of LiteLLM's proxy. The configurations are our own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.assembly.config_check import examine_names
from headgate.assembly.parts import load_parts
from headgate.catalog.load import load_catalog
from headgate.compat.litellm import Imported, read_litellm
from headgate.compat.litellm.entries import per_million
from headgate.compat.litellm.fates import Fate, rule_for
from headgate.compat.litellm.places import is_private, split_model
from headgate.compat.litellm.report import prices_text, report_text, settings_text
from headgate.compat.litellm.sections import window_of
from headgate.compat.litellm.tables import RULES
from headgate.config import Settings
from headgate.config.tree import Branch, Node, Series, read_tree
from headgate.errors import ConfigError

CONFIGURATIONS = sorted((Path(__file__).parent / "litellm_configs").glob("*.yaml"))
CATALOG = load_catalog()


def imported(name: str) -> Imported:
    """What one of the configurations comes to, by its number."""
    return read_litellm(next(path for path in CONFIGURATIONS if path.name.startswith(name)), CATALOG, "prices.yaml")


def taken(found: Imported, folder: Path) -> Settings:
    """The settings that are written, read again; without any variable set, and right."""
    (folder / "headgate.yaml").write_text(settings_text(found, "x"), encoding="utf-8")
    if found.prices:
        (folder / "prices.yaml").write_text(prices_text(found, "x"), encoding="utf-8")
    parts = load_parts(folder=folder)
    assert [finding for finding in examine_names(parts) if finding.level == "error"] == []
    return parts.settings


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_what_is_written_is_right_and_every_key_is_accounted_for(path: Path, workplace: Path) -> None:
    found = read_litellm(path, CATALOG, "prices.yaml")
    taken(found, workplace)
    root = read_tree(path)
    assert root is not None
    said = [fate.key for fate in found.fates]
    assert len(said) == len(set(said))
    for key in leaves("", root):
        assert any(key == one or key.startswith((f"{one}.", f"{one}[")) for one in said), key
    report = report_text(found)
    assert all(f"`{key}`" in report for key in said)


def leaves(path: str, node: Node) -> list[str]:
    """Paths of all single values and of all lists without mappings."""
    if isinstance(node, Branch) and node.entries:
        return [leaf for name, (_, inner) in node.entries.items() for leaf in leaves(f"{path}.{name}" if path else name, inner)]
    if isinstance(node, Series) and any(isinstance(item, Branch) for item in node.items):
        return [leaf for n, item in enumerate(node.items) for leaf in leaves(f"{path}[{n}]", item)]
    return [path]


def test_at_least_nine_keys_of_ten_are_mapped_or_explained(record_property: pytest.RecordProperty) -> None:
    fates = [fate for path in CONFIGURATIONS for fate in read_litellm(path, CATALOG, "p").fates]
    outcomes = Counter(fate.outcome for fate in fates)
    explained = sum(fate.reason != "not a key this import knows" for fate in fates) / len(fates)
    record_property("keys", len(fates))
    record_property("outcomes", dict(outcomes))
    record_property("explained", explained)
    assert len(CONFIGURATIONS) >= 12
    assert explained >= 0.9
    assert (outcomes["mapped"] + outcomes["approximated"]) / len(fates) >= 0.75


def test_no_key_that_stands_in_a_configuration_is_copied() -> None:
    for path in CONFIGURATIONS:
        found = read_litellm(path, CATALOG, "p")
        written = settings_text(found, "x") + report_text(found) + prices_text(found, "x")
        for secret in ("sk-1234567890abcdefghij", "sk-proj-abcdefghijklmnop", "llm:secret@db"):
            assert secret not in written


def test_several_azure_resources_and_routes(workplace: Path) -> None:
    found = taken(imported("02"), workplace)
    assert [(d.model, d.account, d.rpm, d.weight) for d in found.routes["gpt-4o"].deployments] == [
        ("azure_openai/gpt-4o", "azure-eu-key", 900, 1.0),
        ("azure-openai-shop-us-openai-azure-com/gpt-4o", None, 600, 2.0),
        ("openai/gpt-4o", None, None, 1.0),
    ]
    assert found.providers["azure_openai"].base_url == "https://azure-eu-base.invalid"
    assert found.providers["azure-openai-shop-us-openai-azure-com"].base_url == "https://shop-us.openai.azure.com/openai/v1"
    assert found.providers["azure-openai-shop-us-openai-azure-com"].key_header == "api-key"
    assert (found.routing.strategy, found.routing.attempts, found.request_timeout) == ("least_busy", 3, 45.0)


def test_fallbacks(workplace: Path) -> None:
    written = imported("03")
    found = taken(written, workplace)
    assert found.routes["writer"].fallback == ("backup", "cheap", "long")
    assert (found.routes["backup"].fallback, found.routes["long"].fallback) == (("long",), ("cheap",))
    lost = {fate.key: fate.reason for fate in written.fates if "no entry that can be called" in fate.reason}
    assert lost == {"litellm_settings.content_policy_fallbacks": "without gone: no entry that can be called has the name"}
    assert (found.routing.on_context_length, found.routing.on_content_filter) == ("larger", "fallback")


def test_budgets_and_limits(workplace: Path) -> None:
    found = taken(imported("04"), workplace)
    assert {(b.scope, b.window, b.limit_nanos, b.action) for b in found.budgets} == {
        ("provider:openai", "day", 100_000_000_000, "block"),
        ("provider:anthropic", "day", 500_000_000, "block"),
        ("global", "month", 500_250_000_000, "block"),
        ("user:*", "week", 10_000_000_000, "block"),
        ("key:*", "rolling:43200", 5_000_000_000, "block"),
        ("model:openai/gpt-4o", "day", 20_000_000_000, "block"),
    }
    assert {(limit.subject, limit.rpm, limit.tpm, limit.concurrency) for limit in found.limits} == {
        ("key:*", 60, 40000, 20),
        ("global", None, None, 400),
    }


def test_prices_of_ones_own(workplace: Path) -> None:
    taken(imported("06"), workplace)
    catalog = load_parts(folder=workplace).catalog
    price = catalog.price("openai", "gpt-4o", "2026-11-01")
    assert price is not None
    assert (price.rates.input, price.rates.output, price.rates.cache_read) == ("2", "8", "1")
    old, new = CATALOG.find("openai", "gpt-4o"), catalog.find("openai", "gpt-4o")
    assert old is not None and new is not None
    assert (new.capabilities, new.quality) == (old.capabilities, old.quality)
    based = catalog.find("azure_openai", "prod-gpt4o")
    assert based is not None and based.prices
    declared = catalog.price("deepseek", "deepseek-chat", "2026-11-01")
    assert declared is not None and (declared.rates.input, declared.rates.output) == ("0.27", "1.1")


def test_local_servers_may_be_private(workplace: Path) -> None:
    found = taken(imported("05"), workplace)
    assert found.providers["ollama"].base_url == "http://gpu-box:11434"
    assert found.providers["hosted-vllm-at-10-4-0-7-8000"].allow_private
    assert found.aliases["qwen"] == "hosted-vllm-at-10-4-0-7-8000/Qwen/Qwen2.5-32B-Instruct"


def test_shared_credentials_are_lent(workplace: Path) -> None:
    found = imported("12")
    settings = taken(found, workplace)
    assert settings.providers["azure_openai"].base_url == "https://azure-base.invalid"
    assert [fate.key for fate in found.dropped] == [
        "model_list[1].litellm_params.mock_response",
        "model_list[2]",
        "model_list[3]",
        "router_settings.future_option",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: 1", "not a configuration of LiteLLM's proxy"), ("- a", "not a configuration"), ("", "is empty"), ("model_list: !x []", "tags")],
)
def test_what_is_no_configuration(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_litellm(tmp_path / "f.yaml", CATALOG, "p")


@pytest.mark.parametrize(
    "text",
    [
        "model_list: 5",
        "model_list: [5, {}, {model_name: a}, {model_name: a, litellm_params: 5}, {litellm_params: {model: openai/gpt-4o}}]",
        "model_list: [{model_name: a, litellm_params: {model: openai/gpt-4o, rpm: -5, tpm: lots, timeout: 1e99, weight: .nan}}]",
        "model_list: [{model_name: a, litellm_params: {model: openai/gpt-4o, api_key: [x]}}]",
        "router_settings: {num_retries: many, timeout: -1, fallbacks: 5, routing_strategy: [x], model_group_alias: [x]}",
        "litellm_settings: {max_budget: .inf, budget_duration: soon, cache: true, cache_params: 5, request_timeout: 1e99}",
        "general_settings: {max_parallel_requests: 0.5, max_request_size_mb: -1, master_key: {a: b}}",
        "model_list: [{model_name: a, litellm_params: {model: hosted_vllm/x, api_base: 'http://['}}]",
    ],
)
def test_strange_values_are_dropped_with_a_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    found = read_litellm(tmp_path / "f.yaml", CATALOG, "prices.yaml")
    assert all(fate.reason for fate in found.dropped)
    assert found.fates


@pytest.mark.parametrize(
    ("written", "provider", "has_base", "split"),
    [
        ("azure/eu-gpt", None, False, ("azure", "eu-gpt")),
        ("gpt-4o", None, False, ("openai", "gpt-4o")),
        ("claude-sonnet-4-5", None, False, ("anthropic", "claude-sonnet-4-5")),
        ("openrouter/qwen/qwen3", None, False, ("openrouter", "qwen/qwen3")),
        ("bedrock/converse/amazon.nova-pro-v1:0", None, False, ("bedrock", "amazon.nova-pro-v1:0")),
        ("my/model", None, True, ("openai_like", "my/model")),
        ("my/model", None, False, ("my", "model")),
        ("model", "hosted_vllm", True, ("hosted_vllm", "model")),
        ("hosted_vllm/model", "hosted_vllm", True, ("hosted_vllm", "model")),
    ],
)
def test_names_are_split_as_they_are_there(written: str, provider: str | None, has_base: bool, split: tuple[str, str]) -> None:
    assert split_model(written, provider, has_base) == split


@pytest.mark.parametrize(
    ("duration", "window"),
    [
        (None, "total"),
        ("1d", "day"),
        ("24h", "day"),
        ("7d", "week"),
        ("30d", "month"),
        ("1mo", "month"),
        ("90s", "rolling:90"),
        ("x", None),
    ],
)
def test_windows(duration: str | None, window: str | None) -> None:
    assert window_of(duration)[0] == window


@pytest.mark.parametrize(
    ("base", "private"),
    [
        ("http://10.0.0.1:8000/v1", True),
        ("http://gpu-box:1", True),
        ("http://localhost", True),
        ("https://api.x.ai/v1", False),
        ("http://[", False),
    ],
)
def test_private_addresses(base: str, private: bool) -> None:
    assert is_private(base) == private


@given(st.decimals(min_value=0, max_value=1, places=15))
def test_prices_are_exact_or_none(price: object) -> None:
    found = per_million(f"{price:f}")
    assert found is not None
    assert msgspec.json.decode(found) == pytest.approx(float(str(price)) * 1e6)


@pytest.mark.parametrize("text", [None, "free", "-1", "nan", "inf", "1e-16", "1000000"])
def test_what_is_no_price(text: str | None) -> None:
    assert per_million(text) is None


def test_rules_stand_for_positions_and_beginnings() -> None:
    assert rule_for("model_list[3].litellm_params.temperature", RULES) is not None
    assert rule_for("model_list[3].model_info.supports_vision", RULES) is not None
    assert rule_for("model_list[3].model_info.supports.vision", RULES) is None
    assert rule_for("router_settings.unheard_of", RULES) is None
    assert {rule.outcome for rule in RULES.values()} == {"approximated", "dropped"}
    assert all(rule.reason for rule in RULES.values())


def test_a_report_of_nothing() -> None:
    assert Imported({}, (), ()).explained == 1.0
    assert report_text(Imported({}, (), (Fate("a|b", "dropped", "", "x|y"),))).splitlines()[-1] == "| `a\\|b` | x\\|y |"
