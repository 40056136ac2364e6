"""Which provider and model a user means."""

from __future__ import annotations

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
