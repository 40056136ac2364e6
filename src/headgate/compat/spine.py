"""GenAI Spine's provider layer: `LLMProvider` classes with `complete`, `stream_complete` and `calculate_cost` (SPN-03, SPN-04).

::

    from headgate.compat.spine import CompletionRequest, OpenAIProvider

    response = await OpenAIProvider().complete(CompletionRequest(messages=[{"role": "user", "content": "Hello"}], model="gpt-4o-mini"))
    print(response.content if response.success else response.error)

What went wrong at a provider is in the response, not raised. Costs are exact prices of the catalog; an unknown price is None, never zero.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import ClassVar

import msgspec

from headgate.catalog.cards import day_of
from headgate.catalog.prices import price
from headgate.client import Target
from headgate.client.direct import Connection, Workspace, direct_target, read_workspace
from headgate.client.items import request_of, schema_format
from headgate.compat.calls import Answered, ask, stream
from headgate.config import Secret
from headgate.domain.request import Request
from headgate.domain.usage import Usage
from headgate.errors import ConfigError, HeadgateError, UsageError
from headgate.providers import Provider
from headgate.wire.json import Json, JsonObject, decode

COOLEST, HOTTEST = 0.0, 2.0


class CompletionRequest(msgspec.Struct, kw_only=True):
    """What is asked. `model` may be empty for the provider's default. Raises `UsageError` for a temperature outside 0 to 2."""

    messages: Sequence[Mapping[str, Json]]
    model: str = ""
    temperature: float = 0.7
    max_tokens: int | None = None
    stream: bool = False
    output_schema: JsonObject | None = None

    def __post_init__(self) -> None:
        if not COOLEST <= self.temperature <= HOTTEST:
            raise UsageError(f"temperature must be from {COOLEST:g} to {HOTTEST:g}, not {self.temperature!r}")


class CompletionResponse(msgspec.Struct, kw_only=True):
    """What came of it. `model` is the one that answered; `cost_usd` None where the price is unknown; `latency_ms` the whole call."""

    content: str = ""
    model: str = ""
    success: bool = True
    error: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    raw_response: JsonObject | None = None
    provider: str = ""
    latency_ms: float = 0.0
    finish_reason: str | None = None


class LLMProvider(ABC):
    """One provider."""

    @abstractmethod
    async def complete(self, request: CompletionRequest) -> CompletionResponse:
        """One answer; failures are inside it."""

    @abstractmethod
    def stream_complete(self, request: CompletionRequest) -> AsyncIterator[str]:
        """Pieces of the answer's text. Raises `HeadgateError`."""

    @abstractmethod
    def calculate_cost(self, model: str, input_tokens: int, output_tokens: int) -> float:
        """Dollars for so many tokens. Raises `UsageError` for a model whose price is unknown."""


