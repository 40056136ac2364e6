"""An answer on its way back: told by the upstream connection, handed to the client's, in the same callback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import astuple

from headgate.catalog.prices import bucket_cost
from headgate.client.chat import listen
from headgate.client.target import upstream_id
from headgate.dialects.base import StreamTap
from headgate.dialects.tap import tap_of
from headgate.domain.response import Response as Answered
from headgate.domain.usage import BUCKETS, INPUTS, Usage
from headgate.errors import HeadgateError, ProviderError, TooLarge, Truncated, WireError
from headgate.gateway.errand import Errand, Visit, hear
from headgate.gateway.execute import UNASKED
from headgate.gateway.fast.prepared import Prepared
from headgate.gateway.fast.statement import encode_text, numeral
from headgate.gateway.labels import UNLABELLED, Labels
from headgate.gateway.last_words import LastWords
from headgate.gateway.outline import Outline
from headgate.gateway.parts import GatewayParts
from headgate.gateway.relay import EventRelay, is_usage_only
from headgate.gateway.stamps import cost_text
from headgate.gateway.upstream import returned_headers
from headgate.ledger.limit_gates import FREE, Permit
from headgate.ledger.principal import Principal
from headgate.ledger.rows import decoded
from headgate.ledger.spending import DONE, Hold
from headgate.router import Flight, Plan
from headgate.router.features import Decided
from headgate.serving.exchange import internal, stopping
from headgate.serving.metering import MOST, Outcome, lists_price
from headgate.serving.request import Request
from headgate.serving.response import Answer
from headgate.serving.turn import Turn
from headgate.transport.http1 import HttpClient
from headgate.transport.told import Told

_LOG = logging.getLogger("headgate.server")
LARGEST_ERROR = 1 << 20
UNUSUAL: Final = -1
"""No cost."""
_INPUTS, _BUCKETS = INPUTS, len(BUCKETS)
_PLAIN = astuple(Usage())[_BUCKETS:]
"""What usage says besides counts, where it says nothing."""
_OK = b"HTTP/1.1 200 OK\r\n"
Fail = Callable[["Relay", HeadgateError | None], None]
"""A visit has failed before anything reached the client: with an error of the network, or (None) with what the provider answered."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request that was admitted, and what was taken for it. `at` is seconds since the epoch, `began` loop time, `size` bytes."""

    parts: GatewayParts
    route: str
    principal: Principal
    seen: Outline
    plan: Plan
    prepared: Prepared
    id: str
    at: float
    began: float
    size: int
    hold: Hold
    permit: Permit
    place: Permit
    flight: Flight
    labels: Labels = UNLABELLED
    decided: Decided | None = None

    def visit(self) -> Visit:
        """The same as the first visit of an errand, which has left."""
        prepared, dialect = self.prepared, self.prepared.dialect.name
        errand = Errand(
            self.parts,
            self.principal,
            self.seen,
            self.plan,
            route=self.route,
            dialect_in=dialect,
            clock=self.began,
            labels=self.labels,
            named=(self.id, self.at),
            decided=self.decided,
        )
        errand.permit = self.permit
        visit = Visit(errand, prepared.deployment, prepared.target, self.flight, self.hold, self.place, self.began, dialect)
        visit.size = self.size
        visit.left = True
        return visit

    def abandon(self, now: float, sent: bool) -> None:
        """Whatever still is held of what was taken is given back, once; what may have been billed (`sent`) is booked at its bound."""
        spending = self.parts.spending
        for permit in (self.permit, self.place):
            permit.release() if sent else permit.undo()
        self.flight.ended(UNASKED, now, 0.0)
        if sent:
            receipt = spending.lose(self.hold)
            if receipt is not None:
                self.parts.settled(receipt, self.route, self.labels.trace)
        elif self.hold.state != DONE:
            spending.refund(self.hold)


