"""What names stand for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from headgate.catalog.load import load_catalog
from headgate.config.route_settings import DeploymentSettings, RouteSettings, RoutingSettings
from headgate.errors import ConfigError
from headgate.router.table import ProviderFacts, RoutingTable, Surroundings
from headgate.router.values import Entry
from headgate.testing.routes import surroundings

CATALOG = load_catalog()
ALL = surroundings(CATALOG, keys=("openai", "anthropic", "ollama", "groq", "azure_openai", "gemini"))


def D(model: str, **more: object) -> DeploymentSettings:
    return DeploymentSettings(model=model, **more)  # type: ignore[arg-type]


def table(*routes: RouteSettings, aliases: Mapping[str, str] | None = None, base: Surroundings = ALL, **routing: object) -> RoutingTable:
    return RoutingTable(replace(base, routes=routes, aliases=aliases or {}, routing=RoutingSettings(**routing)))  # type: ignore[arg-type]


def ids(entry: Entry) -> list[tuple[str, int]]:
    return [(one.deployment.id, one.group) for one in entry.candidates]


def names(entry: Entry) -> list[str]:
    return [one.deployment.id for one in entry.candidates]


CHAT = RouteSettings(
    name="chat",
    deployments=(
        D("openai/gpt-4o-mini"),
        D("azure_openai/gpt-4o-mini", weight=2, rpm=5, concurrency=3, timeout=60, region="eu", private=True),
    ),
    fallback=("groq/openai/gpt-oss-20b", "backup"),
    strategy="weighted",
    sticky="session",
    hedge=2.5,
)
BACKUP = RouteSettings(name="backup", deployments=(D("anthropic/claude-haiku-4-5"), D("openai/gpt-4o-mini")), fallback=("fast",))
BOTH = table(CHAT, BACKUP, aliases={"fast": "ollama/llama3.2", "talk": "chat"})


def test_a_route() -> None:
    entry = BOTH.find("chat")
    assert ids(entry) == [
        ("openai/gpt-4o-mini", 0),
        ("azure_openai/gpt-4o-mini", 0),
        ("groq/openai/gpt-oss-20b", 1),
        ("anthropic/claude-haiku-4-5", 2),
        ("ollama/llama3.2", 2),
    ]
    assert (entry.strategy, entry.sticky, entry.hedge, entry.explicit) == ("weighted", "session", 2.5, False)
    azure = entry.candidates[1].deployment
    assert (azure.weight, azure.limits.rpm, azure.limits.concurrency, azure.timeout, azure.region) == (2, 5, 3, 60, "eu")
    assert azure.private
    assert azure.family == entry.candidates[0].deployment.family
    assert azure.quality == entry.candidates[0].deployment.quality
    assert set(BOTH.deployments) == {id for id, _ in ids(entry)}


def test_aliases() -> None:
    assert names(BOTH.find("fast")) == ["ollama/llama3.2"]
    assert (ids(BOTH.find("talk")), BOTH.find("talk").name) == (ids(BOTH.find("chat")), "talk")


@pytest.mark.parametrize(
    ("name", "provider", "wanted", "explicit"),
    [
        ("openai/gpt-4o", None, ["openai/gpt-4o"], True),
        ("gpt-4o", "openai", ["openai/gpt-4o"], True),
        ("openai/gpt-4o", "openai", ["openai/gpt-4o"], True),
        ("gpt-4o", None, ["openai/gpt-4o", "azure_openai/gpt-4o"], False),
        ("claude-sonnet-4-5", None, ["anthropic/claude-sonnet-4-5"], True),
        ("grok-4.7", None, ["xai/grok-4.7"], True),
        ("phi4:14b", None, ["ollama/phi4:14b"], True),
        ("groq/openai/gpt-oss-20b", None, ["groq/openai/gpt-oss-20b"], True),
        ("openai/never-heard-of", None, ["openai/never-heard-of"], True),
        ("auto", None, ["ollama/llama3.2:latest", "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"], False),
        ("", None, ["ollama/llama3.2:latest", "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"], False),
        ("", "openai", ["openai/gpt-4o-mini"], True),
        ("auto", "Anthropic", ["anthropic/claude-sonnet-4-5"], True),
        ("high", "openai", ["openai/gpt-6.1-sol"], True),
        ("openai/low", None, ["openai/gpt-6-luna"], True),
    ],
)
def test_names(name: str, provider: str | None, wanted: list[str], explicit: bool) -> None:
    entry = BOTH.find(name, provider)
    assert names(entry) == wanted
    assert entry.explicit == explicit
    assert BOTH.find(name, provider) is entry


def test_grades_ask_each_provider_that_can_be_called_and_no_simulated_one() -> None:
    providers = [one.deployment.provider for one in BOTH.find("HIGH").candidates]
    assert set(providers) == {"openai", "anthropic", "gemini"}
    found = table(fallback=("sim-openai",)).find("low")
    assert "sim-openai" in {one.deployment.provider for one in found.candidates}


def test_grades_by_variables() -> None:
    facts = {**ALL.providers, "openai": replace(ALL.providers["openai"], models={"high": "gpt-5.5"})}
    assert names(table(base=replace(ALL, providers=facts)).find("high", "openai")) == ["openai/gpt-5.5"]


def test_the_chain_of_the_settings_and_the_default_provider() -> None:
    assert names(table(fallback=("anthropic", "groq/openai/gpt-oss-20b")).find("auto")) == [
        "anthropic/claude-sonnet-4-5",
        "groq/openai/gpt-oss-20b",
    ]
    assert names(table(base=replace(ALL, default_provider="gemini")).find("auto"))[0].startswith("gemini/")
    assert names(table(BACKUP, aliases={"fast": "ollama/llama3.2"}, fallback=("backup",)).find("auto"))[0] == "anthropic/claude-haiku-4-5"


def test_a_provider_that_was_never_set_up_is_not_in_the_chain_but_can_be_named() -> None:
    facts = {**ALL.providers, "ollama": replace(ALL.providers["ollama"], ready=False)}
    found = table(base=replace(ALL, providers=facts))
    assert names(found.find("auto")) == ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"]
    assert names(found.find("ollama/llama3.2")) == ["ollama/llama3.2"]
    assert names(table(base=replace(ALL, providers=facts), fallback=("ollama",)).find("auto")) == ["ollama/llama3.2:latest"]


def test_nobody_to_ask_lists_who_has_a_key() -> None:
    with pytest.raises(ConfigError, match="none of ollama, openai, anthropic can be called; keys were found for: gemini, sim-openai"):
        table(base=surroundings(CATALOG, keys=("gemini",))).find("auto")


@pytest.mark.parametrize(
    ("routes", "aliases", "words"),
    [
        ((RouteSettings(name="r", deployments=()),), {}, "the route r has no deployment"),
        ((RouteSettings(name="r", deployments=(D("openai/gpt-4o"), D("openai/gpt-4o"))),), {}, "names openai/gpt-4o twice"),
        (
            (RouteSettings(name="r", deployments=(D("openai/gpt-4o", weight=0),)),),
            {},
            "the route r needs a deployment with a weight above 0",
        ),
        ((RouteSettings(name="r", deployments=(D("opnai/gpt-4o"),)),), {}, "the route r: unknown provider 'opnai'"),
        ((RouteSettings(name="r", deployments=(D("openai/gpt-4o", account="eu"),)),), {}, "openai has no account 'eu'"),
        ((RouteSettings(name="r", deployments=(D("openai/gpt-4o"),), fallback=("r",)),), {}, "the route r leads back to r"),
        (
            (
                RouteSettings(name="r", deployments=(D("openai/gpt-4o"),), fallback=("s",)),
                RouteSettings(name="s", deployments=(D("openai/gpt-4o"),), fallback=("t",)),
            ),
            {"t": "r"},
            "r > s > t > r",
        ),
        ((), {"a": "b", "b": "a"}, "leads back to a"),
        ((), {"a": "no-such-model"}, "unknown model 'no-such-model'"),
    ],
)
def test_what_cannot_be_is_found_when_the_table_is_made(routes: tuple[RouteSettings, ...], aliases: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        table(*routes, aliases=aliases)


def test_a_weight_of_nothing_is_for_when_the_others_fail() -> None:
    route = RouteSettings(name="r", deployments=(D("openai/gpt-4o", weight=0), D("openai/gpt-4o-mini")), fallback=("anthropic", "low"))
    found = ids(table(route).find("r"))
    assert found[:3] == [("openai/gpt-4o", 1), ("openai/gpt-4o-mini", 0), ("anthropic/claude-sonnet-4-5", 2)]
    assert {group for _, group in found[3:]} == {3}
    with pytest.raises(ConfigError, match="must be a number from 0 on"):
        table(RouteSettings(name="r", deployments=(D("openai/gpt-4o", weight=-1), D("openai/gpt-4o-mini"))))


@pytest.mark.parametrize(
    ("name", "provider", "words"),
    [
        ("gpt-4oo", None, "did you mean gpt-4o"),
        ("gpt-4o", "opnai", "did you mean openai"),
        ("", "sim-openai", ""),
        ("low", "together", "together has no model for 'low'"),
    ],
)
def test_unknown_names(name: str, provider: str | None, words: str) -> None:
    if not words:
        assert names(BOTH.find(name, provider))
        return
    with pytest.raises(ConfigError, match=words):
        BOTH.find(name, provider)


def test_accounts_are_deployments_of_their_own() -> None:
    facts: dict[str, ProviderFacts] = {**ALL.providers, "openai": replace(ALL.providers["openai"], accounts={"eu": None, "us": "not set"})}
    route = RouteSettings(name="r", deployments=(D("openai/gpt-4o", account="eu"), D("openai/gpt-4o", account="us"), D("openai/gpt-4o")))
    entry = table(route, base=replace(ALL, providers=facts)).find("r")
    assert names(entry) == ["openai/gpt-4o#eu", "openai/gpt-4o#us", "openai/gpt-4o"]
    assert [one.deployment.missing for one in entry.candidates] == [None, "not set", None]
    assert len({one.deployment.credential for one in entry.candidates}) == 3


def test_prices_follow_the_length_of_the_prompt_and_what_is_not_listed_is_unknown() -> None:
    sol = BOTH.find("openai/gpt-6.1-sol").candidates[0].deployment
    assert sol.estimate(1000, 100) == 3_000_000
    assert sol.estimate(300_000, 100) == 1_201_500_000
    assert BOTH.find("openai/never-heard-of").candidates[0].deployment.estimate(1, 1) is None
    assert BOTH.find("openai/text-embedding-3-small").candidates[0].deployment.estimate(1_000_000, 500) == 20_000_000


def test_ranks_are_data() -> None:
    ranks = [BOTH.find(name).candidates[0].deployment.quality for name in ("openai/gpt-4o", "ollama/llama3.1-70b", "ollama/llama3.2")]
    assert ranks == sorted(ranks, reverse=True)
    assert CATALOG.find("anthropic", "claude-3-opus-20240229").quality == 200  # type: ignore[union-attr]
    assert table(quality={"gpt-4o": 7}).find("openai/gpt-4o").candidates[0].deployment.quality == 7
    assert table(quality={"openai/gpt-4o": 8, "gpt-4o": 7}).find("openai/gpt-4o").candidates[0].deployment.quality == 8
