"""The ``x-headgate-*`` headers of an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headgate.dialects.base import Note
from headgate.domain.cost import Cost, usd_text
from headgate.serving.metering import Call
from headgate.wire.http import Headers

_UNPRINTABLE = re.compile(r"[^\x21-\x2b\x2d-\x7e]")
LONGEST = 4096


def stamps(call: Call, cost: Cost | None = None) -> Headers:
    """Request id and provider, what was lost in translation, and for a whole answer its cost in dollars ("unpriced" when unknown)."""
    headers = [("x-headgate-request-id", call.id), ("x-headgate-provider", call.target.provider.name)]
    if call.notes:
        headers.append(("x-headgate-fidelity", fidelity(call.notes)))
    if cost is not None:
        headers.append(("x-headgate-cost", "unpriced" if cost.nanos is None else usd_text(cost.nanos)))
    return tuple(headers)


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
