"""`AnthropicBatchProvider` under the path that some code imports it by."""

from headgate.batch_providers.catalogue import AnthropicBatchProvider

__all__ = ["AnthropicBatchProvider"]
