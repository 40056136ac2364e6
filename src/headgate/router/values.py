"""What routing speaks of: deployments, what a request wishes for, how deployments stand, and the plan that comes of it. Values only.

Times are seconds on one monotonic clock, durations seconds, money integer nano-dollars.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

from headgate.catalog.cards import Kind, ModelCard
from headgate.catalog.prices import rounded
from headgate.config.route_settings import Sticky, Strategy
from headgate.domain.capabilities import ANY_MODEL, Capabilities

Operation: TypeAlias = Literal["chat", "embed"]
Hint: TypeAlias = Literal["local_preferred", "cloud_preferred", "best_quality", "cheapest"]
Order: TypeAlias = Strategy | Literal["cloud_first"]
"""Strategies, and what only a hint can ask for."""
Need: TypeAlias = Literal[
    "tools", "vision", "documents", "audio", "json_schema", "json_object", "reasoning", "logprobs", "choices", "stream", "prefill"
]
Reason: TypeAlias = Literal[
    "no_key",
    "operation",
    "not_allowed",
    "bound",
    "private",
    "region",
    "capability",
    "context",
    "other_embedding",
    "max_cost",
    "budget",
    "latency",
    "rate_limit",
    "concurrency",
    "quarantined",
    "cooling_down",
    "overloaded",
    "circuit_open",
    "ejected",
]
"""Why a deployment is not asked."""
Blocked: TypeAlias = Literal["", "quarantined", "cooling_down", "overloaded", "circuit_open", "ejected"]
HEALTH: frozenset[Reason] = frozenset({"quarantined", "cooling_down", "overloaded", "circuit_open", "ejected"})
EXPECTED_OUTPUT = 500
"""Tokens of an answer, where the request sets no maximum; only for comparing prices and times."""


class Rung(msgspec.Struct, frozen=True):
    """List prices of prompts with more than `above` tokens: nano-dollars for an input and an output token, over `denominator`."""

    above: int
    input: int
    output: int
    denominator: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider allows one deployment: requests, tokens, input and output tokens in a minute, and calls at once."""

    rpm: int | None = None
    tpm: int | None = None
    input_tpm: int | None = None
    output_tpm: int | None = None
    concurrency: int | None = None


NO_LIMITS = Limits()


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one provider with one credential. `id` is unique, and what health is kept by: ``provider/model``, ``#account`` behind.

    `family` is equal for deployments of one and the same model. `prior` is what the first byte is assumed to take until it was measured.
    `missing` says why it cannot be called at all (no key), and is None when it can.
    """

    id: str
    provider: str
    model: str
    account: str | None = None
    card: ModelCard | None = None
    kind: Kind | None = None
    family: str = ""
    capabilities: Capabilities = ANY_MODEL
    traits: frozenset[str] = frozenset()
    weight: float = 1.0
    region: str | None = None
    private: bool = False
    timeout: float | None = None
    limits: Limits = NO_LIMITS
    prices: tuple[Rung, ...] = ()
    quality: int = 0
    prior: float = 1.2
    missing: str | None = None

    @property
    def name(self) -> str:
        """``provider/model``."""
        return f"{self.provider}/{self.model}"

    @property
    def credential(self) -> str:
        """``provider#account``: what quarantine is kept by."""
        return f"{self.provider}#{self.account or ''}"

    @property
    def local(self) -> bool:
        """Whether it runs on machines of one's own."""
        return "local" in self.traits

    def estimate(self, input_tokens: int, output_tokens: int) -> int | None:
        """Nano-dollars at list price for so many tokens, without caching; None when it is unpriced."""
        found = None
        for rung in self.prices:
            if found is None or input_tokens > rung.above:
                found = rung
        if found is None:
            return None
        return rounded(found.input * input_tokens + found.output * output_tokens, found.denominator)