class Relay(Told):
    """What both kinds of answer have in common. `fail` is called at most once, and only while nothing has been written to the client."""

    __slots__ = ("_kind", "_visit", "asked", "fail", "first", "http", "prepared", "turn")

    def __init__(self, asked: Asked, turn: Turn, http: HttpClient, fail: Fail, *, whole: bool, due: float, patience: float) -> None:
        super().__init__("POST", asked.prepared.route.place.url, http.settings.max_body, whole=whole, due=due, patience=patience)
        self.asked = asked
        self.prepared = asked.prepared
        self.turn = turn
        self.http = http
        self.fail = fail
        self.first: float | None = None
        self._visit: Visit | None = None
        self._kind: tuple[object, ...] | None = None
        turn.gone = self.client_gone
        turn.stopping = self.stop

    @property
    def visit(self) -> Visit:
        """The call as a visit of an errand, for whatever is not usual."""
        visit = self._visit
        if visit is None:
            visit = self._visit = self.asked.visit()
            visit.errand.content = self.begun
        return visit

    def measured(self) -> Visit:
        """The visit, with the number of bytes that were sent, which estimates go by."""
        visit = self.visit
        visit.size = len(self.prepared.body(self.turn.body, self.asked.seen))
        return visit

    @property
    def begun(self) -> bool:
        """The client has seen some of the answer."""
        return False

    @property
    def stale(self) -> bool:
        """The connection had been closed before the request came: the provider has not heard of it."""
        return self.lost_unanswered and self.reused and self.turn.loop.time() - self.asked.began <= self.http.settings.stale_window

    def wake(self) -> None:
        """See `Exchange`."""
        try:
            self.tell()
        except Exception as error:
            self.broke(error)

    def client_gone(self) -> None:
        """The client left: the provider is left too, and what was used is settled."""
        try:
            self.leave()
        except Exception as error:
            self.broke(error)

    def stop(self) -> None:
        """The server ends, and the answer with it: an error, or last words."""
        try:
            if not self.turn.over:
                self.leave()
                self.excuse(stopping())
        except Exception as error:
            self.broke(error)

    def leave(self) -> None:
        """Nobody wants the answer any more."""
        self.http.forget(self)
        self.quit()
        self.settle_visit(cancelled=True)

    def excuse(self, error: HeadgateError) -> None:
        """Answer with an error of ours. Nothing was written."""
        self.turn.hand_over(partial(_raising, error))

    def broke(self, error: Exception) -> None:
        """Something failed that never should, here or in the ledger: it is reported, and everything brought to an end all the same."""
        _LOG.error("an answer could not be passed on", exc_info=error)
        for step in (self._quit_for_good, self._abandon, self._apologise):
            try:
                step()
            except Exception as further:
                _LOG.error("nor could that be put in order", exc_info=further)

    def _quit_for_good(self) -> None:
        self.http.forget(self)
        self.quit()

    def _abandon(self) -> None:
        self.asked.abandon(self.turn.loop.time(), sent=self.connection is not None)

    def _apologise(self) -> None:
        if not self.turn.over:
            self.excuse(internal())

    def answered(self) -> Answered:
        """What came of the answer."""
        return Answered()

    def settle_well(self, answered: Answered) -> int | None:
        """Settle a whole answer. Returns what it cost, in nano-dollars."""
        if self._visit is None:
            cost = self._usual(answered)
            if cost != UNUSUAL:
                return cost
        self.settle_visit(whole=True)
        receipt = self.visit.errand.receipt
        if receipt is None:
            return None
        if self._kind is not None:
            asked = self.asked
            self.prepared.learn(self._kind, receipt, (asked.principal, asked.plan))
        return receipt.cost_nanos

    def _usual(self, answered: Answered) -> int | None:
        """Settle an answer like many before, by the template of their receipts. `UNUSUAL`, with nothing done, for any other."""
        usage = answered.usage
        if usage is None or self.asked.decided is not None or not lists_price(answered.service_tier):
            return UNUSUAL
        if usage.native is not None:
            usage = self.prepared.dialect.plain_usage(usage)
        counts = astuple(usage)
        buckets = counts[:_BUCKETS]
        into, out = sum(buckets[:_INPUTS]), sum(buckets[_INPUTS:])
        if counts[_BUCKETS:] != _PLAIN or not 0 < into <= MOST or not 0 < out <= MOST:
            return UNUSUAL
        asked, prepared = self.asked, self.prepared
        table = prepared.table(asked.at, into)
        cost = None if table is None else bucket_cost(table, buckets)
        request_id, bound, session = upstream_id(self.headers), asked.hold.bound, asked.labels.session
        self._kind = kind = (
            id(asked.principal),
            id(asked.plan),
            None if table is None else table.rule,
            cost is None,
            answered.model,
            answered.finish,
            asked.seen.stream,
            bytes(map(bool, buckets)),
            self.first is None,
            request_id is None,
            not bound,
            session is None,
        )
        found = prepared.statement(kind)
        if found is None:
            return UNUSUAL
        now = self.turn.loop.time()
        took, first, id_ = now - asked.began, self.first, asked.id
        times = numeral(asked.at), numeral(took), numeral(first)
        figures = (id_.encode(), *times, encode_text(request_id), encode_text(session), cost, bound, *buckets)
        counted = into, usage.cache_read, out, usage.output_reasoning
        stored = found.stored(figures)
        asked.parts.spending.close_one(asked.hold, cost, stored, found.row(id_, asked.at, counted, cost))
        self._let_go(into, out, now)
        hear(asked.parts, prepared.deployment, self.headers, now)
        if asked.parts.counted is None:
            asked.parts.settled(decoded(stored), asked.route, asked.labels.trace)
        else:
            asked.parts.counted(asked.route, prepared.provider, prepared.deployment.model, 200, took, first, into, out, cost)
        return cost

    def _let_go(self, into: int, out: int, now: float) -> None:
        asked = self.asked
        for permit in (asked.permit, asked.place):
            if permit is not FREE:
                permit.end(into, out)
        asked.flight.well(now, out)

    def settle_visit(self, *, whole: bool = False, error: HeadgateError | None = None, cancelled: bool = False, unheard: int = 0) -> None:
        """The visit was the last one of its errand."""
        visit, outcome = self.visit, self.outcome(whole=whole, error=error, cancelled=cancelled, unheard=unheard)
        visit.hear(self.headers, outcome.finished)
        visit.over(outcome, outcome.finished)
        visit.errand.settle(visit, outcome.finished)

    def outcome(self, *, whole: bool = False, error: HeadgateError | None = None, cancelled: bool = False, unheard: int = 0) -> Outcome:
        """What came of the visit, with what was heard of the answer."""
        if not whole:
            self.measured()
        return Outcome(
            response=self.answered(),
            whole=whole,
            error=error,
            cancelled=cancelled,
            called=self.request_sent,
            unheard=unheard,
            status=self.status or None,
            upstream_id=upstream_id(self.headers),
            first_byte=self.first,
            finished=self.turn.loop.time(),
        )

    def marks(self) -> bytes:
        """The header lines of an answer: the provider's that pass, and ours."""
        asked, now = self.asked, self.turn.loop.time()
        left = self.prepared.limit_lines.of(asked.parts, asked.principal, self.prepared.dialect.name, now)
        passed = "".join([f"{name}: {value}\r\n" for name, value in returned_headers(self.headers)]) + left
        if "x-request-id" not in self.headers:
            passed += f"x-request-id: {asked.id}\r\n"
        return (
            f"{passed}cache-control: no-store\r\nx-headgate-request-id: {self.asked.id}\r\n"
            f"x-headgate-provider: {self.prepared.deployment.provider}\r\nx-headgate-attempts: 1\r\n"
        ).encode("latin-1")


