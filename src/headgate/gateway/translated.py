"""Two dialects: the request is understood, rendered for the target, and its answer rendered back (architecture §4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from headgate.client import ChatClient
from headgate.client.chat import StreamSession, prepare
from headgate.dialects.anthropic_messages import BETAS
from headgate.dialects.base import Note, StreamContext
from headgate.domain.events import UsageSeen
from headgate.domain.request import Request as Conversation
from headgate.domain.response import Response as Completion
from headgate.domain.usage import Usage
from headgate.errors import HeadgateError, WireError
from headgate.gateway.account import accounted
from headgate.gateway.array_stream import as_array
from headgate.gateway.asking import Job, check_choices, check_strict
from headgate.gateway.last_words import farewell, last_words
from headgate.gateway.passthrough import UNBUFFERED, leave
from headgate.gateway.stamps import stamps
from headgate.serving.envelopes import Refused
from headgate.serving.response import JSON, NO_STORE, Answer, Response, Stream
from headgate.wire.http import Headers

PING = b": ping\n\n"
COST_HEADER = "x-headgate-usage-cost"
"""Request header; "false" keeps `cost` out of the usage of an answer."""
_FALSE = frozenset({"false", "0", "no"})
_ID_HEADERS = {"anthropic": "request-id"}


async def translate(job: Job) -> Answer:
    """Answer a request through a target of another dialect. Raises `HeadgateError` for what the surface has to put into its envelope."""
    return await StreamTranslation(job).open() if job.ask.stream else await _whole(job)


def understand(job: Job) -> Conversation:
    """The request as a value. Raises `Refused` (400) with the place of what is malformed."""
    try:
        conversation = job.dialect.parse_request(job.ask.body, job.ask.path)
    except WireError as error:
        raise Refused(400, error.message, code="invalid_request", param=error.param) from error
    check_choices(job, conversation.n)
    if job.most is not None:
        conversation = msgspec.structs.replace(conversation, max_tokens=job.most)
    betas = job.request.values("anthropic-beta") if job.dialect.name == "anthropic_messages" else ()
    return _with_betas(conversation, betas) if betas else conversation


def noted(job: Job, notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """What was lost on the way, a lowered maximum of output included."""
    return (*job.notes, *notes)


def _with_betas(conversation: Conversation, values: Sequence[str]) -> Conversation:
    """The request with the betas of the client's header, for providers that take them (translation case 113)."""
    names = [name.strip() for name in ",".join(values).split(",") if name.strip()]
    return msgspec.structs.replace(conversation, extra={**(conversation.extra or {}), BETAS: list(dict.fromkeys(names))})


async def _whole(job: Job) -> Response:
    tab = job.tab
    with accounted(job.visit, tab):
        conversation = understand(job)
        ready = prepare(job.target, msgspec.structs.replace(conversation, stream=None, stream_usage=None))
        tab.describe(request_bytes=len(ready.body), notes=noted(job, ready.rendered.notes))
        check_strict(job.request, tab.call.notes)
        leave(job)
        exchange = await ChatClient(job.parts.http).complete_prepared(job.target, ready, request_id=job.visit.errand.id)
        job.visit.hear(exchange.headers, asyncio.get_running_loop().time())
        tab.answered(exchange.response, exchange.upstream_id)
        tab.describe(request_bytes=len(ready.body), notes=noted(job, exchange.notes))
        body = job.dialect.render_response(_priced(job, _dated(job, exchange.response)))
    return Response(200, (JSON, NO_STORE, *_own_id(job), *stamps(job.visit, tab.receipt)), body)


def _dated(job: Job, completion: Completion) -> Completion:
    """The answer with an id, a model and a time, which some wires do not have and others must."""
    created = completion.created if completion.created is not None else int(job.visit.errand.at)
    return msgspec.structs.replace(
        completion,
        created=created,
        id=completion.id or job.visit.errand.id,
        model=completion.model or job.target.model,
        echo=job.dialect.echo(job.ask.fields),
    )


