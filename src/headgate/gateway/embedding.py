"""Embeddings through the gateway: the client's own bytes where both sides speak one wire, else a translation.

A request goes to the model it names and to no other, whatever happens (translation case 109).
"""

from __future__ import annotations

import asyncio

import msgspec

from headgate.client import EmbedClient, Target
from headgate.client.chat import CONTENT_TYPE, naming
from headgate.client.embeddings import embed_dialect, embed_refusal, read_vectors
from headgate.client.target import conceal_key, upstream_id
from headgate.dialects.embed import EmbedDialect
from headgate.domain.embedding import EmbedRequest, EmbedResponse
from headgate.domain.response import Response as Answered
from headgate.errors import HeadgateError, WireError
from headgate.gateway.account import Refusal, accounted
from headgate.gateway.asking import Ask, check_strict
from headgate.gateway.errand import Visit
from headgate.gateway.parts import GatewayParts
from headgate.gateway.refusals import OURS
from headgate.gateway.stamps import stamps
from headgate.gateway.upstream import returned_headers
from headgate.serving.envelopes import Refused
from headgate.serving.metering import Tab
from headgate.serving.request import Request
from headgate.serving.response import JSON, NO_STORE, Response
from headgate.wire.http import Reply, Send
from headgate.wire.json import encode


class EmbedJob(msgspec.Struct, frozen=True):
    """One visit with a request for embeddings: who asks what, in which wire, and its account."""

    parts: GatewayParts
    dialect: EmbedDialect
    request: Request
    ask: Ask
    visit: Visit
    tab: Tab

    @property
    def target(self) -> Target:
        """Where it goes."""
        return self.visit.target


async def embed(job: EmbedJob) -> Response:
    """Answer a request. Raises `HeadgateError` for what the surface has to put into its envelope."""
    with accounted(job.visit, job.tab):
        wanted = understand(job)
        same = embed_dialect(job.target).name == job.dialect.name
        answer = await (_passed(job, wanted) if same else _translated(job, wanted))
    return msgspec.structs.replace(answer, headers=(*answer.headers, NO_STORE, *stamps(job.visit, job.tab.receipt)))


def _leave(job: EmbedJob) -> None:
    job.tab.called = True
    job.visit.leaves()


def understand(job: EmbedJob) -> EmbedRequest:
    """The request as a value. Raises `Refused` (400) with the place of what is malformed."""
    try:
        return job.dialect.parse_request(job.ask.body, job.ask.path)
    except WireError as error:
        raise Refused(400, error.message, code="invalid_request", param=error.param) from error


async def _passed(job: EmbedJob, wanted: EmbedRequest) -> Response:
    """One call with the client's own fields, and the provider's own bytes, errors included."""
    target, tab = job.target, job.tab
    rendered = job.dialect.render_request(msgspec.structs.replace(wanted, model=target.model), target.capabilities)
    body = encode(rendered.payload)
    tab.describe(request_bytes=len(body), notes=rendered.notes)
    check_strict(job.request, rendered.notes)
    call = target.placed(Send("POST", rendered.path, body, (CONTENT_TYPE, *rendered.headers)))
    _leave(job)
    with naming(target):
        reply = await job.parts.http.request(target.origin, call, target.headers(call, job.visit.errand.id))
    tab.status, tab.upstream_id = reply.status, upstream_id(reply.headers)
    job.visit.hear(reply.headers, asyncio.get_running_loop().time())
    if not reply.ok:
        raise _refused(job, reply)
    found = read_vectors(target, reply, wanted)
    tab.answered(Answered(id=found.id, model=found.model, usage=found.usage), tab.upstream_id)
    return Response(reply.status, returned_headers(reply.headers), _spelt(job, reply, found, wanted))


def _refused(job: EmbedJob, reply: Reply) -> HeadgateError:
    """A provider's refusal, with the answer as it came; without it for one of our key or account, and for a status that is no error."""
    error = embed_refusal(job.target, reply, job.parts.clock())
    if error.kind in OURS or reply.status < 400:
        return error
    return Refusal(error, Response(reply.status, (*returned_headers(reply.headers), NO_STORE), conceal_key(job.target, reply.body)))


def _spelt(job: EmbedJob, reply: Reply, found: EmbedResponse, wanted: EmbedRequest) -> bytes:
    """The provider's bytes, unless it gave numbers to a client that wants base64 (translation case 107)."""
    if wanted.encoding == "base64" and "base64" not in found.form:
        return job.dialect.render_response(found, wanted)
    return reply.body


async def _translated(job: EmbedJob, wanted: EmbedRequest) -> Response:
    tab = job.tab
    session = EmbedClient(job.parts.http).begin(job.target, wanted, request_id=job.visit.errand.id)
    tab.describe(request_bytes=session.request_bytes, notes=session.notes)
    check_strict(job.request, session.notes)
    tab.response = session.so_far
    _leave(job)
    exchange = await session.run()
    tab.answered(session.so_far(), exchange.upstream_id)
    answer = msgspec.structs.replace(exchange.response, model=exchange.response.model or job.target.model)
    return Response(200, (JSON, ("x-request-id", job.visit.errand.id)), job.dialect.render_response(answer, wanted))
