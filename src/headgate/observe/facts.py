"""What is told of a finished request: figures and names, no content."""

from __future__ import annotations

import msgspec

from headgate.observe.trace import TraceContext


class AttemptFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One try at one provider. `started` is seconds since the epoch, `duration` seconds, `error` the kind of its failure."""

    provider: str
    model: str
    started: float
    duration: float
    status: int | None = None
    error: str | None = None


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A request that is over.

    `route` is the path of the matched route, `status` what the client got; `started` is seconds since the epoch, `duration` and
    `first_byte` seconds. `cost_nanos` None means unpriced. `key_id` is the public id of the key. `trace` is what the client sent.
    """

    id: str
    route: str
    status: int
    started: float
    duration: float
    provider: str = ""
    model: str = ""
    model_answered: str | None = None
    operation: str = "chat"
    stream: bool = False
    first_byte: float | None = None
    input_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanos: int | None = None
    finish: str | None = None
    error: str | None = None
    key_id: str = ""
    cache: str | None = None
    attempts: tuple[AttemptFacts, ...] = ()
    trace: TraceContext | None = None
