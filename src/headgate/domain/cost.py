"""Money: integer nano-dollars inside, decimal strings outside. An unknown price is `unpriced`, never zero."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from headgate.wire.json import JsonObject, Raw

NANO = 1_000_000_000


class Cost(msgspec.Struct, frozen=True):
    """What a call cost. `nanos` is None when the model is unpriced. `rule` names the price record, `digest` the table it came from."""

    nanos: int | None
    rule: str = ""
    digest: str = ""

    @property
    def priced(self) -> bool:
        """Whether the price is known."""
        return self.nanos is not None

    @property
    def usd(self) -> Decimal | None:
        """Dollars, exact; None when unpriced."""
        return None if self.nanos is None else Decimal(self.nanos) / NANO

    def __str__(self) -> str:
        return "unpriced" if self.nanos is None else f"${usd_text(self.nanos)}"


UNPRICED = Cost(None)


def usd_text(nanos: int) -> str:
    """Exact dollars as a plain decimal string, at least two and at most nine decimals."""
    sign = "-" if nanos < 0 else ""
    whole, rest = divmod(abs(nanos), NANO)
    digits = f"{rest:09d}".rstrip("0")
    return f"{sign}{whole}.{digits:0<2}"


def money(nanos: int | None) -> str:
    """Dollars for reading: six decimals below a cent, four below a dollar, else two."""
    if nanos is None:
        return "unknown"
    dollars = nanos / NANO
    digits = 6 if abs(dollars) < 0.01 else 4 if abs(dollars) < 1 else 2
    return f"${dollars:.{digits}f}"


def known_money(nanos: int, unpriced: int) -> str:
    """`nanos` for reading, when `unpriced` calls whose price is not known come on top: ``≥`` what is known, or unknown; never zero."""
    if not unpriced:
        return money(nanos)
    return f"≥ {money(nanos)}" if nanos else money(None)


def cost_field(cost: Cost | None) -> JsonObject:
    """``cost`` of a usage object: dollars as an exact JSON number, null when unpriced; no field for None."""
    if cost is None:
        return {}
    return {"cost": None if cost.nanos is None else Raw(usd_text(cost.nanos).encode())}


def add_costs(costs: tuple[Cost, ...]) -> Cost:
    """The sum; unpriced as soon as one part is."""
    total = 0
    for cost in costs:
        if cost.nanos is None:
            return UNPRICED
        total += cost.nanos
    return Cost(total)
