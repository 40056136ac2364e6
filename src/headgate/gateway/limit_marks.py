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


class LimitLines:
    """`limit_marks` as header lines. Answers of one moment of the loop say the same, which is worked out once."""

    __slots__ = ("_lines", "_moment")

    def __init__(self) -> None:
        self._moment = -1.0
        self._lines: dict[str, str] = {}

    def of(self, parts: GatewayParts, principal: Principal, dialect_in: str, now: float) -> str:
        """Those of the bearer's key. `now` is loop time."""
        id = principal.key_id
        if not id:
            return ""
        if now != self._moment:
            self._moment = now
            self._lines.clear()
        found = self._lines.get(id)
        if found is None:
            marks = limit_marks(parts, principal, dialect_in, now)
            found = self._lines[id] = "".join([f"{name}: {value}\r\n" for name, value in marks])
        return found
