"""What may be asked for how often: limits as values, and refusals that say their numbers. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

import msgspec

What: TypeAlias = Literal["requests", "tokens", "concurrency", "queue", "overload", "store"]
Amounts: TypeAlias = tuple[int, int, int, int]
"""Requests, all tokens, input tokens, output tokens: what one admission takes of each."""
REQUESTS, TOKENS, INPUT, OUTPUT = range(4)

MINUTE = 60.0
DAY = 86400.0
QUEUE_LENGTH = 256
"""How many may wait for one subject where its limit does not say."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What a subject may use. None leaves a figure to a less specific limit, and in the end open.

    `subject` is ``global``, ``key:ID``, ``team:NAME``, ``user:NAME``, ``tag:NAME``, ``model:provider/name``, ``provider:name`` or
    ``deployment:ID``; with ``*`` at its end (``key:*``) each subject that fits has an allowance of its own. `rpm`, `rpd`: requests in any
    minute, any day. `tpm`: tokens in any minute, in and out together; `input_tpm`, `output_tpm`: of one kind. `concurrency`: requests at
    a time. `queue`: seconds that a request may wait for its turn, `queue_length` how many may do so.
    """

    subject: str
    rpm: int | None = None
    rpd: int | None = None
    tpm: int | None = None
    input_tpm: int | None = None
    output_tpm: int | None = None
    concurrency: int | None = None
    queue: float | None = None
    queue_length: int | None = None

    def __post_init__(self) -> None:
        if not self.subject or "*" in self.subject[:-1]:
            raise ValueError(f"{self.subject!r}: a subject is a name, or the beginning of one and * at its end")
        wrong = [name for name in FIGURES if (value := getattr(self, name)) is not None and not 0 <= value < math.inf]
        if wrong:
            raise ValueError(f"{self.subject}: {', '.join(wrong)} must not be negative")

    @property
    def open(self) -> bool:
        """Whether it limits nothing."""
        return self.concurrency is None and all(getattr(self, rate.field) is None for rate in RATES)


FIGURES = tuple(name for name in Limit.__struct_fields__ if name != "subject")


class Rate(msgspec.Struct, frozen=True):
    """What a figure of a limit counts (an index of `Amounts`), and over how many seconds."""

    field: str
    kind: int
    span: float
    per: str
    what: What


RATES = (
    Rate("rpm", REQUESTS, MINUTE, "requests per minute", "requests"),
    Rate("rpd", REQUESTS, DAY, "requests per day", "requests"),
    Rate("tpm", TOKENS, MINUTE, "tokens per minute", "tokens"),
    Rate("input_tpm", INPUT, MINUTE, "input tokens per minute", "tokens"),
    Rate("output_tpm", OUTPUT, MINUTE, "output tokens per minute", "tokens"),
)


def limit_of(subject: str, limits: Iterable[Limit]) -> Limit:
    """The limit in force for `subject`: each figure from the most specific pattern that gives one, of equal patterns the last."""
    fitting = sorted((limit for limit in limits if _fits(limit.subject, subject)), key=lambda limit: _specificity(limit.subject))
    found: dict[str, int | float] = {}
    for limit in fitting:
        found |= {name: value for name in FIGURES if (value := getattr(limit, name)) is not None}
    return msgspec.convert({"subject": subject, **found}, Limit)


def _fits(pattern: str, subject: str) -> bool:
    return subject.startswith(pattern[:-1]) if pattern.endswith("*") else subject == pattern


def _specificity(pattern: str) -> tuple[bool, int]:
    return not pattern.endswith("*"), len(pattern)


class Full(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal with its numbers.

    `used` of `limit` are taken, `needed` were asked for. `retry_after` is seconds, None when waiting does not help. `waits` says that
    `Limiter.admit_within` may still admit: there is a queue, or a share of the limit is on its way. `per` is what is counted.
    """

    subject: str
    what: What
    limit: int
    used: int
    needed: int = 1
    retry_after: float | None = None
    waits: bool = False
    per: str = ""
    field: str = ""

    @property
    def status(self) -> int:
        """The HTTP status: 429 for a limit, 503 when the fault is ours."""
        return 503 if self.what in {"overload", "store"} else 429

    @property
    def code(self) -> str:
        """The word for ``error.code``."""
        return _CODES.get(self.what, "rate_limit_exceeded")

    @property
    def message(self) -> str:
        """What is full, by how much, and when to come back."""
        return f"{_SENTENCES[self.what](self)}; {_when(self)}"


_CODES = {"overload": "overloaded", "store": "store_unavailable"}


def _rate_sentence(full: Full) -> str:
    if full.needed > full.limit:
        return f"{full.subject} is limited to {full.limit} {full.per}, this request may take {full.needed}"
    return f"{full.subject} has used {full.used} of {full.limit} {full.per}, this request may take {full.needed}"


_SENTENCES: dict[What, Callable[[Full], str]] = {
    "requests": _rate_sentence,
    "tokens": _rate_sentence,
    "concurrency": lambda full: f"{full.subject} has {full.used} requests under way of the {full.limit} it may have at a time",
    "queue": lambda full: f"{full.used} requests wait for {full.subject} already, of at most {full.limit}",
    "overload": lambda full: f"the gateway is at {full.used} of {full.limit} {full.per}",
    "store": lambda full: f"how much is left of the {full.limit} {full.per} of {full.subject} cannot be told: the database does not answer",
}


def _when(full: Full) -> str:
    if full.retry_after is not None:
        return f"try again in {retry_seconds(full.retry_after)} s"
    return f"lower max_tokens or the input, or raise {full.field}" if full.what == "tokens" else f"raise {full.field or 'the limit'}"


def retry_seconds(seconds: float) -> int:
    """Whole seconds for ``Retry-After``: at least 1, never too early."""
    return max(1, math.ceil(seconds))


class Room(msgspec.Struct, frozen=True):
    """What is left of one figure. `reset` is seconds until nothing of it is in use."""

    limit: int
    remaining: int
    reset: float


class Headroom(msgspec.Struct, frozen=True):
    """What is left for a subject, of the tightest figure of each kind; None is unlimited."""

    requests: Room | None = None
    tokens: Room | None = None
    input_tokens: Room | None = None
    output_tokens: Room | None = None
    concurrency: Room | None = None


UNLIMITED = Headroom()