class Candidate(msgspec.Struct, frozen=True):
    """A deployment in a route. Candidates of a higher `group` are fallbacks of those of a lower one, whatever the strategy."""

    deployment: Deployment
    group: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a name stands for. `explicit`: the client named this one model; what it lacks is for its wire to say, not for routing."""

    name: str
    candidates: tuple[Candidate, ...]
    strategy: Strategy | None = None
    sticky: Sticky | None = None
    hedge: float | None = None
    explicit: bool = False


class Wants(msgspec.Struct, frozen=True, kw_only=True):
    """What a request may say about routing beyond a model: `provider_hint`, the `routing` block, and what its key demands.

    `preferred` are providers to go first. `max_cost` (nano-dollars) is compared with what the request is expected to cost,
    `max_latency` (seconds) with the measured 95th percentile of the first byte.
    """

    strategy: Strategy | None = None
    hint: Hint | None = None
    preferred: tuple[str, ...] = ()
    max_cost: int | None = None
    max_latency: float | None = None
    private: bool = False
    region: str | None = None


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a request needs. `model` is as the client wrote it ("" for none), `needs` what the model must be able to do.

    `input_tokens` is an estimate, None where there is none (media). `session` and `prefix` are keys of stickiness. `allowed` are the
    patterns of the caller's key (empty: anything). `budget` is what may still be spent for this request. `bound` is the (provider,
    account) that alone can serve it, because it leans on what lies there.
    """

    model: str = ""
    provider: str | None = None
    operation: Operation = "chat"
    input_tokens: int | None = None
    max_output: int | None = None
    needs: frozenset[Need] = frozenset()
    session: str | None = None
    prefix: str | None = None
    allowed: tuple[str, ...] = ()
    budget: int | None = None
    bound: tuple[str, str | None] | None = None
    wants: Wants | None = None

    @property
    def output_tokens(self) -> int:
        """Output tokens to compare by."""
        return EXPECTED_OUTPUT if self.max_output is None else self.max_output


class Measured(Protocol):
    """What strategies look at: calls under way, seconds to the first byte, tokens per second, share of errors, and the ramp of a return."""

    @property
    def in_flight(self) -> int:
        """Calls under way."""

    @property
    def first_byte(self) -> float | None:
        """Seconds, smoothed; None before the first measurement."""

    @property
    def p95(self) -> float | None:
        """The 95th percentile of the same."""

    @property
    def tokens_per_second(self) -> float | None:
        """Output after the first byte, smoothed."""

    @property
    def error_rate(self) -> float:
        """Share of calls that failed by the provider's fault, smoothed."""

    @property
    def samples(self) -> int:
        """How many first bytes were measured."""

    @property
    def ramp(self) -> float:
        """From just above 0, when it has come back, to 1: the share of its usual traffic it takes."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one deployment stands. `available_at` is when it may be tried again, `blocked` why it may not before.

    `probing`: a probe is under way, and nothing else goes before it has said something. `rate_headroom` is the share of its provider's
    limits that is left, `budget` what a budget of provider or model has left.
    """

    blocked: Blocked = ""
    available_at: float = 0.0
    probing: bool = False
    in_flight: int = 0
    limit: float | None = None
    first_byte: float | None = None
    p95: float | None = None
    tokens_per_second: float | None = None
    error_rate: float = 0.0
    samples: int = 0
    ramp: float = 1.0
    rate_headroom: float | None = None
    budget: int | None = None


FRESH = Standing()
"""A deployment of which nothing is known."""


class Choice(msgspec.Struct, frozen=True):
    """One place in the order. `score` is what the strategy went by (lower is better), None where only the order was worked out."""

    deployment: Deployment
    group: int = 0
    score: float | None = None


class Rejection(msgspec.Struct, frozen=True):
    """A deployment that is not asked, and why. `available_at` is when that may change by itself."""

    deployment: Deployment
    reason: Reason
    detail: str = ""
    available_at: float | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask, in which order: the order is the fallback chain. Every candidate is in `order` or in `rejected`.

    `because` says where the strategy comes from ("route chat"). `panic`: all are ill, and one is tried all the same. `retry_after` is
    seconds until the earliest may be well, when `order` is empty for that reason.
    """

    name: str
    order: tuple[Choice, ...]
    rejected: tuple[Rejection, ...] = ()
    strategy: Order = "local_first"
    because: str = ""
    sticky: Sticky | None = None
    panic: bool = False
    retry_after: float | None = None
    hedge: float | None = None
    operation: Operation = "chat"

    @property
    def first(self) -> Deployment | None:
        """Whom to ask first."""
        return self.order[0].deployment if self.order else None

    @property
    def explanation(self) -> str:
        """One line for receipts."""
        left = f", {len(self.rejected)} left out" if self.rejected else ""
        stuck = f", sticky by {self.sticky}" if self.sticky else ""
        panic = ", panic" if self.panic else ""
        return (
            f"{self.strategy} ({self.because}): {' > '.join(choice.deployment.id for choice in self.order) or 'nobody'}{left}{stuck}{panic}"
        )
