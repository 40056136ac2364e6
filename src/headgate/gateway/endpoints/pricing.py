"""``GET /v1/pricing`` and ``POST /v1/estimate-cost`` (SPN-30)."""

from __future__ import annotations

import msgspec

from headgate.catalog.cards import ModelCard, Price, Rates, day_of
from headgate.domain.cost import Cost, usd_text
from headgate.errors import WireError
from headgate.gateway.money_parts import MoneyParts
from headgate.gateway.query import read_query
from headgate.ledger.quote import LaneQuote, Question, Quote, question_of_bytes, quote
from headgate.ledger.rights import may_call
from headgate.serving.envelopes import Refused
from headgate.serving.request import Request
from headgate.serving.response import Response, json_response
from headgate.wire.json import Json, JsonObject, decode, encode, obj

MOST_TOKENS = 1_000_000_000
_FIELDS = frozenset({"model", "input_tokens", "tokens", "messages", "output_tokens", "max_tokens"})
_INPUTS = ("input_tokens", "tokens", "messages")


class Pricing:
    """List prices of the models that exist for the asking key, and estimates at them."""

    def __init__(self, parts: MoneyParts) -> None:
        self._parts = parts

    async def pricing(self, request: Request) -> Response:
        """The prices in force today, of one model or of all."""
        query = read_query(request, ("model",))
        today = day_of(self._parts.clock())
        if "model" in query:
            return json_response(price_json(self._parts.card(request.principal, query["model"]), today))
        cards = [card for card in self._parts.models if card.status != "retired" and may_call(request.principal, card.name)]
        return json_response({"object": "list", "currency": "USD", "day": today, "data": [price_json(card, today) for card in cards]})

    async def estimate(self, request: Request) -> Response:
        """What a request would cost, in both lanes."""
        body = _read(await request.body())
        unknown = sorted(body.keys() - _FIELDS)
        if unknown:
            raise _wrong(unknown[0], f"there is no field {unknown[0][:60]!r} here; there are {', '.join(sorted(_FIELDS))}")
        name = body.get("model")
        if not isinstance(name, str):
            raise _wrong("model", "model must name a model")
        card = self._parts.card(request.principal, name)
        found = quote(card, _question(body), day_of(self._parts.clock()))
        return json_response(estimate_json(card, found))


def _read(data: bytes) -> JsonObject:
    """The body as an object. Raises `Refused` (400)."""
    try:
        return obj(decode(data), "the body")
    except WireError as error:
        raise Refused(400, error.message, code="invalid_json") from error


def _question(body: JsonObject) -> Question:
    output, most = _count(body, "output_tokens"), _count(body, "max_tokens")
    given = [name for name in _INPUTS if body.get(name) is not None]
    if len(given) != 1:
        raise _wrong("input_tokens", f"one of {', '.join(_INPUTS)} must say how long the prompt is")
    if given == ["messages"]:
        if not isinstance(body["messages"], list):
            raise _wrong("messages", "messages must be an array")
        return question_of_bytes(len(encode(body["messages"])), output, most)
    tokens = _count(body, given[0]) or 0
    return Question(input_tokens=tokens, most_input=tokens, output_tokens=output, max_tokens=most)


def _count(body: JsonObject, name: str) -> int | None:
    value: Json = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_TOKENS:
        raise _wrong(name, f"{name} must be a whole number from 0 to {MOST_TOKENS}")
    return value


def _wrong(param: str, message: str) -> Refused:
    return Refused(400, message, code="invalid_parameter", param=param)


def estimate_json(card: ModelCard, found: Quote) -> JsonObject:
    """An estimate. Amounts are decimal strings of dollars, null where the price or the bound is unknown."""
    return {
        "object": "cost_estimate",
        "model": card.name,
        "currency": "USD",
        "input_tokens": {"value": found.input_tokens, "basis": found.input_basis},
        "output_tokens": {"value": found.output_tokens, "basis": found.output_basis, "most": found.most_output},
        **{lane: _lane_json(lane_quote) for lane, lane_quote in found.lanes.items()},
    }


def _lane_json(found: LaneQuote) -> JsonObject:
    return {
        "priced": found.likely.priced,
        "cached_usd": _usd(found.cached),
        "likely_usd": _usd(found.likely),
        "upper_bound_usd": _usd(found.upper_bound),
        "price_rule": found.likely.rule or None,
        "price_digest": found.likely.digest or None,
    }


def _usd(cost: Cost) -> str | None:
    return None if cost.nanos is None else usd_text(cost.nanos)


def price_json(card: ModelCard, day: str) -> JsonObject:
    """The price of a model on a day, in dollars per million tokens; `priced` false and no rates where it is unknown."""
    record = card.price_on(day)
    document: JsonObject = {"model": card.name, "provider": card.provider, "kind": card.kind, "priced": record is not None}
    return document if record is None else {**document, **_record_json(record)}


def _record_json(record: Price) -> JsonObject:
    return {
        "unit": "1M tokens",
        "rates": _rates(record.rates),
        "batch_factor": record.batch_factor,
        "batch_rates": _rates(record.batch),
        "tiers": [{"above": tier.above, "rates": _rates(tier.rates), "batch_rates": _rates(tier.batch)} for tier in record.tiers],
        "fees": {fee.name: {"per_thousand": fee.per_thousand} for fee in record.fees},
        "since": record.since,
        "source": record.source,
        "price_rule": record.rule,
        "price_digest": record.digest,
    }


def _rates(rates: Rates) -> JsonObject:
    document: JsonObject = msgspec.to_builtins(rates)
    return document
