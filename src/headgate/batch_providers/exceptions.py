"""Errors of the batch contract. They belong to Headgate's tree, and tell what may be tried again (BPS-08, CON-05, CON-14)."""

from __future__ import annotations

from headgate.errors import ConfigError, ErrorKind, HeadgateError, UsageError, WireError
from headgate.errors import ProviderError as Failure

LONGEST = 500
"""Characters of an error text that are passed on (BPS-26)."""
MINUTE = 60.0
"""Seconds to wait after a rate limit that names no time (BPS-23)."""


class ProviderError(HeadgateError):
    """A provider refused or failed. `retry_after` is seconds, where the provider named them; `kind` says what it was."""

    def __init__(
        self,
        message: str,
        provider_name: str | None = None,
        provider_batch_id: str | None = None,
        *,
        retry_after: float | None = None,
        kind: ErrorKind = ErrorKind.UNKNOWN,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.provider_name = provider_name
        self.provider_batch_id = provider_batch_id
        self.retry_after = retry_after
        self.kind = kind


class ProviderTransientError(ProviderError):
    """A rate limit, a time-out, a failure of network or server: worth another try later."""


class ProviderPermanentError(ProviderError):
    """An invalid key, an unsupported model, an exhausted account, a request that is refused: another try ends the same way."""


class ProviderNotRegisteredError(HeadgateError):
    """No provider of this name is registered."""


class InvalidRequest(UsageError, ValueError):
    """Requests, a mode or a class that the contract does not allow."""


def contract_error(error: HeadgateError, provider: str, batch: str | None = None) -> ProviderError:
    """The contract's error for one of Headgate's, decided by its kind, never by its text."""
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, Failure):
        return _of_failure(error, provider, batch)
    if isinstance(error, ConfigError):
        return ProviderPermanentError(error.message, provider, batch, kind=ErrorKind.BAD_REQUEST, hint=error.hint)
    if isinstance(error, WireError) and error.fault == "remote":
        return ProviderTransientError(error.message, provider, batch, kind=ErrorKind.SERVER)
    return ProviderPermanentError(error.message, provider, batch, kind=ErrorKind.BAD_REQUEST, hint=error.hint)


def _of_failure(error: Failure, provider: str, batch: str | None) -> ProviderError:
    message = error.message[:LONGEST]
    if error.transient:
        wait = error.retry_after if error.retry_after is not None or error.kind is not ErrorKind.RATE_LIMIT else MINUTE
        return ProviderTransientError(message, provider, batch, retry_after=wait, kind=error.kind, hint=error.hint)
    if error.kind is ErrorKind.UNKNOWN:
        return ProviderError(message, provider, batch, retry_after=error.retry_after, kind=error.kind, hint=error.hint)
    return ProviderPermanentError(message, provider, batch, retry_after=error.retry_after, kind=error.kind, hint=error.hint)