def _priced(job: Job, completion: Completion) -> Completion:
    """The answer with `usage.cost`, unless the client does not want it."""
    if completion.usage is None or not tells_cost(job):
        return completion
    return msgspec.structs.replace(completion, usage=costed(job, completion.usage))


def tells_cost(job: Job) -> bool:
    """Whether an answer that is written here is to say in its usage what it cost."""
    return (job.request.header(COST_HEADER) or "").strip().lower() not in _FALSE


def costed(job: Job, usage: Usage) -> Usage:
    """The usage of a whole answer, with what the request has cost."""
    return msgspec.structs.replace(usage, cost=job.visit.costs(job.tab.outcome()))


def _own_id(job: Job) -> Headers:
    """Our request id under the name the surface's clients look for."""
    return ((_ID_HEADERS.get(job.surface.name, "x-request-id"), job.visit.errand.id),)


class StreamTranslation:
    """One streamed answer on its way through both dialects. `open` returns when its first bytes are there."""

    def __init__(self, job: Job) -> None:
        self._job = job

    async def open(self) -> Stream:
        """The stream."""
        job = self._job
        chunks = self._run()
        await anext(chunks)
        headers = (NO_STORE, UNBUFFERED, *_own_id(job), *stamps(job.visit))
        kind = ("content-type", job.dialect.stream_type)
        stream = Stream(200, (kind, *headers), chunks, keep_alive=PING, farewell=farewell(job))
        return await as_array(stream) if job.ask.array else stream

    async def _run(self) -> AsyncGenerator[bytes, None]:
        """First an empty piece, once the provider has begun to answer; then the pieces."""
        job, tab = self._job, self._job.tab
        with accounted(job.visit, tab):
            conversation = understand(job)
            session = ChatClient(job.parts.http).stream(job.target, conversation, request_id=job.visit.errand.id)
            tab.describe(request_bytes=session.request_bytes, notes=noted(job, session.notes))
            job.visit.notes = tab.call.notes
            check_strict(job.request, tab.call.notes)
            leave(job)
            async with session:
                job.visit.hear(session.headers, asyncio.get_running_loop().time())
                tab.status, tab.upstream_id, tab.response = 200, session.upstream_id, session.fold.response
                async with aclosing(self._pieces(session, bool(conversation.stream_usage))) as pieces:
                    first = await self._opening(session, pieces)
                    yield b""
                    try:
                        yield first
                        async for piece in pieces:
                            yield piece
                    except HeadgateError as error:
                        tab.error = error
                        yield last_words(job, error)

    async def _opening(self, session: StreamSession, pieces: AsyncGenerator[bytes, None]) -> bytes:
        """The first piece for the client. Raises what the provider reports before it: then another may still be asked."""
        async for piece in pieces:
            if session.fold.error is not None:
                raise session.fold.error.error
            if piece:
                return piece
        return b""

    async def _pieces(self, session: StreamSession, include_usage: bool) -> AsyncGenerator[bytes, None]:
        tab = self._job.tab
        errand = self._job.visit.errand
        echo = self._job.dialect.echo(self._job.ask.fields)
        context = StreamContext(self._job.target.model, errand.id, int(errand.at), include_usage, echo)
        encoder = self._job.dialect.stream_encoder(context)
        seen: UsageSeen | None = None
        async with aclosing(aiter(session)) as events:
            async for event in events:
                tab.first_byte = session.first_event
                if type(event) is UsageSeen:
                    seen = event
                yield encoder.render_event(event)
        tab.whole = session.complete
        tab.error = None if session.fold.error is None else session.fold.error.error
        if seen is not None and tab.whole and tells_cost(self._job):
            yield encoder.render_event(msgspec.structs.replace(seen, usage=costed(self._job, seen.usage)))
        yield encoder.close()
