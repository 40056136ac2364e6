"""Scripted faults: which requests go wrong, and how. A script is JSON, a list of rules::

    [{"match": {"provider": "openai", "operation": "chat", "first": 2}, "action": {"kind": "status", "error": "rate_limit"}},
     {"match": {"operation": "batch_create"}, "action": {"kind": "rows", "row": "missing", "share": 0.1}}]

Every rule counts the requests that match its provider, operation and model; `nth`, `every`, `first` and `share` then choose among
them. `rows` and `batch_end` actions attach to a batch when it is created and act while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from headgate.sim import dice
from headgate.sim.faults_bytes import ByteAction, Early, Raw

OPERATIONS = frozenset(
    {
        "chat",
        "stream",
        "embed",
        "count_tokens",
        "response_get",
        "response_delete",
        "models",
        "file_upload",
        "file_get",
        "file_list",
        "file_delete",
        "results",
        "batch_create",
        "batch_add",
        "batch_get",
        "batch_list",
        "batch_cancel",
        "batch_delete",
    }
)
"""What a request can be; `results` is every download of a file's content or of batch results."""

ErrorName: TypeAlias = Literal[
    "auth",
    "permission",
    "not_found",
    "model_not_found",
    "rate_limit",
    "quota",
    "server",
    "unavailable",
    "overloaded",
    "context_length",
    "bad_request",
    "too_large",
    "timeout",
    "conflict",
]
"""Error shapes every wire can render."""

AnswerName: TypeAlias = Literal["empty", "refusal", "length", "fenced", "invalid", "separators"]
"""Answers that are well-formed on the wire and useless to the caller, or dangerous to careless readers (`separators`)."""

RowName: TypeAlias = Literal[
    "error", "expired", "missing", "duplicate", "foreign", "bad_json", "empty", "refusal", "length", "fenced", "invalid", "separators"
]
EndName: TypeAlias = Literal["expired", "cancelled", "failed", "all_errors", "output_lag", "empty_error_file_id", "cancel_lost", "stuck"]


class Status(msgspec.Struct, frozen=True, tag="status", tag_field="kind", forbid_unknown_fields=True):
    """Refuse with the provider's own shape of `error`; nothing is executed. `retry_after` is in seconds."""

    error: ErrorName
    status: int | None = None
    retry_after: float | None = None
    message: str | None = None


class Delay(msgspec.Struct, frozen=True, tag="delay", tag_field="kind", forbid_unknown_fields=True):
    """Wait (real seconds) before the answer is written."""

    seconds: float


class Reset(msgspec.Struct, frozen=True, tag="reset", tag_field="kind", forbid_unknown_fields=True):
    """Reset the connection: before anything is executed (`after_bytes` None), or after that many bytes of the executed answer."""

    after_bytes: int | None = None


class CutStream(msgspec.Struct, frozen=True, tag="cut_stream", tag_field="kind", forbid_unknown_fields=True):
    """Close the connection cleanly after `events` events of the stream; the work is executed and billed."""

    events: int


class StreamError(msgspec.Struct, frozen=True, tag="stream_error", tag_field="kind", forbid_unknown_fields=True):
    """Send the provider's in-stream error after `events` events and end there; the work is executed and billed."""

    events: int
    error: ErrorName = "overloaded"


class Truncate(msgspec.Struct, frozen=True, tag="truncate", tag_field="kind", forbid_unknown_fields=True):
    """Announce the whole content-length and close after `bytes` bytes of the body."""

    bytes: int


class DropReply(msgspec.Struct, frozen=True, tag="drop_reply", tag_field="kind", forbid_unknown_fields=True):
    """Execute and bill, then close the connection without a byte of answer."""


class CloseAfter(msgspec.Struct, frozen=True, tag="close_after", tag_field="kind", forbid_unknown_fields=True):
    """Answer in full, promise to keep the connection, and close it: the next use of a pooled connection meets a dead socket."""


class Garbage(msgspec.Struct, frozen=True, tag="garbage", tag_field="kind", forbid_unknown_fields=True):
    """Answer something that is no API answer; nothing is executed."""

    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    body: str = "<!doctype html><html><head><title>Error</title></head><body><h1>Bad gateway</h1></body></html>"


