"""Batch work over many providers behind one contract: base class, registry, values, words and errors.

::

    from uuid import uuid4

    from headgate.batch_providers import BatchMode, batch_provider_registry

    provider = batch_provider_registry.get("openai")(config={"api_key": "…"})
    prepared = provider.prepare_payloads(uuid4(), "gpt-4o-mini", BatchMode.CHAT, [{"text": "Name three rivers."}])
    job = await provider.submit(prepared)
    status = await provider.poll_status(job.provider_batch_id)

Every provider of Headgate that has a batch API is registered, and a class such as ``GroqBatchProvider`` can be imported from here by name.
"""

from __future__ import annotations

from headgate.batch_providers.base import BaseBatchProvider
from headgate.batch_providers.catalogue import (
    AnthropicBatchProvider,
    GeminiBatchProvider,
    OpenAIBatchProvider,
    aliases,
    builtin,
)
from headgate.batch_providers.dto import PreparedSubmission, ProviderResultRow, ProviderStatus, ProviderSubmitResult, UsageInfo
from headgate.batch_providers.enums import BatchMode, BatchStatus, normalize_provider_status
from headgate.batch_providers.envelope import EnvelopeBatchProvider
from headgate.batch_providers.exceptions import (
    InvalidRequest,
    ProviderError,
    ProviderNotRegisteredError,
    ProviderPermanentError,
    ProviderTransientError,
)
from headgate.batch_providers.registry import BatchProviderRegistry, announced

batch_provider_registry = BatchProviderRegistry(builtin, aliases(), announced)
"""The classes of this process."""

__all__ = [
    "AnthropicBatchProvider",
    "BaseBatchProvider",
    "BatchMode",
    "BatchProviderRegistry",
    "BatchStatus",
    "EnvelopeBatchProvider",
    "GeminiBatchProvider",
    "InvalidRequest",
    "OpenAIBatchProvider",
    "PreparedSubmission",
    "ProviderError",
    "ProviderNotRegisteredError",
    "ProviderPermanentError",
    "ProviderResultRow",
    "ProviderStatus",
    "ProviderSubmitResult",
    "ProviderTransientError",
    "UsageInfo",
    "batch_provider_registry",
    "normalize_provider_status",
]


def __getattr__(name: str) -> object:
    found = next((cls for cls in builtin() if cls.__name__ == name), None)
    if found is None:
        raise AttributeError(f"module 'headgate.batch_providers' has no attribute {name!r}")
    return found
