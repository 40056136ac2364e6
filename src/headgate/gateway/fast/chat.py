"""The fast endpoint of a chat surface: admits, plans, reserves, and sends, all within one callback.

What it does is what `endpoints.chat` does, in the same order; where anything is out of the ordinary it leaves the request to that, before
anything was taken or sent, or hands over the errand once its first visit has failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from headgate.domain.estimate import estimate_tokens
from headgate.errors import HeadgateError
from headgate.gateway.account import accounted
from headgate.gateway.asking import Ask, Job, read_ask
from headgate.gateway.endpoints.chat import Chat
from headgate.gateway.execute import UNASKED
from headgate.gateway.fast.prepared import Prepared, Unprepared, prepare
from headgate.gateway.fast.relay import Asked, Relay, StreamRelay, WholeRelay
from headgate.gateway.labels import CLAUDE_SESSION, SESSION_HEADER, TRACE_HEADER, UNLABELLED, Labels, session_label
from headgate.gateway.last_words import words_of
from headgate.gateway.outline import READERS, Outline
from headgate.gateway.parts import GatewayParts
from headgate.gateway.passthrough import overhear, returned
from headgate.ledger.labels import AGENT_HEADER, RUN_HEADER
from headgate.ledger.limit_gates import Permit
from headgate.ledger.limits import Full
from headgate.ledger.principal import Principal
from headgate.ledger.spending import Hold
from headgate.router import Deployment, Flight, Plan, Wish
from headgate.serving.auth import plain_key
from headgate.serving.envelopes import Surface
from headgate.serving.metering import Tab
from headgate.serving.request import Request
from headgate.serving.response import Answer
from headgate.serving.turn import Turn
from headgate.wire.http import Reply

_LOG = logging.getLogger("headgate.server")
SCOPE = "completions:read"
_ADVISORY = frozenset({SESSION_HEADER, RUN_HEADER, AGENT_HEADER})
REMEMBERED = 1024


class FastChat:
    """One surface at one request target. `find` says whose a key is, from memory; `path` is the route's, `query` what the provider sees."""

    def __init__(
        self, parts: GatewayParts, surface: Surface, chat: Chat, find: Callable[[bytes], Principal | None], path: str, query: str = ""
    ) -> None:
        assert surface.dialect is not None
        self._parts = parts
        self._surface = surface
        self._dialect = surface.dialect
        self._chat = chat
        self._find = find
        self._path = path
        self._query = query
        self._outline = READERS[surface.dialect.name]
        self._prepared: dict[str, tuple[Deployment, Prepared | None]] = {}
        self._loop = asyncio.get_running_loop()

    def admit(self, fields: dict[str, bytes]) -> object | None:
        """See `FastEndpoint`."""
        if self._parts.load.full:
            return None
        key = plain_key(fields)
        principal = None if key is None else self._find(key)
        if principal is None or SCOPE not in principal.scopes or principal.recording != "off" or not _ADVISORY.isdisjoint(fields):
            return None
        return principal

    def serve(self, turn: Turn) -> bool:
        """See `FastEndpoint`."""
        if len(turn.body) > self._parts.load.largest_body:
            return False
        try:
            seen = self._outline(turn.body)
            principal = turn.token
            assert isinstance(principal, Principal)
            if not _ordinary(seen, principal) or not self._parts.spending.ready:
                return False
            return self._begin(turn, seen, principal)
        except (HeadgateError, Unprepared, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        except Exception as error:
            _LOG.error("a request could not be served the short way", exc_info=error)
            return False

    def _begin(self, turn: Turn, seen: Outline, principal: Principal) -> bool:
        parts, now = self._parts, self._loop.time()
        wish = Wish(
            model=seen.model,
            input_tokens=estimate_tokens(len(turn.body)),
            max_output=seen.max_output,
            needs=seen.needs,
            allowed=principal.models,
        )
        plan = parts.router.plan(wish, now, panic=False)
        if not plan.order or plan.hedge is not None or plan.sticky is not None:
            return False
        deployment = plan.order[0].deployment
        prepared = self._prepare(deployment)
        if prepared is None:
            return False
        body = prepared.body(turn.body, seen)
        asked = self._asked(turn, wish, seen, principal, plan, prepared, now)
        if asked is None:
            return False
        self._send(turn, asked, body)
        return True

    def _prepare(self, deployment: Deployment) -> Prepared | None:
        known = self._prepared.get(deployment.id)
        if known is not None and known[0] is deployment:
            return known[1]
        if len(self._prepared) >= REMEMBERED:
            self._prepared.clear()
        found = prepare(deployment, self._parts.target(deployment), self._dialect.name, self._query, self._parts.http)
        self._prepared[deployment.id] = deployment, found
        return found

    def _asked(
        self, turn: Turn, wish: Wish, seen: Outline, principal: Principal, plan: Plan, prepared: Prepared, now: float
    ) -> Asked | None:
        """The request with everything taken that it needs; None, with nothing taken, when anything would have to be waited for."""
        parts, size = self._parts, len(turn.body)
        id, at = parts.new_id(), parts.clock()
        hold = prepared.reserve(parts.spending, principal, id, at, size, seen)
        if hold is None:
            return None
        into, out = size >> 2, (seen.max_output or 0) * seen.choices
        permit: Permit | Full | None = None
        place: Permit | Full | None = None
        flight: Flight | None = None
        try:
            permit = parts.limiter.admit(principal.subjects, 1, into, out, now)
            if isinstance(permit, Permit):
                place = parts.limiter.admit(prepared.subjects, 1, into, out, now)
                if isinstance(place, Permit):
                    flight = parts.router.begin(prepared.deployment, now)
                    if flight is not None:
                        decided = None if parts.decided is None else parts.router.decided(wish, plan, at, now)
                        labels = _labels(turn.fields, seen.session)
                        return Asked(
                            *(parts, self._path, principal, seen, plan, prepared, id, at, now, size),
                            *(hold, permit, place, flight, labels, decided),
                        )
        except BaseException:
            self._put_back(hold, permit, place, flight, now)
            raise
        self._put_back(hold, permit, place, flight, now)
        return None

    def _put_back(self, hold: Hold, permit: Permit | Full | None, place: Permit | Full | None, flight: Flight | None, now: float) -> None:
        """It is not asked after all."""
        if flight is not None:
            flight.ended(UNASKED, now, 0.0)
        for taken in (permit, place):
            if isinstance(taken, Permit):
                taken.undo()
        self._parts.spending.refund(hold)

    def _send(self, turn: Turn, asked: Asked, body: bytes) -> None:
        """Send it. Raises with everything given back and nothing done, or not at all."""
        http, prepared = self._parts.http, asked.prepared
        try:
            relay = self._relay(turn, asked)
            head = prepared.head(turn.fields, asked.id, len(body))
            self._parts.spending.sent(asked.hold)
        except BaseException:
            turn.forget()
            asked.abandon(self._loop.time(), sent=False)
            raise
        try:
            if not http.launch(prepared.route, head, body, relay):
                self._parts.keep(self._loop.create_task(self._launch(prepared, head, body, relay)))
        except Exception as error:
            relay.broke(error)

    def _relay(self, turn: Turn, asked: Asked) -> Relay:
        """The way of the answer."""
        http, prepared = self._parts.http, asked.prepared
        if not asked.seen.stream:
            return WholeRelay(asked, turn, http, self._failed)
        words = words_of(self._surface, self._dialect, prepared.target.model, asked.id, int(asked.at))
        return StreamRelay(asked, turn, http, self._failed, words, prepared.adds_usage(asked.seen))

    async def _launch(self, prepared: Prepared, head: bytes, body: bytes, relay: Relay) -> None:
        """Send once there is a connection."""
        try:
            await self._parts.http.launch_later(prepared.route, head, body, relay)
        except HeadgateError as error:
            if not relay.over:
                relay.settle(error)
        except Exception as error:
            relay.broke(error)

    def _failed(self, relay: Relay, error: HeadgateError | None) -> None:
        """The first visit has failed, or its answer has to be looked at more closely: the errand goes on in a task."""
        relay.turn.hand_over(partial(self._continue, relay, error))

    async def _continue(self, relay: Relay, error: HeadgateError | None, request: Request) -> Answer:
        try:
            return await self._continued(relay, error, request)
        except BaseException:
            relay.asked.abandon(self._loop.time(), sent=relay.request_sent)  # what is not settled yet
            raise

    async def _continued(self, relay: Relay, error: HeadgateError | None, request: Request) -> Answer:
        visit = relay.measured()
        request = msgspec.structs.replace(request, principal=relay.asked.principal, route=self._path)
        ask = read_ask(relay.turn.body, request)
        execution = self._chat.execution(visit.errand, request, ask)
        visit.hear(relay.headers, self._loop.time())
        if error is not None and relay.stale:
            return await execution.repeat(visit)
        try:
            if error is not None:
                raise error
            return self._looked_at(relay, request, ask)
        except HeadgateError as failed:
            if not visit.ended:
                visit.over(relay.outcome(error=failed), self._loop.time())
            return await execution.resume(visit, failed)

    def _looked_at(self, relay: Relay, request: Request, ask: Ask) -> Answer:
        """What the provider answered, read whole. Raises what it was refused with."""
        visit = relay.visit
        job = Job(self._parts, self._surface, self._dialect, request, ask, visit, Tab(visit.call))
        job.tab.called = True
        reply = Reply(relay.status, relay.headers, relay.take())
        with accounted(visit, job.tab):
            overhear(job, reply)
        return returned(job, reply)


def _ordinary(seen: Outline, principal: Principal) -> bool:
    """Whether nothing about a request has to be looked at more closely."""
    if not seen.model or seen.directed or seen.media or seen.unbounded or seen.choices > 1:
        return False
    return seen.max_output is not None or principal.max_output is None


def _labels(fields: Mapping[str, bytes], session: str | None) -> Labels:
    """What the client calls its session, and the trace the request is part of."""
    header, trace = fields.get(CLAUDE_SESSION), fields.get(TRACE_HEADER)
    if header is None and session is None and trace is None:
        return UNLABELLED
    found = session_label(None if header is None else header.decode("latin-1"), session)
    return found if trace is None else Labels(found.session, trace=trace.decode("latin-1"))