class SpineProvider(LLMProvider):
    """A provider of Headgate behind that face; subclasses name it.

    Keys, addresses and default models are found as everywhere in Headgate (the ``GENAI_*`` variables among them) unless they are given.
    A `base_url` may be a private address; `timeout` is seconds for a call.
    """

    PROVIDER_NAME: ClassVar[str] = ""

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        default_model: str | None = None,
        timeout: float | None = None,
        **variables: str,
    ) -> None:
        found = self._workspace.provider(self.PROVIDER_NAME)
        unknown = set(variables) - {variable.name for variable in found.variables}
        if unknown:
            raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
        self.provider: Provider = found
        self.timeout = timeout
        self._default_model = default_model
        self._connection = Connection(api_key=Secret(api_key) if api_key else None, base_url=base_url, variables=variables)

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.PROVIDER_NAME

    @property
    def default_model(self) -> str:
        """The model of requests that name none. Raises `ConfigError` when there is none either."""
        model = self._default_model or self._workspace.default_model(self.provider)
        if model is None:
            raise ConfigError(f"{self.provider.label} has no default model: name one in the request", hint="CompletionRequest(model=…)")
        return model

    async def complete(self, request: CompletionRequest) -> CompletionResponse:
        """One answer. Whatever Headgate or the provider refuses comes as ``success=False`` with the `error` in words."""
        begun = time.monotonic()
        try:
            target, asked = self._prepared(request)
            answered = await ask(self._workspace, target, asked, self.timeout)
        except HeadgateError as error:
            return CompletionResponse(
                model=request.model, success=False, error=error.message, provider=self.name, latency_ms=_since(begun), finish_reason="error"
            )
        return self._response(target, answered, _since(begun))

    async def stream_complete(self, request: CompletionRequest) -> AsyncGenerator[str, None]:
        """Pieces of the answer's text. Raises `HeadgateError`, also when the answer is cut."""
        target, asked = self._prepared(request)
        pieces = stream(self._workspace, target, asked, self.timeout)
        try:
            async for piece in pieces:
                yield piece
        finally:
            await pieces.aclose()

    def calculate_cost(self, model: str, input_tokens: int, output_tokens: int) -> float:
        """Dollars for so many tokens at today's list price. Raises `UsageError` for a model whose price is unknown."""
        usage = Usage(input_uncached=input_tokens, output_text=output_tokens)
        cost = price(self._workspace.catalog.price(self.name, model, day_of(time.time())), usage)
        if cost.usd is None:
            raise UsageError(f"the price of {self.name}/{model} is unknown", hint=f"headgate models --provider {self.name}")
        return float(cost.usd)

    @cached_property
    def _workspace(self) -> Workspace:
        return read_workspace()

    def _prepared(self, request: CompletionRequest) -> tuple[Target, Request]:
        target = direct_target(self.provider, request.model or self.default_model, self._connection, self._workspace)
        item: JsonObject = {"messages": list(request.messages), "temperature": request.temperature, "max_tokens": request.max_tokens}
        asked = request_of(item, target.model)
        if request.output_schema is not None:
            asked = msgspec.structs.replace(asked, response_format=schema_format(request.output_schema))
        return target, asked

    def _response(self, target: Target, answered: Answered, latency: float) -> CompletionResponse:
        response, receipt = answered.response, answered.receipt
        usd = receipt.cost.usd
        return CompletionResponse(
            content=response.text,
            model=response.model or target.model,
            input_tokens=receipt.usage.input_total,
            output_tokens=receipt.usage.output_total,
            cost_usd=None if usd is None else float(usd),
            raw_response=decode(target.chat.render_response(response), what="the answer"),
            provider=self.name,
            latency_ms=latency,
            finish_reason=response.finish.value if response.finish is not None else None,
        )


def _since(begun: float) -> float:
    return (time.monotonic() - begun) * 1000.0


class OllamaProvider(SpineProvider):
    """Models on one's own machine."""

    PROVIDER_NAME = "ollama"


class OpenAIProvider(SpineProvider):
    """OpenAI."""

    PROVIDER_NAME = "openai"


class AnthropicProvider(SpineProvider):
    """Anthropic."""

    PROVIDER_NAME = "anthropic"


class BedrockProvider(SpineProvider):
    """Amazon Bedrock, with the usual AWS credentials."""

    PROVIDER_NAME = "bedrock"


class GroqProvider(SpineProvider):
    """Groq."""

    PROVIDER_NAME = "groq"


class TogetherProvider(SpineProvider):
    """Together AI."""

    PROVIDER_NAME = "together"


SIX = (OllamaProvider, OpenAIProvider, AnthropicProvider, BedrockProvider, GroqProvider, TogetherProvider)


@lru_cache(maxsize=64)
def provider_class(name: str) -> type[SpineProvider]:
    """The class for any provider that Headgate knows, the six above or another."""
    own = {cls.PROVIDER_NAME: cls for cls in SIX}
    found: type[SpineProvider] = own.get(name) or type(f"{name.capitalize()}Provider", (SpineProvider,), {"PROVIDER_NAME": name})
    return found


def get_provider(
    name: str, api_key: str | None = None, base_url: str | None = None, default_model: str | None = None, timeout: float | None = None
) -> SpineProvider:
    """A provider by name. Raises `ConfigError` for one that Headgate does not know."""
    return provider_class(name.strip().lower())(api_key, base_url, default_model, timeout)