class Huge(msgspec.Struct, frozen=True, tag="huge", tag_field="kind", forbid_unknown_fields=True):
    """Stream `bytes` bytes of JSON that never closes its string; nothing is executed."""

    bytes: int


class Twist(msgspec.Struct, frozen=True, tag="answer", tag_field="kind", forbid_unknown_fields=True):
    """Execute and bill, but answer uselessly."""

    answer: AnswerName


class Rows(msgspec.Struct, frozen=True, tag="rows", tag_field="kind", forbid_unknown_fields=True):
    """Spoil the share of a batch's rows whose hashed custom id falls below `share`.

    `error` names the failure of ``row: "error"``. Rows that the caller cannot read (error, expired, missing, bad_json) are not billed
    unless `billed` says so; the others are.
    """

    row: RowName
    share: float = 1.0
    error: ErrorName = "server"
    billed: bool | None = None


class BatchEnd(msgspec.Struct, frozen=True, tag="batch_end", tag_field="kind", forbid_unknown_fields=True):
    """How a batch ends: `share` of the rows done before an expired or cancelled end; `polls` reads during which the output lags.

    ``cancel_lost`` lets a cancellation come too late: the batch completes all the same. ``stuck`` never ends unless cancelled. `code` is
    the validation error of ``failed``.
    """

    end: EndName
    share: float = 0.5
    polls: int = 2
    code: str = "invalid_json_line"


Action: TypeAlias = (
    Status
    | Delay
    | Reset
    | CutStream
    | StreamError
    | Truncate
    | DropReply
    | CloseAfter
    | Garbage
    | Huge
    | Twist
    | Rows
    | BatchEnd
    | Raw
    | Early
    | ByteAction
)
BatchAction: TypeAlias = Rows | BatchEnd


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests a rule is about. Absent fields match everything; `nth` counts from 1; `share` is decided by a seeded hash."""

    provider: str | None = None
    operation: str | None = None
    model: str | None = None
    nth: int | None = None
    every: int | None = None
    first: int | None = None
    share: float | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A match and what happens to it."""

    action: Action
    match: Match = Match()


def parse(document: object) -> tuple[Rule, ...]:
    """Rules from decoded JSON. Raises `ValueError` naming the field that is wrong."""
    rules = msgspec.convert(document, tuple[Rule, ...])
    for rule in rules:
        operation = rule.match.operation
        if operation is not None and operation not in OPERATIONS:
            raise ValueError(f"unknown operation {operation!r} in a fault rule; known: {', '.join(sorted(OPERATIONS))}")
    return rules


class Script:
    """The rules in force with their counters."""

    def __init__(self, rules: Iterable[Rule] = (), seed: int = 0) -> None:
        self._rules = tuple(rules)
        self._seed = seed
        self._counts = [0] * len(self._rules)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in force."""
        return self._rules

    @property
    def refuses_early(self) -> bool:
        """Whether some rule acts before a request's body is read."""
        return any(isinstance(rule.action, Early) for rule in self._rules)

    def fire(self, provider: str, operation: str, model: str | None, *, early: bool = False) -> tuple[Action, ...]:
        """Actions for one request, those before its body is read or those after; counts it in every such rule it matches."""
        fired = []
        for index, rule in enumerate(self._rules):
            if isinstance(rule.action, Early) is not early or not _about(rule.match, provider, operation, model):
                continue
            self._counts[index] += 1
            if self._chosen(index, rule.match):
                fired.append(rule.action)
        return tuple(fired)

    def _chosen(self, index: int, match: Match) -> bool:
        count = self._counts[index]
        return (
            (match.nth is None or count == match.nth)
            and (match.every is None or count % match.every == 0)
            and (match.first is None or count <= match.first)
            and (match.share is None or dice.share(self._seed, "rule", index, count) < match.share)
        )


def _about(match: Match, provider: str, operation: str, model: str | None) -> bool:
    return (
        (match.provider is None or match.provider == provider)
        and (match.operation is None or match.operation == operation)
        and (match.model is None or match.model == model)
    )
