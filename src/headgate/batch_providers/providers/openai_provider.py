"""`OpenAIBatchProvider` under the path that some code imports it by."""

from headgate.batch_providers.catalogue import OpenAIBatchProvider

__all__ = ["OpenAIBatchProvider"]
