"""The most an attempt can cost, before it is made. Pure."""

from __future__ import annotations

from collections.abc import Callable

from headgate.catalog.cards import Lane, ModelCard, day_of
from headgate.catalog.prices import is_free, steepest, upper_bound
from headgate.ledger.budgets import Bound

LISTED_TIERS = frozenset({"", "default", "standard", "standard_only", "on_demand"})
"""Service tiers at whose prices the list's are; "auto" may be served, and billed, in a dearer one."""

LARGEST = 1 << 62
"""Nano-dollars; what journals and databases can keep, with some room above."""
IMMENSE = Bound(None, "it asks for more output than can be reckoned with")


def bound_of(
    card: ModelCard | None,
    at: float,
    request_bytes: int,
    max_tokens: int | None,
    *,
    choices: int = 1,
    lane: Lane = "realtime",
    remote: bool = False,
    server_tools: bool = False,
    tier: str | None = None,
) -> Bound:
    """The bound of a request of so many bytes that began at `at` (seconds since the epoch), asking for `max_tokens` for each of `choices`.

    No tokenizer makes more tokens than there are bytes. What is only referred to (`remote`: files, and images or documents by their
    address) is not among the bytes, so the prompt is then as long as the model's context. Tokens are taken at the dearest rate of any tier
    and bucket (faults E6, E7). Without `max_tokens` the card's maximum counts. What is free has a bound however long it gets.
    Nothing bounds what `server_tools` do.
    """
    if card is None or card.price_on(day_of(at)) is None:
        return Bound(None, "the model is unpriced")
    if server_tools:
        return Bound(None, "the provider's own tools are billed by use")
    if tier is not None and tier.lower() not in LISTED_TIERS:
        return Bound(None, f"the service tier {tier} has prices that are not known")
    if is_free(steepest(card.price_on(day_of(at)), lane)):
        return Bound(0)
    known = card.capabilities
    if max_tokens is None and known.max_output is None:
        return Bound(None, "neither the request nor the model's card limits the output")
    if remote and known.context is None:
        return Bound(None, "it refers to files, and how much the model reads is not known")
    longest = max(request_bytes, known.context or 0) if remote else request_bytes
    nanos = upper_bound(card, day_of(at), longest, max_tokens, lane, max(1, choices)).nanos
    if nanos is not None and nanos > LARGEST:
        return IMMENSE
    return Bound(nanos, "" if nanos is not None else f"the model has no {lane} price")


LEAST_OUTPUT = 16
"""Tokens; an answer that may not be longer than this is no use."""


def fitting(bound: Callable[[int], Bound], most: int, left: int) -> int | None:
    """The longest output, of at most `most` tokens, whose bound is at most `left` nano-dollars; None when none worth having is."""

    def fits(output: int) -> bool:
        nanos = bound(output).nanos
        return nanos is not None and nanos <= left

    low, high = LEAST_OUTPUT, most
    if not fits(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
