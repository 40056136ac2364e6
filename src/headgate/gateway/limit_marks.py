"""The rate limit headers of an answer: those of the caller's own key (translation case 90)."""

from __future__ import annotations

from headgate.gateway.errand import Errand
from headgate.ledger.limit_headers import Spelling, limit_headers
from headgate.ledger.limits import UNLIMITED
from headgate.wire.http import Headers

_SPELLINGS: dict[str, Spelling] = {"anthropic_messages": "anthropic", "gemini_generate": "plain", "gemini_embeddings": "plain"}


def limit_marks(errand: Errand, now: float) -> Headers:
    """What the key of an errand has left, as clients of its surface read it; nothing for a key without limits. `now` is loop time."""
    principal, parts = errand.principal, errand.parts
    if not principal.key_id:
        return ()
    left = parts.limiter.headroom_among(principal.subjects, f"key:{principal.key_id}", now)
    if left is UNLIMITED:
        return ()
    return limit_headers(_SPELLINGS.get(errand.dialect_in, "openai"), left, parts.clock())
