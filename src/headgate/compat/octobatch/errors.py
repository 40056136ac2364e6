"""Octobatch's errors, decided by status and code, never by words in a message (OCT-22, OCT-23, CON-05)."""

from __future__ import annotations

from headgate.errors import RUN_FATAL_KINDS, ConfigError, ErrorKind, HeadgateError, MissingKey, WireError
from headgate.errors import ProviderError as Failure


class ProviderError(HeadgateError):
    """A call failed: for this unit alone, unless it is one of the classes below. `transient` says whether another try may help.

    `status` is the HTTP status, `code` the provider's own, `retry_after` seconds; each None when there was none.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorKind = ErrorKind.UNKNOWN,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        transient: bool = False,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.transient = transient


class RateLimitError(ProviderError):
    """Too many calls or tokens for now: try again later."""


class FatalProviderError(ProviderError):
    """Every further call would fail as well: a run should stop."""


class AuthenticationError(FatalProviderError):
    """The key is missing, wrong, or may not do this."""


class ProviderConfigError(ConfigError, ValueError):
    """A provider or model that does not exist, or a configuration that cannot be."""


_CLASSES: dict[ErrorKind, type[ProviderError]] = {
    **dict.fromkeys(RUN_FATAL_KINDS, FatalProviderError),
    ErrorKind.AUTH: AuthenticationError,
    ErrorKind.PERMISSION: AuthenticationError,
    ErrorKind.RATE_LIMIT: RateLimitError,
}


def octobatch_error(error: HeadgateError) -> HeadgateError:
    """Octobatch's error for one of Headgate's."""
    if isinstance(error, ProviderError | ProviderConfigError):
        return error
    if isinstance(error, MissingKey):
        return AuthenticationError(error.message, kind=ErrorKind.AUTH, hint=error.hint)
    if isinstance(error, ConfigError):
        return ProviderConfigError(error.message, hint=error.hint)
    if isinstance(error, Failure):
        return _CLASSES.get(error.kind, ProviderError)(
            error.message,
            kind=error.kind,
            status=error.status,
            code=error.code,
            retry_after=error.retry_after,
            transient=error.transient,
            hint=error.hint,
        )
    broken = isinstance(error, WireError) and error.fault == "remote"
    return ProviderError(error.message, kind=ErrorKind.SERVER if broken else ErrorKind.BAD_REQUEST, transient=broken, hint=error.hint)
