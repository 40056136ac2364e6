"""The provider's own invoice, in exact integer arithmetic and from its own price table.

Amounts are nano-dollars. A request's amount is the exact sum over all its buckets, rounded once, half to even. A batch costs exactly
half. Nothing here is shared with the product's price arithmetic: "the invoice equals our receipts" is meant to prove something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

import msgspec

from headgate.wire.json import JsonObject

NANOS = 10**9
MILLION = 10**6

REALTIME = "realtime"
BATCH = "batch"


class Tokens(msgspec.Struct, frozen=True):
    """What a request consumed; the buckets do not overlap."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0


class Price(msgspec.Struct, frozen=True):
    """Dollars per million tokens, as decimal text. An absent cache price is the input price."""

    input: str
    output: str
    cache_read: str | None = None
    cache_write_5m: str | None = None
    cache_write_1h: str | None = None


PRICES = {
    "sim-small": Price("0.15", "0.60", cache_read="0.075"),
    "sim-large": Price("3.00", "15.00", cache_read="0.30", cache_write_5m="3.75", cache_write_1h="6.00"),
    "sim-flash": Price("0.10", "0.40", cache_read="0.025"),
}
DEFAULT_MODEL = "sim-small"


class Line(msgspec.Struct, frozen=True):
    """One charged request. `nanos` is in nano-dollars; `request_id` is what the header (or batch row) said, `response_id` the body's id.

    `client_request_id` is what the client sent as ``X-Client-Request-Id`` (OpenAI API reference, "Debugging requests").
    """

    seq: int
    provider: str
    account: str
    model: str
    lane: str
    request_id: str
    response_id: str
    usage: Tokens
    nanos: int
    batch_id: str | None = None
    custom_id: str | None = None
    client_request_id: str | None = None


def rounded(numerator: int, denominator: int) -> int:
    """`numerator` / `denominator` to the nearest integer, half to even."""
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and whole % 2):
        return whole + 1
    return whole


def _nanos_per_million(text: str) -> int:
    amount = Decimal(text) * NANOS
    if amount != int(amount):
        raise ValueError(f"the price {text} is finer than a nano-dollar per million tokens")
    return int(amount)


def _rates(price: Price) -> tuple[int, ...]:
    dear = _nanos_per_million(price.input)
    out = _nanos_per_million(price.output)
    caches = (price.cache_read, price.cache_write_5m, price.cache_write_1h)
    return (dear, *(dear if text is None else _nanos_per_million(text) for text in caches), out, out)


_RATES = {name: _rates(price) for name, price in PRICES.items()}


def charge(model: str, usage: Tokens, lane: str) -> int:
    """Nano-dollars for `usage` of `model` in `lane`; a model without a price of its own costs as sim-small."""
    rates = _RATES.get(model, _RATES[DEFAULT_MODEL])
    exact = sum(rate * amount for rate, amount in zip(rates, msgspec.structs.astuple(usage), strict=True))
    return rounded(exact, MILLION if lane == REALTIME else 2 * MILLION)


class Bill:
    """Every charge, in order. `record` is told each new line, so that it can be kept elsewhere."""

    def __init__(self, record: Callable[[Line], None] | None = None, lines: Iterable[Line] = ()) -> None:
        self._lines: list[Line] = list(lines)
        self._record = record

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines so far."""
        return tuple(self._lines)

    @property
    def total(self) -> int:
        """Nano-dollars in all."""
        return sum(line.nanos for line in self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def clear(self) -> None:
        """Forget every line."""
        self._lines.clear()

    def add(
        self,
        provider: str,
        account: str,
        model: str,
        usage: Tokens,
        *,
        request_id: str,
        response_id: str,
        lane: str = REALTIME,
        batch_id: str | None = None,
        custom_id: str | None = None,
        client_request_id: str | None = None,
    ) -> Line:
        """Charge one request and return its line."""
        line = Line(
            seq=len(self._lines) + 1,
            provider=provider,
            account=account,
            model=model,
            lane=lane,
            request_id=request_id,
            response_id=response_id,
            usage=usage,
            nanos=charge(model, usage, lane),
            batch_id=batch_id,
            custom_id=custom_id,
            client_request_id=client_request_id,
        )
        self._lines.append(line)
        if self._record is not None:
            self._record(line)
        return line

    def document(self) -> JsonObject:
        """The invoice as JSON: ``{total_nanos, count, by_provider, lines}``."""
        by_provider: dict[str, int] = {}
        for line in self._lines:
            by_provider[line.provider] = by_provider.get(line.provider, 0) + line.nanos
        return {
            "total_nanos": self.total,
            "count": len(self._lines),
            "by_provider": by_provider,
            "lines": [msgspec.to_builtins(line) for line in self._lines],
        }
