"""Embeddings: one request in as many calls as the provider needs, its vectors in the order of the inputs (translation case 108).

Nothing here ever asks another model than the one that was named: vectors of two models cannot be compared (translation case 109).
"""

from __future__ import annotations

import asyncio
import time
from itertools import accumulate

import msgspec

from headgate.client.chat import CONTENT_TYPE, bad_content, naming
from headgate.client.target import Target, concealed, key_hint, upstream_id
from headgate.dialects.base import Note, RenderedRequest
from headgate.dialects.embed import EmbedDialect
from headgate.domain.embedding import EmbedRequest, EmbedResponse
from headgate.domain.estimate import estimate_embedding
from headgate.domain.response import Response
from headgate.domain.usage import Usage, add_usage
from headgate.errors import ErrorKind, ProviderError, Unsupported, WireError
from headgate.transport.headers import retry_after
from headgate.transport.http1 import HttpClient
from headgate.wire.http import Reply, Send
from headgate.wire.json import encode

AT_ONCE = 4
"""Calls of one request that are under way together."""


class EmbedExchange(msgspec.Struct, frozen=True):
    """A finished request: the vectors, what was lost in translation, and how many calls it took. Times as in `Exchange`."""

    response: EmbedResponse
    notes: tuple[Note, ...]
    started: float
    duration: float
    upstream_id: str | None
    request_bytes: int
    calls: int


class Portion(msgspec.Struct, frozen=True):
    """One call's share of a request, rendered and encoded."""

    request: EmbedRequest
    rendered: RenderedRequest
    body: bytes

    def call(self, limit: float | None) -> Send:
        """The call to make, within `limit` seconds."""
        return Send("POST", self.rendered.path, self.body, (CONTENT_TYPE, *self.rendered.headers), limit)


def embed_dialect(target: Target) -> EmbedDialect:
    """The wire of the target's embeddings. Raises `Unsupported` when its provider has none."""
    found = target.provider.embed
    if found is None:
        raise Unsupported(f"{target.provider.label} has no embeddings here", param="model", hint="headgate models embed")
    return found


def portions(target: Target, request: EmbedRequest) -> tuple[Portion, ...]:
    """A request for the target, split as its provider needs it. Raises `Unsupported` for what the target cannot express."""
    dialect = embed_dialect(target)
    if not request.inputs:
        raise Unsupported("there is nothing to embed", param="input")
    named = msgspec.structs.replace(request, model=target.model)
    most = dialect.max_inputs(target.model)
    found = []
    for start in range(0, len(named.inputs), most):
        part = msgspec.structs.replace(
            named, inputs=named.inputs[start : start + most], each=named.each[start : start + most] if named.each else ()
        )
        rendered = dialect.render_request(part, target.capabilities)
        found.append(Portion(part, rendered, encode(rendered.payload)))
    return tuple(found)


