"""Which provider and model a user means."""

from __future__ import annotations

import msgspec
import pytest

from headgate.catalog.cards import Catalog, ModelCard, ProviderCards
from headgate.catalog.load import load_catalog
from headgate.catalog.resolve import Target, inferred, known_provider, resolve, resolve_step
from headgate.errors import ConfigError

DEFAULTS = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3.5-flash-lite",
    "sim-openai": "sim-small",
    "sim-anthropic": "sim-small",
    "sim-gemini": "sim-small",
    "local": None,
}
CATALOG = load_catalog()


def at(name: str, provider: str | None = None) -> Target:
    return resolve(name, provider, CATALOG, DEFAULTS)


@pytest.mark.parametrize(
    ("name", "provider", "target"),
    [
        ("gpt-4o-mini", None, "openai/gpt-4o-mini"),
        ("openai/gpt-4o-mini", None, "openai/gpt-4o-mini"),
        ("OpenAI/gpt-4o-mini", None, "openai/gpt-4o-mini"),
        ("openai/gpt-4o-mini", "openai", "openai/gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18", None, "openai/gpt-4o-mini-2024-07-18"),
        ("sonnet", None, "anthropic/claude-sonnet-5-5"),
        ("anthropic/opus", None, "anthropic/claude-opus-5-5"),
        ("models/gemini-3.8-flash", "gemini", "gemini/gemini-3.8-flash"),
        ("sim-small", "SIM-Gemini", "sim-gemini/sim-small"),
        ("sim-anthropic/sim-large", None, "sim-anthropic/sim-large"),
        ("local/meta-llama/Llama-3:8b", None, "local/meta-llama/Llama-3:8b"),
        ("llama3.2:3b", "local", "local/llama3.2:3b"),
        ("local/gpt-4o", None, "local/gpt-4o"),
    ],
)
def test_names_and_their_targets(name: str, provider: str | None, target: str) -> None:
    assert at(name, provider).name == target


def test_an_explicit_model_the_catalog_does_not_know_is_allowed_and_unpriced() -> None:
    target = at("openai/gpt-4o-mni")
    assert target.card is None
    assert target.capabilities.context is None
    assert target.notes == ("openai/gpt-4o-mni is not in the catalog (did you mean gpt-4o-mini?): its cost is unknown",)


def test_an_announced_retirement_is_a_note() -> None:
    target = at("gpt-5")
    assert target.card is not None
    assert target.capabilities.max_output == 128000
    assert target.notes == ("openai/gpt-5 is announced to be retired on 2026-12-11; openai/gpt-5.6-sol is its successor",)


