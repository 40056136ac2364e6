"""Octobatch's provider layer over Headgate.

::

    from headgate.compat.octobatch import BatchStatus, get_provider

    provider = get_provider({"api": {"provider": "gemini"}})
    print(provider.generate_realtime("What is 2+2?")["content"])

Calls block. Every provider of Headgate can be named, not only the three that have classes of their own.
"""

from headgate.compat.octobatch.errors import AuthenticationError, FatalProviderError, ProviderConfigError, ProviderError, RateLimitError
from headgate.compat.octobatch.factory import get_provider, get_step_provider, provider_class
from headgate.compat.octobatch.provider import AnthropicProvider, GeminiProvider, LLMProvider, OpenAIProvider
from headgate.compat.octobatch.registry import (
    get_all_providers,
    get_default_pricing,
    get_provider_info,
    get_provider_models,
    load_model_registry,
)
from headgate.compat.octobatch.types import BatchMetadata, BatchResult, BatchStatus, BatchStatusInfo, RealtimeResult

__all__ = [
    "AnthropicProvider",
    "AuthenticationError",
    "BatchMetadata",
    "BatchResult",
    "BatchStatus",
    "BatchStatusInfo",
    "FatalProviderError",
    "GeminiProvider",
    "LLMProvider",
    "OpenAIProvider",
    "ProviderConfigError",
    "ProviderError",
    "RateLimitError",
    "RealtimeResult",
    "get_all_providers",
    "get_default_pricing",
    "get_provider",
    "get_provider_info",
    "get_provider_models",
    "get_step_provider",
    "load_model_registry",
    "provider_class",
]
