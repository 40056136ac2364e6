"""From a request to a wish: what a client says of routing, in the body and by its key."""

from __future__ import annotations

import hashlib
from decimal import Decimal, InvalidOperation
from typing import TypeVar, get_args

import msgspec

from headgate.config.route_settings import Strategy, read_strategy
from headgate.domain.cost import NANO
from headgate.domain.estimate import estimate_tokens
from headgate.gateway.outline import Outline
from headgate.ledger.principal import Principal
from headgate.ledger.receipt import Operation
from headgate.router import Wants, Wish
from headgate.router.values import Hint
from headgate.serving.envelopes import Refused
from headgate.wire.json import encode

T = TypeVar("T")
FIELDS = ("provider", "provider_hint", "routing")
"""Fields of a body that are for the gateway alone: no provider gets to see them."""
PREFIX = 2048
"""So many bytes from the beginning of a conversation make its prefix key."""
_STARTS = (b'"messages"', b'"system"', b'"input"', b'"contents"', b'"prompt"')
_HINTS: tuple[str, ...] = get_args(Hint)


class Directions(msgspec.Struct, frozen=True):
    """What the body says of routing."""

    provider: str | None = None
    wants: Wants | None = None


NONE = Directions()


class _Routing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    strategy: str | None = None
    max_cost: str | int | float | None = None
    max_latency: float | None = None
    preferred_providers: tuple[str, ...] = ()
    region: str | None = None
    private: bool = False


def read_directions(fields: dict[str, msgspec.Raw]) -> Directions:
    """The directions in a body. Raises `Refused` (400) that names the field and what it may be."""
    if not any(name in fields for name in FIELDS):
        return NONE
    provider = _read(fields, "provider", str)
    hint = _read(fields, "provider_hint", str)
    block = _read(fields, "routing", _Routing) or _Routing()
    if hint is not None and hint not in _HINTS:
        raise Refused(400, f"provider_hint must be one of {', '.join(_HINTS)}", code="invalid_value", param="provider_hint")
    wants = Wants(
        strategy=None if block.strategy is None else _strategy(block.strategy),
        hint=msgspec.convert(hint, Hint | None),
        preferred=tuple(name.lower() for name in block.preferred_providers),
        max_cost=None if block.max_cost is None else _nanos(block.max_cost),
        max_latency=block.max_latency,
        private=block.private,
        region=block.region,
    )
    return Directions(provider or None, None if wants == Wants() else wants)


def without_directions(fields: dict[str, msgspec.Raw]) -> tuple[bytes, dict[str, msgspec.Raw]]:
    """The body and its fields without what is for the gateway alone."""
    kept = {name: raw for name, raw in fields.items() if name not in FIELDS}
    return encode(kept), kept


def _read(fields: dict[str, msgspec.Raw], name: str, kind: type[T]) -> T | None:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"{name} is not as it must be: {error}", code="invalid_type", param=name) from error


def _strategy(text: str) -> Strategy:
    try:
        return read_strategy(text)
    except ValueError as error:
        raise Refused(400, f"routing.strategy {error}", code="invalid_value", param="routing.strategy") from error


def _nanos(value: str | int | float) -> int:
    """Dollars as nano-dollars, rounded down."""
    try:
        nanos = Decimal(str(value)) * NANO
        if not nanos.is_finite() or nanos < 0:
            raise InvalidOperation
    except InvalidOperation as error:
        raise Refused(400, "routing.max_cost must be dollars, such as 0.05", code="invalid_value", param="routing.max_cost") from error
    return int(nanos)


def wish_of(
    outline: Outline,
    principal: Principal,
    *,
    size: int,
    directions: Directions = NONE,
    operation: Operation = "chat",
    session: str | None = None,
    prefix: str | None = None,
    budget: int | None = None,
    bound: tuple[str, str | None] | None = None,
) -> Wish:
    """The wish of a request of `size` bytes."""
    return Wish(
        model=outline.model,
        provider=directions.provider,
        operation=operation,
        input_tokens=None if outline.media else estimate_tokens(size),
        max_output=outline.max_output,
        needs=outline.needs,
        session=session,
        prefix=prefix,
        allowed=principal.models,
        budget=budget,
        bound=bound,
        wants=directions.wants,
    )


def prefix_key(body: bytes) -> str:
    """A key that is equal for conversations that begin alike, whatever their settings are: where prompt caches would be warm."""
    start = min((at for mark in _STARTS if (at := body.find(mark)) >= 0), default=0)
    return hashlib.blake2b(body[start : start + PREFIX], digest_size=8).hexdigest()
