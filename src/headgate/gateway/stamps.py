"""The ``x-headgate-*`` headers of an answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

from headgate.dialects.base import Note
from headgate.domain.cost import usd_text
from headgate.gateway.errand import Visit
from headgate.gateway.limit_marks import limit_marks
from headgate.ledger import Receipt
from headgate.wire.http import Headers

_UNPRINTABLE = re.compile(r"[^\x21-\x2b\x2d-\x7e]")
LONGEST = 4096


def stamps(visit: Visit, receipt: Receipt | None = None) -> Headers:
    """Request id, provider and number of attempts, what the caller's key has left, what was lost in translation, and for a settled answer
    its cost in dollars."""
    errand, notes = visit.errand, visit.notes
    headers = [
        ("x-headgate-request-id", errand.id),
        ("x-headgate-provider", visit.target.provider.name),
        ("x-headgate-attempts", str(len(errand.tried))),
    ]
    headers += limit_marks(errand.parts, errand.principal, errand.dialect_in, asyncio.get_running_loop().time())
    if notes:
        headers.append(("x-headgate-fidelity", fidelity(notes)))
    if receipt is not None:
        headers.append(("x-headgate-cost", cost_text(receipt.cost_nanos)))
    return tuple(headers)


def cost_text(nanos: int | None) -> str:
    """Dollars as a decimal, "unpriced" when unknown."""
    return "unpriced" if nanos is None else usd_text(nanos)


def fidelity(notes: Iterable[Note]) -> str:
    """``dropped:logit_bias, approximated:temperature``: as many notes as fit into a header; what no header may hold becomes ``?``."""
    words: list[str] = []
    size = 0
    for word in dict.fromkeys(f"{note.action}:{_UNPRINTABLE.sub('?', note.field)}" for note in notes):
        size += len(word) + 2
        if size > LONGEST:
            words.append("...")
            break
        words.append(word)
    return ", ".join(words)
