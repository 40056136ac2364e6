"""The errors of the batch contract under the name that some code imports them by; see `exceptions`."""

from headgate.batch_providers.exceptions import (
    InvalidRequest,
    ProviderError,
    ProviderNotRegisteredError,
    ProviderPermanentError,
    ProviderTransientError,
)

__all__ = ["InvalidRequest", "ProviderError", "ProviderNotRegisteredError", "ProviderPermanentError", "ProviderTransientError"]
