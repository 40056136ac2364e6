"""Same dialect on both sides: the client's bytes go on, the provider's bytes come back, and a tap only listens (architecture §1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import msgspec

from headgate.client.chat import CONTENT_TYPE, listen, naming, read_answer
from headgate.client.target import conceal_key, refusal, upstream_id
from headgate.dialects.tap import tap_of
from headgate.domain.response import Response as Answered
from headgate.errors import HeadgateError, ProviderError, TooLarge, WireError
from headgate.gateway.account import Refusal, accounted
from headgate.gateway.asking import Job, check_choices, check_strict, read_field
from headgate.gateway.capped import capped
from headgate.gateway.last_words import farewell, last_words
from headgate.gateway.refusals import OURS
from headgate.gateway.relay import EventRelay, is_usage_only
from headgate.gateway.stamps import stamps
from headgate.gateway.upstream import WIRES, returned_headers, upstream_headers, upstream_path
from headgate.serving.response import NO_STORE, Answer, Response, Stream
from headgate.transport.stream import StreamReply
from headgate.wire.http import Headers, Reply, Send
from headgate.wire.json import decode, encode

UNBUFFERED = ("x-accel-buffering", "no")
LARGEST_ANSWER = 64 << 20
_TRUE = b"true"


class Outgoing(msgspec.Struct, frozen=True):
    """The call to make. `usage_added` says that the stream will carry usage the client did not ask for."""

    send: Send
    headers: Headers
    usage_added: bool


async def pass_through(job: Job) -> Answer:
    """Answer a request by its target's own bytes. Raises `HeadgateError` for what the surface has to put into its envelope."""
    return await StreamPass(job).open() if job.ask.stream else await _whole(job)


def outgoing(job: Job) -> Outgoing:
    """The client's body with the model's own name in it and, for a stream that is not asked to carry it, usage (translation case 55)."""
    wire, most = WIRES[job.dialect.name], job.most
    fields, added = dict(job.ask.fields), False
    if not wire.model_in_path:
        fields["model"] = msgspec.Raw(encode(job.target.model))
    if most is not None:
        fields = capped(job.dialect.name, fields, job.target, most)
    if wire.asks_usage:
        check_choices(job, read_field(fields, "n", int))
        options = read_field(fields, "stream_options", dict[str, msgspec.Raw]) or {}
        added = job.ask.stream and bytes(options.get("include_usage", b"")) != _TRUE
        if added:
            fields["stream_options"] = msgspec.Raw(encode({**options, "include_usage": msgspec.Raw(_TRUE)}))
    body = encode(fields)
    job.tab.describe(request_bytes=len(body), notes=job.notes)
    job.visit.notes = job.tab.call.notes
    check_strict(job.request, job.tab.call.notes)
    path = upstream_path(wire, job.request, job.target, job.ask.stream)
    send = job.target.placed(Send("POST", path, body, (CONTENT_TYPE,)))
    return Outgoing(send, upstream_headers(wire, job.request, job.target, send, job.tab.call.id), added)


async def _whole(job: Job) -> Response:
    with accounted(job.visit, job.tab):
        call = outgoing(job)
        leave(job)
        with naming(job.target):
            reply = await job.parts.http.request(job.target.origin, call.send, call.headers)
        overhear(job, reply)
    return returned(job, reply)


def leave(job: Job) -> None:
    """Bytes leave now."""
    job.tab.called = True
    job.visit.leaves()


def overhear(job: Job, reply: Reply) -> None:
    """Note what a whole reply says. Raises `Refusal` for an error, and `ProviderError` for one that the client must not get as it is.

    Those are a refusal of our key or account, a status that is neither success nor error, an error that calls itself a success, and what
    is no JSON (faults A17, A23, A24).
    """
    tab = job.tab
    tab.status, tab.upstream_id = reply.status, upstream_id(reply.headers)
    job.visit.hear(reply.headers, asyncio.get_running_loop().time())
    if not reply.ok:
        error = refusal(job.target, reply.status, reply.headers, reply.body, job.parts.clock())
        if error.kind in OURS or reply.status < 400 or not _is_json(reply.body):
            raise error
        raise Refusal(error, Response(reply.status, (*returned_headers(reply.headers), NO_STORE), conceal_key(job.target, reply.body)))
    found = job.dialect.skim(reply.body)
    if found is not None:
        tab.response, tab.whole = partial(_same, found), True
        return
    try:
        found = read_answer(job.target, reply)
    except ProviderError as error:
        if error.code != "upstream_bad_content" or not _may_be_an_answer(reply.body):
            raise
        return  # valid JSON of a kind this decoder does not know yet: the client may know it, and the usage is estimated
    tab.response, tab.whole = partial(_same, found), True


