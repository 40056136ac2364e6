"""Every error Headgate raises, in one tree.

::

    HeadgateError
    ├── UsageError            the caller asked for something that cannot be done (exit code 2)
    │   ├── ConfigError       a setting, a pipeline or a key is missing or wrong; may carry file:line:column
    │   │   └── MissingKey    a provider's key is set nowhere
    │   ├── BudgetExceeded    a budget has no room for the call, or cannot bound its cost (exit code 6)
    │   └── Unsupported       the target cannot express a field of the request (`param` names it)
    ├── WireError             bytes that are not what the protocol promises (`fault` is "remote" or "local")
    │   ├── Truncated         the stream or body ended before its terminator
    │   └── TooLarge          a byte cap was passed
    ├── ProviderError         a provider refused or failed, classified by `kind`
    ├── StoreError            the local state could not be read or written (disk full, locked, newer schema)
    └── RunError              a run cannot go on (`exit_code` is what the command returns)

Programming errors (TypeError, AssertionError …) are deliberately outside the tree.
`kind` alone decides whether a failure is worth another try; it is found by status, code and type, never by searching text.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """What went wrong at a provider; `transient` follows from it."""

    AUTH = "auth"
    PERMISSION = "permission"
    QUOTA = "quota"
    RATE_LIMIT = "rate_limit"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER = "server"
    OVERLOADED = "overloaded"
    BAD_REQUEST = "bad_request"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    NOT_FOUND = "not_found"
    UNSUPPORTED = "unsupported"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


TRANSIENT_KINDS = frozenset({ErrorKind.RATE_LIMIT, ErrorKind.TIMEOUT, ErrorKind.CONNECTION, ErrorKind.SERVER, ErrorKind.OVERLOADED})

RUN_FATAL_KINDS = frozenset({ErrorKind.AUTH, ErrorKind.PERMISSION, ErrorKind.QUOTA, ErrorKind.NOT_FOUND})
"""Kinds that every further call would meet as well: a run stops instead of burning its units."""


class HeadgateError(Exception):
    """Base of the tree. `hint` is a runnable suggestion, shown on a line of its own."""

    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint


class UsageError(HeadgateError):
    """The request cannot be carried out as asked."""


class ConfigError(UsageError):
    """A setting, pipeline or key is missing or wrong. `where` is ``file:line:column`` when known."""

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.where = where


class MissingKey(ConfigError):
    """No key for a provider was found: whoever runs Headgate must set one, a client of its gateway cannot."""


class BudgetExceeded(UsageError):
    """A budget has no room for what a call may cost, or the cost has no upper bound; nothing was sent.

    `budget` is its name, `left_nanos` what a call may cost to fit, `needed_nanos` what this one may cost (None: unbounded), both in
    nano-dollars; `resets_at` is when it counts anew (seconds since the epoch, None: never).
    """

    def __init__(
        self,
        message: str,
        *,
        budget: str,
        left_nanos: int = 0,
        needed_nanos: int | None = None,
        resets_at: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.budget = budget
        self.left_nanos = left_nanos
        self.needed_nanos = needed_nanos
        self.resets_at = resets_at


class Unsupported(UsageError):
    """The target dialect or model cannot express `param`; raised for *refused* fields and, in strict mode, for any loss."""

    def __init__(self, message: str, *, param: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.param = param


class WireError(HeadgateError):
    """Bytes that do not follow their protocol. `fault` says who broke it."""

    def __init__(self, message: str, *, fault: str = "remote", param: str | None = None) -> None:
        super().__init__(message)
        self.fault = fault
        self.param = param


class Truncated(WireError):
    """The terminator of a stream or body was never seen: whatever came is not a complete answer."""


class TooLarge(WireError):
    """A byte cap was passed; nothing more was read."""


class ProviderError(HeadgateError):
    """A provider (or the way to it) failed.

    `status` is the HTTP status (None when no response came), `code` the provider's own code or type, `retry_after` seconds,
    `fault` "provider", "client" or "network", `body` at most the first 4 kB of what was answered.
    `sent` is False only when certainly no byte of the request reached the provider, so that nothing can have been billed.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        provider: str | None = None,
        request_id: str | None = None,
        fault: str = "provider",
        body: bytes = b"",
        hint: str | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.provider = provider
        self.request_id = request_id
        self.fault = fault
        self.body = body
        self.sent = sent

    @property
    def transient(self) -> bool:
        """Worth another try, unchanged, later."""
        return self.kind in TRANSIENT_KINDS


class StoreError(HeadgateError):
    """Local state could not be read or written."""


class RunError(HeadgateError):
    """A run stopped. `exit_code` follows OCT-42: 1 error, 2 cost limit, 3 timeout, 130 interrupted."""

    def __init__(self, message: str, *, exit_code: int = 1, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code
