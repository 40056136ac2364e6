"""An endpoint whose answers may be given again: from the response cache, to a repeated request, from a recording (faults E19, E20).

One place for every surface. What is asked for the first time goes to the endpoint inside, and its answer is collected on its way out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from headgate.domain.cost import usd_text
from headgate.gateway.asking import Ask, read_ask
from headgate.gateway.collecting import Sink, collected
from headgate.gateway.labels import labels_of
from headgate.gateway.parts import GatewayParts
from headgate.gateway.planning import check_ready
from headgate.gateway.refusals import full
from headgate.gateway.visible import no_such_model
from headgate.ledger.intent import asker_of
from headgate.ledger.limits import Full
from headgate.ledger.receipt import Operation, Receipt
from headgate.ledger.rights import may_call
from headgate.serving.cache import MISS_HEADERS, LayeredCache, free_receipt, hit_headers, hit_receipt
from headgate.serving.cache_control import Wish, read_wish
from headgate.serving.cache_key import cache_key, uncacheable
from headgate.serving.envelopes import Refused, Surface
from headgate.serving.idempotency import Conflict, Gone, Idempotency, InProgress, New, Replay, refusal, request_hash
from headgate.serving.recorder import Recorder
from headgate.serving.request import BytesBody, Request
from headgate.serving.response import NO_STORE, Answer, Endpoint
from headgate.serving.stored import Stored, replay
from headgate.wire.http import Headers

IDEMPOTENCY_KEY = "idempotency-key"
REPLAYED = ("idempotent-replayed", "true")
"""What the answer to a repeated request says of itself."""
VARYING = ("anthropic-version", "anthropic-beta", "x-headgate-strict")
"""Headers of a request that change its answer."""
RECORDING_RULE = "recording"
_OUTCOMES: dict[type, str] = {New: "new", Replay: "replay", Conflict: "conflict", InProgress: "in_progress", Gone: "gone"}


class Repeated:
    """An `endpoint` of `surface` whose answers may be given again. `read` opens a request as the endpoint itself does;
    `dialect` is its wire where that is not the surface's."""

    def __init__(
        self,
        parts: GatewayParts,
        surface: Surface,
        endpoint: Endpoint,
        read: Callable[[bytes, Request], Ask] = read_ask,
        operation: Operation = "chat",
        dialect: str | None = None,
    ) -> None:
        self.parts = parts
        self.surface = surface
        self.endpoint = endpoint
        self.read = read
        self.operation: Operation = operation
        self.dialect = dialect or (None if surface.dialect is None else surface.dialect.name)

    async def __call__(self, request: Request) -> Answer:
        """Answer, or let the endpoint answer. Raises `Refused`, `ConfigError`, `StoreError` as it does."""
        wish = read_wish(request, self.parts.repeats.rule)
        key = request.header(IDEMPOTENCY_KEY)
        if not wish.cached and key is None and request.principal.recording == "off":
            return await self.endpoint(request)
        body = await request.body()
        return await Repetition(self, msgspec.structs.replace(request, reader=BytesBody(body)), body).answer(wish, key)