def _same(found: Answered) -> Answered:
    return found


def returned(job: Job, reply: Reply) -> Response:
    """A settled reply as it goes to the client."""
    marks = stamps(job.visit, job.tab.receipt)
    return Response(reply.status, (*returned_headers(reply.headers), NO_STORE, *marks), reply.body)


def _is_json(body: bytes) -> bool:
    try:
        decode(body)
    except WireError:
        return False
    return True


def _may_be_an_answer(body: bytes) -> bool:
    try:
        found = decode(body)
    except WireError:
        return False
    return isinstance(found, dict) and not isinstance(found.get("error"), dict)


class StreamPass:
    """One streamed answer passing through. `open` returns when its first bytes are there."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tap = tap_of(job.target.chat)
        self._relay = EventRelay()
        self._deaf = False
        self._lost = False
        self._whole: Reply | None = None
        self._headers: Headers = ()

    async def open(self) -> Answer:
        """The stream, or a whole answer when the provider gave one: errors, and providers that do not stream."""
        chunks = self._run()
        await anext(chunks)
        if self._whole is not None:
            await anext(chunks, b"")
            return returned(self._job, self._whole)
        say = farewell(self._job)
        return Stream(200, self._headers, chunks, farewell=lambda error: self._relay.gap + say(error))

    async def _run(self) -> AsyncGenerator[bytes, None]:
        """First an empty piece, once it is known what the answer will be; then the pieces."""
        job, tab = self._job, self._job.tab
        with accounted(job.visit, tab), naming(job.target):
            call = outgoing(job)
            leave(job)
            async with job.parts.http.stream(job.target.origin, call.send, call.headers) as reply:
                if not reply.ok or not _is_event_stream(reply):
                    self._whole = await reply.read(LARGEST_ANSWER)
                    overhear(job, self._whole)
                    yield b""
                    return
                tab.status, tab.upstream_id, tab.response = reply.status, upstream_id(reply.headers), self._tap.response
                job.visit.hear(reply.headers, asyncio.get_running_loop().time())
                self._headers = (*returned_headers(reply.headers), NO_STORE, UNBUFFERED, *stamps(job.visit))
                async with aclosing(self._pieces(reply, call.usage_added)) as pieces:
                    first = await self._opening(pieces)
                    yield b""
                    try:
                        yield first
                        async for piece in pieces:
                            yield piece
                    except HeadgateError as error:
                        tab.error = error
                        yield self._relay.gap + last_words(job, error)

    async def _opening(self, pieces: AsyncGenerator[bytes, None]) -> bytes:
        """The first piece for the client. Raises what the provider reports before it: then another may still be asked."""
        async for piece in pieces:
            if self._tap.error is not None:
                raise self._tap.error.error
            if piece:
                return piece
        return b""

    async def _pieces(self, reply: StreamReply, usage_added: bool) -> AsyncGenerator[bytes, None]:
        self._relay = relay = EventRelay(is_usage_only if usage_added else None)
        over = False
        async for data in reply.body:
            over = self._listen(data)
            yield relay.feed(data)
            if over:
                reply.finish()
                break
        if not over:
            self._conclude()
        yield relay.rest()

    def _listen(self, data: bytes) -> bool:
        """Overhear a read, and tell whether the answer's terminator was in it. What is whole is booked as whole, whoever still reads it.

        What cannot be read is counted by its bytes; the usage may still come after it.
        """
        tab = self._job.tab
        if tab.first_byte is None:
            tab.first_byte = asyncio.get_running_loop().time() - self._job.visit.began
        failed = None if self._deaf else listen(self._tap, data)
        if failed is not None:
            self._lost, self._deaf = True, isinstance(failed, TooLarge)
        if failed is not None or self._deaf:
            tab.unheard += len(data)
        over = self._tap.complete and not self._deaf
        if over:
            self._conclude()
        return over

    def _conclude(self) -> None:
        """At the end of the bytes. Raises `Truncated` for a stream that stopped before its terminator, unless it could not be followed."""
        if not self._lost:
            self._tap.close()
        failed = self._tap.error
        self._job.tab.whole = failed is None and (self._tap.complete or not self._lost)
        self._job.tab.error = None if failed is None else failed.error


def _is_event_stream(reply: StreamReply) -> bool:
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"
