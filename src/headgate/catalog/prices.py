"""From tokens to money, exactly. Pure.

The rates of a request are those of its lane and of the tier its own prompt falls into. The dollars of all its buckets and fees are added
as exact fractions and rounded to nano-dollars once, half to even. Where a provider lists no price for a bucket, this table says which price
stands in for it; a bucket that was used and has none at all makes the whole request unpriced, never free (OCT-17, faults E13):

* ``cache_read``, ``input_audio``, ``input_image``: the input price (providers that discount or surcharge these list them);
* ``cache_write_5m``: the input price; ``cache_write_1h``: the price of ``cache_write_5m``;
* ``output_reasoning``: the output price;
* ``output_audio``, ``output_image``: none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache
from math import lcm

import msgspec

from headgate.catalog.cards import Lane, ModelCard, Price, Rates, Tier
from headgate.domain.cost import NANO, UNPRICED, Cost
from headgate.domain.usage import BUCKETS, Usage

MILLION = 1_000_000
FEE = "fee:"
"""How the names of fees begin among the unit prices of a receipt."""
_RATE_OF = {"input_uncached": "input", "output_text": "output"}
_STAND_IN = {
    "cache_read": "input_uncached",
    "cache_write_5m": "input_uncached",
    "cache_write_1h": "cache_write_5m",
    "input_audio": "input_uncached",
    "input_image": "input_uncached",
    "output_reasoning": "output_text",
}
_INPUTS = tuple(bucket for bucket in BUCKETS if not bucket.startswith("output"))


class RateTable(msgspec.Struct, frozen=True):
    """The rates of one lane and tier, ready for arithmetic: nano-dollars for one token of each of `BUCKETS`, over `denominator`.

    None: that bucket has no price. `dollars` are the same rates per million tokens, as text for receipts.
    """

    numerators: tuple[int | None, ...]
    denominator: int
    rule: str
    digest: str
    fees: dict[str, Fraction]
    dollars: dict[str, str]
    plain: dict[tuple[bool, bool], dict[str, str]] = msgspec.field(default_factory=dict)
    """Unit prices worked out before, for the usual buckets."""


def price(record: Price | None, usage: Usage, lane: Lane = "realtime") -> Cost:
    """What `usage` costs at `record`. Unpriced without a record, and when a used bucket or fee has no price."""
    into = usage.input_total
    table = rate_table(record, into, lane)
    if table is None:
        return UNPRICED
    plain, text = usage.input_uncached, usage.output_text
    if plain == into and text == usage.output_total and not usage.fees:
        return _plain(table, plain, text)
    total = 0
    for rate, bucket in zip(table.numerators, BUCKETS, strict=True):
        tokens: int = getattr(usage, bucket)
        if tokens:
            if rate is None:
                return UNPRICED
            total += rate * tokens
    if usage.fees:
        return _with_fees(table, Fraction(total, table.denominator), usage.fees)
    return Cost(rounded(total, table.denominator), table.rule, table.digest)


def bucket_cost(table: RateTable, counts: Iterable[int]) -> int | None:
    """What so many tokens of each of `BUCKETS` cost, in nano-dollars, as `price` has it; None when a used one has no price."""
    total = 0
    for rate, tokens in zip(table.numerators, counts, strict=True):
        if tokens:
            if rate is None:
                return None
            total += rate * tokens
    return rounded(total, table.denominator)


def _plain(table: RateTable, plain: int, text: int) -> Cost:
    """The cost of uncached input and text, and nothing else."""
    into, out = table.numerators[_PLAIN], table.numerators[_TEXT]
    if (plain and into is None) or (text and out is None):
        return UNPRICED
    return Cost(rounded((into or 0) * plain + (out or 0) * text, table.denominator), table.rule, table.digest)


_PLAIN, _TEXT = BUCKETS.index("input_uncached"), BUCKETS.index("output_text")


def _with_fees(table: RateTable, tokens: Fraction, fees: dict[str, int]) -> Cost:
    total = tokens
    for name, count in fees.items():
        if count and name not in table.fees:
            return UNPRICED
        total += table.fees.get(name, Fraction(0)) * count
    return Cost(rounded(total.numerator, total.denominator), table.rule, table.digest)


def upper_bound(
    card: ModelCard | None, day: str, input_tokens: int, max_tokens: int | None = None, lane: Lane = "realtime", choices: int = 1
) -> Cost:
    """The most a request can cost: at most `input_tokens` in, `max_tokens` (else the card's maximum) out for each of `choices`.

    Every input token is taken at the dearest input rate and every output token at the dearest output rate of any tier the prompt may fall
    into (faults E6, E7). Unpriced when the output cannot be bounded. Fees are not included: whoever allows fee-bearing tools adds them.
    """
    record = None if card is None else card.price_on(day)
    output = max_tokens if max_tokens is not None or card is None else card.capabilities.max_output
    if record is None or output is None:
        return UNPRICED
    prompts = [0, *(tier.above + 1 for tier in record.tiers if tier.above < input_tokens)]
    bounds = [_bound(rate_table(record, prompt, lane), input_tokens, output * choices) for prompt in prompts]
    return max((cost for cost in bounds if cost.nanos is not None), key=lambda cost: cost.nanos or 0, default=UNPRICED)


def bound_by_prompt(
    card: ModelCard | None, day: str, max_tokens: int | None = None, lane: Lane = "realtime"
) -> Callable[[int], int | None]:
    """`upper_bound` in nano-dollars as a function of the input tokens, for whoever asks often; None for what is unpriced."""
    record = None if card is None else card.price_on(day)
    output = max_tokens if max_tokens is not None or card is None else card.capabilities.max_output
    steps = () if output is None else steepest(record, lane)
    if not steps:
        return lambda tokens: upper_bound(card, day, tokens, max_tokens, lane).nanos
    rates = [(step.above, step.input, step.output * (output or 0), step.denominator) for step in steps]

    def bound(tokens: int) -> int:
        return max(rounded(into * tokens + out, denominator) for above, into, out, denominator in rates if above < tokens or above < 0)

    return bound


class Steep(msgspec.Struct, frozen=True):
    """The dearest rates of prompts with more than `above` tokens: nano-dollars for a token in and one out, over `denominator`."""

    above: int
    input: int
    output: int
    denominator: int


def steepest(record: Price | None, lane: Lane = "realtime") -> tuple[Steep, ...]:
    """What `upper_bound` reckons with, for whoever reckons often: by length of the prompt, shortest first; empty when it is unpriced."""
    if record is None:
        return ()
    found = []
    for above in (-1, *(tier.above for tier in record.tiers)):
        table = rate_table(record, above + 1, lane)
        if table is None:
            return ()
        into, out = _dearest(table, _INPUTS), _dearest(table, BUCKETS[len(_INPUTS) :])
        found.append(Steep(above, into, out, table.denominator))
    return tuple(found)


def is_free(steps: tuple[Steep, ...]) -> bool:
    """Whether tokens cost nothing, however many; what is unpriced is not free."""
    return bool(steps) and not any(step.input or step.output for step in steps)


def _bound(table: RateTable | None, input_tokens: int, output_tokens: int) -> Cost:
    if table is None:
        return UNPRICED
    dear = _dearest(table, _INPUTS) * input_tokens + _dearest(table, BUCKETS[len(_INPUTS) :]) * output_tokens
    return Cost(rounded(dear, table.denominator), table.rule, table.digest)


def _dearest(table: RateTable, buckets: Iterable[str]) -> int:
    return max(table.numerators[BUCKETS.index(bucket)] or 0 for bucket in buckets)


def rate_table(record: Price | None, prompt_tokens: int, lane: Lane) -> RateTable | None:
    """The rates that apply to a prompt of so many tokens in `lane`; None when there are none."""
    if record is None or (lane == "batch" and record.batch_factor is None):
        return None
    tier: Tier | None = None
    for candidate in record.tiers:
        if prompt_tokens > candidate.above:
            tier = candidate
    return _compiled(record, tier, lane)


def unit_prices(record: Price | None, usage: Usage, lane: Lane = "realtime") -> dict[str, str]:
    """What everything `usage` touches costs, as decimal text, for the receipt: dollars per million tokens of a bucket, per thousand
    uses of a fee (``fee:NAME``)."""
    into = usage.input_total
    table = rate_table(record, into, lane)
    if table is None:
        return {}
    if into == usage.input_uncached and usage.output_total == usage.output_text and not usage.fees:
        return _plain_prices(table, bool(into), bool(usage.output_text))
    tokens = {bucket: table.dollars[bucket] for bucket in BUCKETS if getattr(usage, bucket) and bucket in table.dollars}
    if not usage.fees:
        return tokens
    return tokens | {
        f"{FEE}{name}": decimal_text(table.fees[name] * 1000 / NANO) for name, count in usage.fees.items() if count and name in table.fees
    }


def _plain_prices(table: RateTable, plain: bool, text: bool) -> dict[str, str]:
    """The unit prices of uncached input and text."""
    found = table.plain.get((plain, text))
    if found is None:
        wanted = (("input_uncached", plain), ("output_text", text))
        found = table.plain[plain, text] = {bucket: table.dollars[bucket] for bucket, used in wanted if used and bucket in table.dollars}
    return found


@lru_cache(maxsize=1024)
def _compiled(record: Price, tier: Tier | None, lane: Lane) -> RateTable:
    rates, special = (record.rates, record.batch) if tier is None else (tier.rates, tier.batch)
    dollars = _batch_rates(rates, special, Fraction(record.batch_factor or 1)) if lane == "batch" else _list_rates(rates)
    nanos = {bucket: value * NANO / MILLION for bucket, value in dollars.items()}
    denominator = lcm(*(value.denominator for value in nanos.values()))
    return RateTable(
        numerators=tuple(int(nanos[bucket] * denominator) if bucket in nanos else None for bucket in BUCKETS),
        denominator=denominator,
        rule=record.rule + (":batch" if lane == "batch" else "") + (f":>{tier.above}" if tier else ""),
        digest=record.digest,
        fees={fee.name: Fraction(fee.per_thousand) * NANO / 1000 for fee in record.fees},
        dollars={bucket: decimal_text(value) for bucket, value in dollars.items()},
    )


def _list_rates(rates: Rates) -> dict[str, Fraction]:
    """Dollars per million by bucket, stand-ins filled in."""
    return _filled({bucket: Fraction(text) for bucket in BUCKETS if (text := _listed(rates, bucket)) is not None})


def _batch_rates(rates: Rates, special: Rates, factor: Fraction) -> dict[str, Fraction]:
    """As `_list_rates`, for a batch: the exceptions as they are, the other listed prices times `factor`."""
    found: dict[str, Fraction] = {}
    for bucket in BUCKETS:
        exception, listed = _listed(special, bucket), _listed(rates, bucket)
        if exception is not None:
            found[bucket] = Fraction(exception)
        elif listed is not None:
            found[bucket] = Fraction(listed) * factor
    return _filled(found)


def _listed(rates: Rates, bucket: str) -> str | None:
    text: str | None = getattr(rates, _RATE_OF.get(bucket, bucket))
    return text


def _filled(found: dict[str, Fraction]) -> dict[str, Fraction]:
    for bucket in BUCKETS:
        stand_in = _STAND_IN.get(bucket)
        if bucket not in found and stand_in in found:
            found[bucket] = found[stand_in]
    return found


def rounded(numerator: int, denominator: int) -> int:
    """`numerator` / `denominator` to the nearest integer, half to even; both may not be negative."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def decimal_text(value: Fraction) -> str:
    """`value` as a plain decimal where it has one, else as a fraction ("1/3")."""
    digits = 0
    scaled = value
    while scaled.denominator != 1 and digits < 18:
        digits += 1
        scaled *= 10
    if scaled.denominator != 1:
        return str(value)
    if not digits:
        return str(scaled.numerator)
    return f"{scaled.numerator // 10**digits}.{scaled.numerator % 10**digits:0{digits}d}"
