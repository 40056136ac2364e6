"""`GeminiBatchProvider` under the path that some code imports it by."""

from headgate.batch_providers.catalogue import GeminiBatchProvider

__all__ = ["GeminiBatchProvider"]
