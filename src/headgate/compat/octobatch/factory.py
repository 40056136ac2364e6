"""Providers by configuration: of a pipeline, and of one of its steps (OCT-11 to OCT-13, OCT-20)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from headgate.client.direct import read_workspace
from headgate.compat.octobatch.errors import ProviderConfigError, octobatch_error
from headgate.compat.octobatch.provider import AnthropicProvider, GeminiProvider, LLMProvider, OpenAIProvider
from headgate.compat.octobatch.types import Config
from headgate.errors import HeadgateError
from headgate.wire.json import Json, JsonObject

_WRITTEN: dict[str, type[LLMProvider]] = {cls.PROVIDER_NAME: cls for cls in (GeminiProvider, OpenAIProvider, AnthropicProvider)}


@lru_cache(maxsize=64)
def provider_class(name: str) -> type[LLMProvider]:
    """The class of a provider. Whether there is such a provider shows when it is made."""
    made: type[LLMProvider] = _WRITTEN.get(name) or type(
        f"{name.title().replace('-', '')}Provider", (LLMProvider,), {"PROVIDER_NAME": name}
    )
    return made


def get_provider(config: Config) -> LLMProvider:
    """The provider that ``api.provider`` names, else the default of the settings. Raises `ProviderConfigError` (a `ValueError`)."""
    try:
        workspace = read_workspace()
    except HeadgateError as error:
        raise octobatch_error(error) from error
    name = (config.get("api") or {}).get("provider") or workspace.settings.default_provider
    if not name:
        raise ProviderConfigError(
            f"no provider is named, and none is the default; supported: {', '.join(workspace.providers)}",
            hint="export HEADGATE_DEFAULT_PROVIDER=gemini",
        )
    return provider_class(str(name).strip().lower())(config)


def get_step_provider(config: Config, step_name: str, manifest: Mapping[str, Json] | None = None) -> LLMProvider:
    """The provider of one step: what was given on the command line (so the manifest says), else the step's own, else the pipeline's.

    Where a step changes only the provider, the pipeline's model is dropped, for it belongs to another one (OCT-13).
    """
    steps = (config.get("pipeline") or {}).get("steps") or []
    step: JsonObject = next((found for found in steps if found.get("name") == step_name), {})
    given: JsonObject = ((manifest or {}).get("metadata")) or {}
    provider = None if given.get("cli_provider_override") else step.get("provider")
    model = None if given.get("cli_model_override") else step.get("model")
    api: JsonObject = dict(config.get("api") or {})
    if provider and provider != api.get("provider") and not given.get("cli_model_override"):
        api.pop("model", None)
    api |= {name: value for name, value in (("provider", provider), ("model", model)) if value}
    return get_provider({**config, "api": api})
