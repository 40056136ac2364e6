"""What a provider's response headers say is left of its own rate limits (translation case 89). Pure.

OpenAI, Azure, Groq and xAI write ``x-ratelimit-remaining-requests``, ``…-tokens``; Together ``x-ratelimit-remaining`` and
``x-tokenlimit-remaining``; Anthropic ``anthropic-ratelimit-requests-remaining``, ``…-tokens-…``, ``…-input-tokens-…`` and
``…-output-tokens-…``. Reset times come as durations, seconds, epochs and dates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from headgate.ledger.limits import INPUT, MINUTE, OUTPUT, REQUESTS, TOKENS, Rate
from headgate.transport.headers import parse_reset

NEAR = 0.25
"""The part of a limit below which what is left matters."""
FEW_REQUESTS = 16
LONGEST = 300.0
"""Seconds for which a ceiling is believed at most: a reset further off says little about the next minutes."""

_UPSTREAM = {
    "requests": Rate("upstream requests", REQUESTS, MINUTE, "requests of the provider's own limit", "requests"),
    "tokens": Rate("upstream tokens", TOKENS, MINUTE, "tokens of the provider's own limit", "tokens"),
    "input-tokens": Rate("upstream input tokens", INPUT, MINUTE, "input tokens of the provider's own limit", "tokens"),
    "output-tokens": Rate("upstream output tokens", OUTPUT, MINUTE, "output tokens of the provider's own limit", "tokens"),
}


class Names(NamedTuple):
    """The headers of one quota."""

    kind: str
    limit: str
    remaining: str
    reset: str


_NAMES = (
    Names("requests", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    Names("tokens", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    Names("requests", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    Names("tokens", "x-tokenlimit-limit", "x-tokenlimit-remaining", "x-ratelimit-reset"),
    *(
        Names(kind, f"anthropic-ratelimit-{kind}-limit", f"anthropic-ratelimit-{kind}-remaining", f"anthropic-ratelimit-{kind}-reset")
        for kind in _UPSTREAM
    ),
)
_COUNT = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)


class Quota(msgspec.Struct, frozen=True):
    """`remaining` of `limit` (0: unknown) are left until `reset` seconds from now."""

    rate: Rate
    limit: int
    remaining: int
    reset: float

    @property
    def near(self) -> bool:
        """Whether it may soon be used up, so that it is worth watching."""
        few = self.rate.what == "requests" and self.remaining <= FEW_REQUESTS
        return few or self.remaining <= self.limit * NEAR


_REMAINING = frozenset(names.remaining for names in _NAMES)


def tells_quotas(headers: Mapping[str, str]) -> bool:
    """Whether there may be quotas in `headers`: a quick look."""
    return not _REMAINING.isdisjoint(headers)


def quotas_of(headers: Mapping[str, str], now: float) -> tuple[Quota, ...]:
    """The quotas in `headers` (lower-case names); `now` is epoch seconds. What cannot be understood is left out."""
    return tuple(quota for names in _NAMES if names.remaining in headers and (quota := _quota(names, headers, now)) is not None)


def _quota(names: Names, headers: Mapping[str, str], now: float) -> Quota | None:
    remaining = _count(headers[names.remaining])
    if remaining is None:
        return None
    limit = _count(headers.get(names.limit, "")) or 0
    reset = parse_reset(headers.get(names.reset, ""), now)
    return Quota(_UPSTREAM[names.kind], limit, remaining, MINUTE if reset is None else min(reset, LONGEST))


def _count(text: str) -> int | None:
    text = text.strip()
    return int(float(text)) if _COUNT.fullmatch(text) else None
