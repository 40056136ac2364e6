"""What is left of a key's own limits, in the headers that each kind of client reads. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from headgate.ledger.limits import Full, Headroom, Room, retry_seconds
from headgate.wire.http import Headers

Spelling: TypeAlias = Literal["openai", "anthropic", "plain"]


def limit_headers(spelling: Spelling, headroom: Headroom, now: float) -> Headers:
    """The headers for what is left; nothing for what is not limited. `now` is epoch seconds.

    ``openai``: ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``, reset as a duration (``1m30s``). ``anthropic``:
    ``anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}``, reset as an RFC 3339 date. ``plain``:
    ``x-ratelimit-{limit,remaining,reset}`` of requests (else of tokens), reset in seconds.
    """
    if spelling == "anthropic":
        return _anthropic(headroom, now)
    if spelling == "openai":
        return (*_openai("requests", headroom.requests), *_openai("tokens", _tightest(headroom)))
    room = headroom.requests or _tightest(headroom)
    if room is None:
        return ()
    return (
        ("x-ratelimit-limit", str(room.limit)),
        ("x-ratelimit-remaining", str(room.remaining)),
        ("x-ratelimit-reset", str(math.ceil(room.reset))),
    )


def refusal_headers(full: Full) -> Headers:
    """The headers of a refusal: when to come back, as far as that is known; clients are not to try again where it does not help."""
    if full.retry_after is None:
        return (("x-should-retry", "false"),)
    return (("retry-after", str(retry_seconds(full.retry_after))), ("retry-after-ms", str(max(1, math.ceil(full.retry_after * 1000)))))


def _tightest(headroom: Headroom) -> Room | None:
    """The room of tokens with the least left: OpenAI's spelling has one figure."""
    rooms = [room for room in (headroom.tokens, headroom.input_tokens, headroom.output_tokens) if room is not None]
    return min(rooms, key=lambda room: room.remaining, default=None)


def _openai(kind: str, room: Room | None) -> Headers:
    if room is None:
        return ()
    return (
        (f"x-ratelimit-limit-{kind}", str(room.limit)),
        (f"x-ratelimit-remaining-{kind}", str(room.remaining)),
        (f"x-ratelimit-reset-{kind}", duration(room.reset)),
    )


def _anthropic(headroom: Headroom, now: float) -> Headers:
    rooms = {
        "requests": headroom.requests,
        "tokens": headroom.tokens,
        "input-tokens": headroom.input_tokens,
        "output-tokens": headroom.output_tokens,
    }
    found: list[tuple[str, str]] = []
    for kind, room in rooms.items():
        if room is not None:
            name = f"anthropic-ratelimit-{kind}"
            date = datetime.fromtimestamp(math.ceil(now + room.reset), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            found += [(f"{name}-limit", str(room.limit)), (f"{name}-remaining", str(room.remaining)), (f"{name}-reset", date)]
    return tuple(found)


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: ``6ms``, ``1.5s``, ``1m30s``, ``2h0m5s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{math.ceil(seconds * 1000) / 1000:g}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