class EmbedClient:
    """Embeddings over one `HttpClient`, which it does not own."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def embed(
        self, target: Target, request: EmbedRequest, *, request_id: str | None = None, limit: float | None = None
    ) -> EmbedExchange:
        """The vectors of every input, within `limit` seconds. Raises `ProviderError` for refusals, failures and unreadable answers."""
        return await self.begin(target, request, request_id=request_id, limit=limit).run()

    def begin(self, target: Target, request: EmbedRequest, *, request_id: str | None = None, limit: float | None = None) -> EmbedSession:
        """The request, rendered and not yet sent. Raises `Unsupported`."""
        return EmbedSession(self._http, target, portions(target, request), request_id, limit)


class EmbedSession:
    """One request on its way. `so_far` says at any time what has been answered, and so what is to be paid, also after a failure."""

    def __init__(self, http: HttpClient, target: Target, parts: tuple[Portion, ...], request_id: str | None, limit: float | None) -> None:
        self.notes = tuple(dict.fromkeys(note for part in parts for note in part.rendered.notes))
        self.request_bytes = sum(len(part.body) for part in parts)
        self.upstream_id: str | None = None
        self._http = http
        self._target = target
        self._parts = parts
        self._request_id = request_id
        self._limit = limit
        self._answers: dict[int, EmbedResponse] = {}
        self._failed = False

    def so_far(self) -> Response:
        """What came, as the receipt needs it: who answered, and the usage."""
        merged = joined(self._parts, self._answers)
        return Response(id=merged.id, model=merged.model, usage=merged.usage)

    async def run(self) -> EmbedExchange:
        """Make the calls, a few at a time. After a failure those under way are heard out, and no others begun; raises it then."""
        started, clock = time.time(), time.monotonic()
        target = await self._target.ready()
        todo = iter(range(len(self._parts)))

        async def work() -> None:
            for place in todo:
                if self._failed:
                    return
                try:
                    self._answers[place] = await self._ask(target, place, None if self._limit is None else clock + self._limit)
                finally:
                    self._failed = self._failed or place not in self._answers

        workers = [work() for _ in range(min(AT_ONCE, len(self._parts)))]
        ends = await asyncio.gather(*workers, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        merged = joined(self._parts, self._answers)
        return EmbedExchange(merged, self.notes, started, time.monotonic() - clock, self.upstream_id, self.request_bytes, len(self._parts))

    async def _ask(self, target: Target, place: int, deadline: float | None) -> EmbedResponse:
        part = self._parts[place]
        placed = target.placed(part.call(None if deadline is None else max(0.001, deadline - time.monotonic())))
        with naming(target):
            reply = await self._http.request(target.origin, placed, target.headers(placed, self._request_id))
        self.upstream_id = self.upstream_id or upstream_id(reply.headers)
        if not reply.ok:
            raise embed_refusal(target, reply, time.time())
        return read_vectors(target, reply, part.request)


def embed_refusal(target: Target, reply: Reply, now: float) -> ProviderError:
    """The error a reply that is no success stands for, as `refusal` for chat."""
    error = concealed(target, embed_dialect(target).parse_error(reply.status, reply.headers, reply.body))
    error.provider = target.provider.name
    error.request_id = error.request_id or upstream_id(reply.headers)
    if error.retry_after is None:
        error.retry_after = retry_after(reply.headers, now)
    if error.kind is ErrorKind.AUTH:
        if target.credential.token is not None:
            target.credential.token.refused(target.credential.key)
        error.hint = error.hint or key_hint(target)
    return error


def read_vectors(target: Target, reply: Reply, request: EmbedRequest) -> EmbedResponse:
    """Parse a 2xx reply: a vector for each input, and usage, estimated when the provider does not count (`Usage.source`).

    Raises `ProviderError` for an error inside it, for a body that is no answer, and for too few or too many vectors.
    """
    try:
        found = embed_dialect(target).parse_response(reply.body, reply.headers)
        if len(found.embeddings) != len(request.inputs):
            raise WireError(f"{len(found.embeddings)} vectors for {len(request.inputs)} inputs")
    except ProviderError as error:
        concealed(target, error).provider = target.provider.name
        error.request_id = error.request_id or upstream_id(reply.headers)
        raise
    except WireError as error:
        raise bad_content(target, reply, error, "embeddings") from error
    if found.usage is not None and (found.usage.input_total or not any(request.inputs)):
        return found
    return msgspec.structs.replace(found, usage=estimate_embedding(request.inputs))


def joined(parts: tuple[Portion, ...], answers: dict[int, EmbedResponse]) -> EmbedResponse:
    """The answers that are there as one, every vector with the index of its input, and the sum of the usage."""
    if len(parts) == 1:
        return answers.get(0, EmbedResponse(embeddings=()))
    starts = tuple(accumulate((len(part.request.inputs) for part in parts), initial=0))
    places = sorted(answers)
    first = answers[places[0]] if places else EmbedResponse(embeddings=())
    vectors = tuple(
        msgspec.structs.replace(item, index=starts[place] + item.index) for place in places for item in answers[place].embeddings
    )
    return msgspec.structs.replace(first, embeddings=vectors, usage=_sum([answers[place].usage for place in places]), extra=None, form=())


def _sum(usages: list[Usage | None]) -> Usage | None:
    total: Usage | None = None
    for usage in usages:
        if usage is not None:
            total = usage if total is None else add_usage(total, usage)
    return total