@pytest.mark.parametrize(
    ("name", "provider", "said", "hint"),
    [
        ("gpt-4o-mni", None, "did you mean gpt-4o-mini", "headgate models"),
        ("gpt-4o-mni", None, "write openai/gpt-4o-mni", "headgate models"),
        ("some-thing-else", None, "unknown model 'some-thing-else'; write it as provider/model", "headgate models"),
        ("opanai/gpt-4o", None, "unknown provider 'opanai' in 'opanai/gpt-4o' (did you mean openai/gpt-4o?)", "headgate models"),
        ("gpt-4o", "opanai", "unknown provider 'opanai' (did you mean openai?); supported: anthropic, gemini, local", "headgate doctor"),
        ("gpt-4o", "zzz", "unknown provider 'zzz'; supported:", "headgate doctor"),
        (
            "sim-small",
            None,
            "served by several providers: sim-anthropic/sim-small, sim-gemini/sim-small, sim-openai/sim-small",
            "headgate ask",
        ),
        (
            "sim-smal",
            "sim-openai",
            "sim-openai has no model 'sim-smal' (did you mean sim-small?); it has sim-small, sim-large",
            "headgate models",
        ),
        ("gpt-4o", "anthropic", "gpt-4o is a model of openai, not of anthropic", "headgate models --provider anthropic"),
        ("openai/gpt-4o", "anthropic", "names the provider openai, but the provider asked for is anthropic", "headgate models"),
        ("openai", None, "openai is a provider, not a model", "headgate models --provider openai"),
        (
            "gemini-2.0-flash-001",
            None,
            "gemini/gemini-2.0-flash-001 is retired since 2026-06-01; use gemini/gemini-3.5-flash-lite",
            "headgate ask",
        ),
        ("claude-sonnet-4-20250514", "anthropic", "use anthropic/claude-sonnet-4-6 instead", "headgate ask"),
        ("claude-3-opus-20240229", None, "is retired; use anthropic/claude-opus-4-8", "headgate ask"),
        ("gpt-4-turbo", None, "is retired", "headgate ask"),
        ("", None, "not a model name", "headgate models"),
        (" gpt-4o", None, "not a model name", "headgate models"),
        ("openai/", None, "unknown model 'openai/'", "headgate models"),
    ],
)
def test_errors_say_what_why_and_what_to_do(name: str, provider: str | None, said: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        at(name, provider)
    assert said in str(caught.value)
    assert (caught.value.hint or "").startswith(hint)


def test_a_model_name_that_contains_another_providers_name() -> None:
    card = ModelCard(id="openai/gpt-oss", display_name="x", provider="host")
    catalog = Catalog((ProviderCards(provider="host", label="Host", models=(card,)),))
    known = {"host": None, "openai": None}
    assert resolve("openai/gpt-oss", "host", catalog, known).name == "host/openai/gpt-oss"
    assert resolve("host/openai/gpt-oss", None, catalog, known).name == "host/openai/gpt-oss"


def test_inference_by_prefix() -> None:
    assert inferred("gpt-99", CATALOG, DEFAULTS) == ["openai"]
    assert inferred("CLAUDE-x", CATALOG, DEFAULTS) == ["anthropic"]
    assert inferred("gemini-x", CATALOG, {"openai": None}) == []
    assert inferred("llama", CATALOG, DEFAULTS) == []
    assert known_provider(" Gemini ", DEFAULTS) == "gemini"


STEPS = [
    # cli_provider, cli_model, step_provider, step_model, api_provider, api_model, default -> target
    ((None, None, None, None, "openai", None, None), "openai/gpt-4o-mini"),
    ((None, None, None, None, "openai", "gpt-4.1", None), "openai/gpt-4.1"),
    ((None, None, None, None, None, "gpt-4.1", None), "openai/gpt-4.1"),
    ((None, None, None, None, None, None, "gemini"), "gemini/gemini-3.5-flash-lite"),
    ((None, None, "anthropic", None, "openai", "gpt-4.1", None), "anthropic/claude-sonnet-4-5"),
    ((None, None, "openai", None, "openai", "gpt-4.1", None), "openai/gpt-4.1"),
    ((None, None, None, "claude-haiku-4-5", "openai", "gpt-4.1", None), "anthropic/claude-haiku-4-5"),
    ((None, None, None, "gpt-4.1-mini", "openai", "gpt-4.1", None), "openai/gpt-4.1-mini"),
    ((None, None, None, "sim-large", "sim-gemini", None, None), "sim-gemini/sim-large"),
    ((None, None, None, "sim-large", None, None, "sim-openai"), "sim-openai/sim-large"),
    ((None, None, "openai", "my-tuned-model", "gemini", None, None), "openai/my-tuned-model"),
    ((None, None, None, "local/my/model", "gemini", None, None), "local/my/model"),
    (("Anthropic", None, None, None, None, None, None), "anthropic/claude-sonnet-4-5"),
    (("anthropic", None, "openai", "gpt-4.1", "gemini", None, None), "anthropic/claude-sonnet-4-5"),
    (("anthropic", None, "openai", "gpt-4.1", None, "claude-haiku-4-5", None), "anthropic/claude-haiku-4-5"),
    (("openai", None, "openai", "my-tuned-model", None, None, None), "openai/my-tuned-model"),
    (("sim-openai", None, None, "gemini-2.0-flash-001", "gemini", None, None), "sim-openai/sim-small"),
    ((None, "claude-haiku-4-5", "openai", "gpt-4.1", "openai", None, None), "anthropic/claude-haiku-4-5"),
    ((None, "sim-flash", "sim-gemini", None, "sim-openai", None, None), "sim-gemini/sim-flash"),
    ((None, "openai/gpt-4o", "anthropic", None, None, None, None), "openai/gpt-4o"),
    (("openai", "gpt-4o", "anthropic", "claude-haiku-4-5", "gemini", None, "gemini"), "openai/gpt-4o"),
    (("openai", "my-tuned-model", None, None, None, None, None), "openai/my-tuned-model"),
]


def step(levels: tuple[str | None, ...], with_keys: tuple[str, ...] = ()) -> Target:
    names = ("cli_provider", "cli_model", "step_provider", "step_model", "api_provider", "api_model", "default_provider")
    return resolve_step(**dict(zip(names, levels, strict=True)), catalog=CATALOG, default_models=DEFAULTS, with_keys=with_keys)


@pytest.mark.parametrize(("levels", "target"), STEPS)
def test_the_target_of_a_step(levels: tuple[str | None, ...], target: str) -> None:
    assert step(levels).name == target


def test_overriding_the_provider_says_what_it_drops() -> None:
    target = step(("sim-openai", None, "openai", "gpt-4.1", None, "gemini-2.5-pro", None))
    assert target.notes[0] == "gpt-4.1 and gemini-2.5-pro of the pipeline are not of sim-openai: sim-openai/sim-small is used instead"
    assert step((None, None, "anthropic", None, "openai", "gpt-4.1", None)).notes == ()


@pytest.mark.parametrize(
    ("levels", "with_keys", "said"),
    [
        ((None,) * 7, (), "no provider is named anywhere; supported are anthropic, gemini"),
        ((None,) * 7, ("openai", "gemini"), "keys were found for gemini, openai"),
        (("nope", None, None, None, None, None, None), (), "unknown provider 'nope'"),
        ((None, None, None, None, "Gemnii", None, None), (), "did you mean gemini?"),
        (("anthropic", "gpt-4o", None, None, None, None, None), (), "gpt-4o is a model of openai"),
        (("anthropic", "openai/gpt-4o", None, None, None, None, None), (), "names the provider openai"),
        ((None, None, None, "my-tuned-model", "openai", None, None), (), "unknown model 'my-tuned-model'"),
        ((None, None, None, "sim-large", None, None, None), (), "served by several providers"),
        ((None, None, None, None, "openai", "gpt-4-turbo", None), (), "is retired"),
        ((None, None, None, None, "local", None, None), (), "no model is named for local, which has no default"),
    ],
)
def test_steps_that_cannot_be_resolved(levels: tuple[str | None, ...], with_keys: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        step(levels, with_keys)
    assert said in str(caught.value)


def served(provider: str, *models: ModelCard, home: bool = True, **more: object) -> ProviderCards:
    cards = tuple(ModelCard(id=card.id, display_name=card.id, provider=provider, status=card.status) for card in models)
    return msgspec.structs.replace(ProviderCards(provider=provider, label=provider, home=home, models=cards), **more)


def test_a_bare_name_means_the_model_at_its_home() -> None:
    model = ModelCard(id="m", display_name="m")
    resold = Catalog((served("reseller", model, home=False), served("maker", model)))
    assert resolve("m", None, resold, {"maker", "reseller"}).name == "maker/m"
    assert resolve("m", None, resold, {"reseller"}).name == "reseller/m"
    assert resolve("reseller/m", None, resold, {"maker", "reseller"}).name == "reseller/m"
    twice = Catalog((served("one", model), served("two", model), served("reseller", model, home=False)))
    with pytest.raises(ConfigError, match="several providers: one/m, two/m"):
        resolve("m", None, twice, {"one", "two", "reseller"})


def test_a_model_that_is_retired_at_home_is_not_looked_for_elsewhere() -> None:
    gone = Catalog(
        (
            served("maker", ModelCard(id="m", display_name="m", status="retired")),
            served("r", ModelCard(id="m", display_name="m"), home=False),
        )
    )
    with pytest.raises(ConfigError, match="maker/m is retired") as caught:
        resolve("m", None, gone, {"maker", "r"})
    assert caught.value.hint == "headgate models --provider maker"


ALL = dict.fromkeys(CATALOG.providers)


@pytest.mark.parametrize(
    ("name", "providers"),
    [
        ("gpt-99", ["openai"]),
        ("o1-new", ["openai"]),
        ("o3-new", ["openai"]),
        ("claude-9", ["anthropic"]),
        ("amazon.nova-new-v1:0", ["bedrock"]),
        ("anthropic.claude-9-v1:0", ["bedrock"]),
        ("us.anthropic.claude-9-v1:0", ["bedrock"]),
        ("eu.amazon.nova-new-v1:0", ["bedrock"]),
        ("apac.amazon.nova-new-v1:0", ["bedrock"]),
        ("global.anthropic.claude-9-v1:0", ["bedrock"]),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/x", ["bedrock"]),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", ["openai"]),
        ("grok-99", ["xai"]),
        ("gemini-99", ["gemini"]),
        ("phi4:14b", ["ollama"]),
        ("phi4", []),
    ],
)
def test_the_provider_of_a_name_by_its_beginning_before_its_colon(name: str, providers: list[str]) -> None:
    assert inferred(name, CATALOG, ALL) == providers


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("gpt-4o", "openai/gpt-4o"),
        ("gemini-3.8-flash", "gemini/gemini-3.8-flash"),
        ("amazon.nova-lite-v1:0", "bedrock/amazon.nova-lite-v1:0"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("llama3.2:3b", "ollama/llama3.2:3b"),
        ("mistral", "ollama/mistral"),
        ("phi4:14b", "ollama/phi4:14b"),
        ("grok-4.3", "xai/grok-4.3"),
        ("whisper-large-v3", "groq/whisper-large-v3"),
        ("azure_openai/gpt-4o", "azure_openai/gpt-4o"),
        ("bedrock/amazon.nova-new-v1:0", "bedrock/amazon.nova-new-v1:0"),
    ],
)
def test_names_among_all_providers(name: str, target: str) -> None:
    assert resolve(name, None, CATALOG, ALL).name == target


@pytest.mark.parametrize(
    "name", ["grok-beta", "gpt-4-turbo", "claude-3-5-sonnet-20241022", "gemini-2.0-flash-001", "gpt-5-codex", "llama-3.3-70b-versatile"]
)
def test_retired_names_of_old_configurations_say_what_to_use(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is retired.*; use ") as caught:
        resolve(name, None, CATALOG, ALL)
    assert (caught.value.hint or "").startswith("headgate ask -m ")


@pytest.mark.parametrize("name", ["ft:gpt-4o-mini-2024-07-18:acme::abc", "someone/model:free", "opanai/llama:3b"])
def test_a_colon_alone_does_not_make_a_local_model(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown"):
        resolve(name, None, CATALOG, ALL)


def test_unknown_models_of_a_cloud_are_not_taken_for_local_ones() -> None:
    with pytest.raises(ConfigError, match="unknown model"):
        resolve("gpt-oss:120b-cloud", None, CATALOG, ALL)
    assert resolve("ollama/gpt-oss:120b-cloud", None, CATALOG, ALL).card is None