class Repetition:
    """One request that may have been asked before."""

    def __init__(self, owner: Repeated, request: Request, body: bytes) -> None:
        self._owner = owner
        self._parts = owner.parts
        self._means = owner.parts.repeats
        self._request = request
        self._principal = request.principal
        self._body = body
        self._place = f"{request.path}?{request.query}" if request.query else request.path
        self._ask = owner.read(body, request)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._at = owner.parts.clock()
        self._receipt: Receipt | None = None

    async def answer(self, wish: Wish, key: str | None) -> Answer:
        """The answer, old or new."""
        check_ready(self._parts.spending)
        if self._principal.recording == "replay":
            return await self._recorded()
        if key is None:
            return await self._found(wish, [])
        means = self._means.idempotency
        begun = await means.begin(self._principal.tenant, key, request_hash(self._place, self._body), self._at, self._parts.new_id())
        self._means.count("idempotency", _OUTCOMES[type(begun)], 1)
        if isinstance(begun, Replay):
            return self._once_more(begun.stored)
        if not isinstance(begun, New):
            raise refusal(begun)
        try:
            return await self._found(wish, [Finishing(means, begun)])
        except BaseException:
            await means.abandon(begun)
            raise

    # Old answers

    async def _recorded(self) -> Answer:
        """The answer of a cassette. Raises `Refused` (404) when there is none, so that nobody is called."""
        try:
            stored = await self._recorder().lookup(self._principal, self._owner.surface.name, self._place, self._body)
        except Refused:
            self._means.count("recording", "miss", 1)
            raise
        assert stored is not None
        self._check_rights(stored)
        self._means.count("recording", "hit", 1)
        receipt = free_receipt(self._parts.new_id(), self._at, stored, RECORDING_RULE, "answered from a recording, for nothing")
        return self._given(stored, receipt, (NO_STORE, ("x-headgate-cost", usd_text(0))))

    def _once_more(self, stored: Stored) -> Answer:
        """The answer to a request that was carried out before: the same one, booked then."""
        self._check_rights(stored)
        return replay(stored, (NO_STORE, REPLAYED, ("x-headgate-request-id", stored.receipt)))

    async def _found(self, wish: Wish, sinks: list[Sink]) -> Answer:
        """The answer in the cache, else that of the endpoint; `sinks` get whichever it is."""
        if self._principal.recording == "record":
            sinks.append(Recording(self._recorder(), self._request, self._owner.surface.name, self._place, self._body, self._means.count))
        if not wish.cached:
            return await self._new(sinks, ())
        if uncacheable(self._owner.surface.name, self._ask.fields) is not None:
            self._means.count("cache", "bypass", 1)
            return await self._new(sinks, ())
        cache, key = self._means.cache, self._cache_key()
        stored = await cache.find(key, self._at, wish.max_age) if wish.find else None
        if stored is not None and may_call(self._principal, f"{stored.provider}/{stored.model}"):
            return await collected(self._hit(stored), sinks, self._said)
        self._means.count("cache", "miss" if wish.find else "bypass", 1)
        return await self._new([*sinks, Caching(cache, key, wish.max_age)], MISS_HEADERS)

    def _cache_key(self) -> bytes:
        vary = tuple((name, value) for name in VARYING for value in self._request.values(name))
        return cache_key(self._principal, self._owner.surface.name, self._place, self._body, vary)

    def _hit(self, stored: Stored) -> Answer:
        """An answer of the cache. It counts as a request, of no tokens. Raises `Refused` (429) when no more are allowed."""
        permit = self._parts.limiter.admit(self._principal.subjects, 1, 0, 0, self._loop.time())
        if isinstance(permit, Full):
            raise full(permit)
        permit.settle(0, 0)
        permit.release()
        self._means.count("cache", "hit", 1)
        if stored.cost_nanos:
            self._means.count("cache_saved_nanos", "", stored.cost_nanos)
        receipt = hit_receipt(self._parts.new_id(), self._at, stored)
        return self._given(stored, receipt, (NO_STORE, *hit_headers(stored, self._at)))

    def _given(self, stored: Stored, receipt: Receipt, headers: Headers) -> Answer:
        """An answer that costs nothing, with a receipt that says so."""
        asker, labels = asker_of(self._principal), labels_of(self._request, None)
        self._receipt = receipt = msgspec.structs.replace(
            receipt,
            dialect_in=self._owner.dialect,
            operation=self._owner.operation,
            duration=self._loop.time() - self._began,
            run=labels.run,
            session=labels.session,
            key=asker.key,
            team=asker.team,
            user=asker.user,
            tags=asker.tags,
            tenant=asker.tenant,
        )
        self._parts.spending.close(receipt)
        self._parts.settled(receipt, self._request.route, labels.trace)
        return replay(stored, (*headers, ("x-headgate-request-id", receipt.id), ("x-headgate-attempts", "0")))

    def _check_rights(self, stored: Stored) -> None:
        """Raises `Refused` (404) for an answer of a model that this bearer may not call."""
        if not may_call(self._principal, f"{stored.provider}/{stored.model}"):
            raise no_such_model(self._ask.model)

    def _recorder(self) -> Recorder:
        if self._means.recorder is None:
            raise Refused(501, "this gateway keeps no recordings", code="no_recordings", hint="make a key that neither records nor replays")
        return self._means.recorder

    # New answers

    async def _new(self, sinks: list[Sink], headers: Headers) -> Answer:
        answer = await self._owner.endpoint(msgspec.structs.replace(self._request, settled=self._settled))
        if headers:
            answer = msgspec.structs.replace(answer, headers=(*answer.headers, *headers))
        return await collected(answer, sinks, self._said)

    def _settled(self, receipt: Receipt) -> None:
        self._receipt = receipt

    def _said(self) -> Receipt | None:
        """The receipt of the answer, once there is one."""
        return self._receipt


class Caching:
    """Keeps an answer in the cache for `max_age` seconds."""

    def __init__(self, cache: LayeredCache, key: bytes, max_age: int) -> None:
        self._cache = cache
        self._key = key
        self._max_age = max_age
        self.largest = cache.memory.largest

    async def whole(self, stored: Stored | None, at: float) -> None:
        """See `Sink`."""
        if stored is not None:
            await self._cache.keep(self._key, stored, at, self._max_age)

    async def failed(self) -> None:
        """See `Sink`: it is not kept."""


class Finishing:
    """Ends what an Idempotency-Key stands for: with the answer, or so that it can be sent again."""

    def __init__(self, means: Idempotency, begun: New) -> None:
        self._means = means
        self._begun = begun
        self.largest = means.largest

    async def whole(self, stored: Stored | None, at: float) -> None:
        """See `Sink`."""
        await self._means.finish(self._begun, stored, at)

    async def failed(self) -> None:
        """See `Sink`."""
        await self._means.abandon(self._begun)


class Recording:
    """Writes a cassette."""

    def __init__(
        self, recorder: Recorder, request: Request, surface: str, place: str, body: bytes, count: Callable[[str, str, int], None]
    ) -> None:
        self._recorder = recorder
        self._request = request
        self._surface = surface
        self._place = place
        self._body = body
        self._count = count
        self.largest = recorder.largest

    async def whole(self, stored: Stored | None, at: float) -> None:
        """See `Sink`."""
        if stored is None:
            return
        request = self._request
        if await self._recorder.keep(request.principal, self._surface, self._place, self._body, stored, request.headers):
            self._count("recording", "kept", 1)

    async def failed(self) -> None:
        """See `Sink`: it is not recorded."""