class WholeRelay(Relay):
    """A whole answer."""

    __slots__ = ("_response",)

    def __init__(self, asked: Asked, turn: Turn, http: HttpClient, fail: Fail) -> None:
        own = asked.prepared.deployment.timeout
        total = http.settings.total_timeout if own is None else own
        super().__init__(asked, turn, http, fail, whole=True, due=asked.began + total, patience=total)
        self._response = Answered()

    def answered(self) -> Answered:
        """See `Relay`."""
        return self._response

    def tell(self) -> None:
        """See `Told`: the answer is complete, or there is none."""
        if not self.over or self.turn.over:
            return
        self.http.forget(self)
        if self.error is not None or self.status != 200:
            self.fail(self, self.error)
            return
        body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        found = self.prepared.dialect.skim(body)
        if found is None:
            self.fail(self, None)
            return
        self._response = found
        cost = cost_text(self.settle_well(found))
        self.turn.whole(b"%b%bx-headgate-cost: %b\r\n" % (_OK, self.marks(), cost.encode()), body)


class StreamRelay(Relay):
    """A streamed answer. The client's head is written with the first bytes of the body: until then another may be asked."""

    __slots__ = ("_begun", "_collects", "_deaf", "_done", "_events", "_lost", "_stalled", "_strips", "_tap", "_unheard", "total", "words")

    def __init__(self, asked: Asked, turn: Turn, http: HttpClient, fail: Fail, words: LastWords, strips: bool) -> None:
        now, settings = asked.began, http.settings
        patience = settings.first_byte_timeout
        super().__init__(asked, turn, http, fail, whole=False, due=now + patience, patience=patience)
        self.total = now + settings.stream_timeout
        self.words = words
        self._begun = False
        self._strips = strips
        self._events = EventRelay(is_usage_only if strips else None)
        self._tap: StreamTap = tap_of(asked.prepared.dialect)
        self._deaf = self._lost = self._done = self._stalled = self._collects = False
        self._unheard = 0
        turn.eased = self.eased

    @property
    def begun(self) -> bool:
        """See `Relay`."""
        return self._begun

    def answered(self) -> Answered:
        """See `Relay`."""
        return self._tap.response()

    def tell(self) -> None:
        """See `Told`."""
        if self._done or self.turn.over:
            self.parts.clear()
            self.buffered = 0
            return
        if self._collects:
            self._collected()
            return
        if self.parts and not self._stalled:
            self._pass()
        elif self.status and self.first is None:
            self._headed()
        self._after_bytes()

    def _after_bytes(self) -> None:
        if self._collects:
            self._collected()
        elif self.over and not self._done and not (self._stalled and self.parts):
            self._end()

    def eased(self) -> None:
        """The client takes more."""
        self._stalled = False
        self.wake()
        if self.connection is not None and self.connection.exchange is self and not self._stalled:
            self.connection.resume_reading()

    def _headed(self) -> None:
        """The head is here, the body is not."""
        settings = self.http.settings
        self.awaited, self.patience = "first byte of the body", settings.first_event_timeout
        self.due = min(self.total, self.turn.loop.time() + settings.first_event_timeout)

    def _pass(self) -> None:
        now = self.turn.loop.time()
        settings = self.http.settings
        if self.first is None:
            self.first = now - self.asked.began
            self.asked.flight.first_byte(now)
            self.awaited, self.patience = "byte of the body", settings.idle_timeout
        self.due = min(self.total, now + settings.idle_timeout)
        if self.status != 200 or not _is_events(self.headers):
            self._collect()
            return
        data = self.take()
        over = self._hear(data)
        if not self._begun and (self._tap.error is not None or self._done):
            self._fail_unbegun()
            return
        self._forward(data)
        if over:
            self._complete()

    def _forward(self, data: bytes) -> None:
        events = self._events
        if events.pending or data[-2:] != b"\n\n" or (self._strips and b"[]" in data):
            data = events.feed(data)
            if not data:
                return
        self._write(data)

    def _write(self, data: bytes) -> None:
        turn = self.turn
        if not self._begun:
            self._begun = True
            turn.begin(b"%b%bx-accel-buffering: no\r\n" % (_OK, self.marks()))
        turn.piece(data)
        if not turn.line.writable:
            self._stalled = True
            self.due = self.total

    def _hear(self, data: bytes) -> bool:
        """Overhear a read, and tell whether the terminator was in it."""
        tap = self._tap
        if self._deaf:
            self._unheard += len(data)
            return False
        failed = listen(tap, data)
        if failed is not None:
            self._lost, self._deaf = True, isinstance(failed, TooLarge)
            self._unheard += len(data)
        return tap.complete and not self._deaf

    def _complete(self) -> None:
        """The terminator was seen: wait no longer."""
        self._done = True
        error = self._closed()
        if error is None and not self._lost and self._tap.complete:
            self.settle_well(self.answered())
        else:
            self._settle(error)
        rest = self._events.rest()
        if rest:
            self._write(rest)
        self.turn.end()
        self._finish_quietly()

    def _finish_quietly(self) -> None:
        """What is left of the body is thrown away, for a moment, so that the connection can serve again."""
        if self.over or self.connection is None:
            self.http.forget(self)
            return
        self.max_body = min(self.max_body, self.size + self.http.settings.high_water)
        self.whole = True
        self.due = self.turn.loop.time() + self.http.settings.drain_timeout
        self.connection.resume_reading()

    def _closed(self) -> HeadgateError | None:
        """What the end of the bytes says: an error in the stream, or that it was cut."""
        if not self._lost:
            try:
                self._tap.close()
            except (WireError, ProviderError) as error:
                return error
        failed = self._tap.error
        return None if failed is None else failed.error

    def _settle(self, error: HeadgateError | None) -> None:
        self.settle_visit(whole=error is None and (self._tap.complete or not self._lost), error=error, unheard=self._unheard)

    def _end(self) -> None:
        """The body is over, and no terminator was seen in it."""
        self.http.forget(self)
        if self.error is None and (self.status != 200 or not _is_events(self.headers)):
            self._done = True
            self.fail(self, None)  # a refusal, or an answer, without a body
            return
        error = self.error or self._closed()
        if not self._begun:
            self.fail(self, error or Truncated("the stream ended before anything was in it"))
            return
        self._done = True
        self._settle(error)
        if (error is not None and self.error is not None) or isinstance(error, Truncated | WireError):
            self.turn.piece(self._events.gap + self.words(error))
        elif rest := self._events.rest():
            self.turn.piece(rest)
        self.turn.end()

    def leave(self) -> None:
        """See `Relay`."""
        if not self._done:
            self._done = True
            self.http.forget(self)
            self.quit()
            self.settle_visit(cancelled=True, unheard=self._unheard)

    def excuse(self, error: HeadgateError) -> None:
        """See `Relay`; in the middle of a stream, its last words. Behind its terminator there is nothing to be said any more."""
        self._done = True
        if not self._begun:
            super().excuse(error)
            return
        try:
            last = self._events.rest() if self._tap.complete else self._events.gap + self.words(error)
        except BaseException:
            self.turn.line.abandon(self.turn)
            raise
        if last:
            self.turn.piece(last)
        self.turn.end()

    def _collected(self) -> None:
        if self.over:
            self._done = True
            self.http.forget(self)
            self.fail(self, self.error)

    def _collect(self) -> None:
        """An error, or a whole answer: it is collected, and left to the endpoint."""
        self.whole = self._collects = True
        self.max_body = min(self.max_body, LARGEST_ERROR) if self.status != 200 else self.max_body

    def _fail_unbegun(self) -> None:
        self._done = True
        self.http.forget(self)
        self.quit()
        failed = self._tap.error
        self.fail(self, Truncated("the stream ended before anything was in it") if failed is None else failed.error)


async def _raising(error: HeadgateError, request: Request) -> Answer:
    raise error


def _is_events(headers: dict[str, str]) -> bool:
    return headers.get("content-type", "").startswith("text/event-stream")
