"""The rate limit headers of an answer: those of the caller's own key (translation case 90)."""

from __future__ import annotations

from headgate.gateway.parts import GatewayParts
from headgate.ledger.limit_headers import Spelling, limit_headers
from headgate.ledger.limits import UNLIMITED
from headgate.ledger.principal import Principal
from headgate.wire.http import Headers

_SPELLINGS: dict[str, Spelling] = {"anthropic_messages": "anthropic", "gemini_generate": "plain", "gemini_embeddings": "plain"}


def limit_marks(parts: GatewayParts, principal: Principal, dialect_in: str, now: float) -> Headers:
    """What the bearer's key has left, as clients of the surface read it; nothing for a key without limits. `now` is loop time."""
    if not principal.key_id:
        return ()
    left = parts.limiter.headroom_among(principal.subjects, f"key:{principal.key_id}", now)
    if left is UNLIMITED:
        return ()
    return limit_headers(_SPELLINGS.get(dialect_in, "openai"), left, parts.clock())
