"""A receipt as one line of a run's cost file (PAS-31). Pure."""

from __future__ import annotations

import hashlib
import re
from decimal import ROUND_HALF_UP, Decimal

from headgate.domain.cost import NANO
from headgate.ledger.export import safe_name
from headgate.ledger.labels import agent_of
from headgate.ledger.moments import iso
from headgate.ledger.receipt import Receipt
from headgate.wire.json import JsonObject, Raw

DEFAULT_RUN = "default"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_PLACES = Decimal("0.000001")


def cost_line(receipt: Receipt) -> JsonObject:
    """The line: `cost_usd` in six places, half up, null when unpriced; `cost_nanos` exactly. No prompt, no answer, no provider's words."""
    line: JsonObject = {
        "request_id": receipt.id,
        "run_id": receipt.run or DEFAULT_RUN,
        "agent": agent_of(receipt.tags),
        "timestamp": iso(receipt.at),
        "provider": receipt.provider,
        "model": receipt.model,
        "input_tokens": receipt.usage.input_total,
        "output_tokens": receipt.usage.output_total,
        "cost_usd": six_places(receipt.cost_nanos),
        "cost_nanos": receipt.cost_nanos,
        "latency_ms": None if receipt.duration is None else round(receipt.duration * 1000, 3),
        "status": status_word(receipt),
        "lane": receipt.lane,
        "attempts": len(receipt.attempts),
    }
    if receipt.error is not None:
        line["error_message"] = receipt.error
    origin = fallback_from(receipt)
    if origin is not None:
        line["fallback_from"] = origin
    return line


def six_places(nanos: int | None) -> Raw | None:
    """Dollars as a JSON number with six places, rounded half up (away from zero)."""
    return None if nanos is None else Raw(str((Decimal(nanos) / NANO).quantize(_PLACES, ROUND_HALF_UP)).encode())


def status_word(receipt: Receipt) -> str:
    """How it ended: success, fallback (success elsewhere than at first), timeout or error."""
    if receipt.status == "ok":
        return "success" if fallback_from(receipt) is None else "fallback"
    return "timeout" if receipt.error == "timeout" else "error"


def fallback_from(receipt: Receipt) -> str | None:
    """``provider/model`` that was tried first, when another one came last."""
    if not receipt.attempts:
        return None
    first, last = receipt.attempts[0], receipt.attempts[-1]
    return None if (first.provider, first.model) == (last.provider, last.model) else f"{first.provider}/{first.model}"


def file_name(run: str | None) -> str:
    """The file of a run, in a folder of its own, whatever the run is called: two runs never share one, on no file system (I14)."""
    name = run or DEFAULT_RUN
    safe = safe_name(name).lower()
    if not (_PLAIN.fullmatch(name) and safe == name):
        safe = f"{safe[:50]}.h{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
    return f"{safe}.jsonl"
