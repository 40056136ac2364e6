"""``/v1/keys``: keys are made, seen, changed, rotated and revoked; ``/v1/key``: what any key may know of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from headgate.domain.cost import usd_text
from headgate.errors import UsageError
from headgate.gateway.endpoints.key_bodies import read_change, read_count, read_overlap
from headgate.gateway.query import values_in
from headgate.ledger.key_json import iso, key_json, limits_json
from headgate.ledger.key_store import PAGE, KeyStore, Made, NoSuchKey
from headgate.ledger.keys import VirtualKey
from headgate.ledger.principal import Principal
from headgate.ledger.rights import NotAllowed
from headgate.serving.auth import forbidden
from headgate.serving.envelopes import Refused
from headgate.serving.key_ring import KeyRing
from headgate.serving.request import Request
from headgate.serving.response import NO_STORE, Response, json_response
from headgate.serving.routes import Route
from headgate.wire.json import JsonObject

T = TypeVar("T")
BODY_LIMIT = 64 << 10


class Standing(Protocol):
    """A budget in its window of now, in nano-dollars; `starts` and `ends` are seconds since the epoch, None for a window without end."""

    @property
    def scope(self) -> str: ...
    @property
    def window(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def limit_nanos(self) -> int: ...
    @property
    def spent_nanos(self) -> int: ...
    @property
    def reserved_nanos(self) -> int: ...
    @property
    def starts(self) -> float | None: ...
    @property
    def ends(self) -> float | None: ...


Standings = Callable[[Principal], Sequence[Standing]]
"""The budgets that count a bearer's requests, as they stand; may block, and raises `StoreError`."""


def no_standings(principal: Principal) -> Sequence[Standing]:
    """For a gateway without budgets."""
    return ()


class Keys:
    """The endpoints over a store of keys. `ring` notices at once what is changed here; `clock` is seconds since the epoch."""

    def __init__(self, store: KeyStore, ring: KeyRing, clock: Callable[[], float], standings: Standings = no_standings) -> None:
        self._store = store
        self._ring = ring
        self._clock = clock
        self._standings = standings

    @property
    def routes(self) -> tuple[Route, ...]:
        """What is served where."""
        return (
            Route(method="GET", path="/v1/key", endpoint=self.own, scope="any"),
            Route(method="GET", path="/v1/keys", endpoint=self.list, scope="keys:write"),
            Route(method="POST", path="/v1/keys", endpoint=self.create, scope="keys:write", body_limit=BODY_LIMIT),
            Route(method="GET", path="/v1/keys/*", endpoint=self.get, scope="keys:write"),
            Route(method="PATCH", path="/v1/keys/*", endpoint=self.change, scope="keys:write", body_limit=BODY_LIMIT),
            Route(method="DELETE", path="/v1/keys/*", endpoint=self.revoke, scope="keys:write"),
            Route(method="POST", path="/v1/keys/*", endpoint=self.rotate, scope="keys:write", body_limit=BODY_LIMIT),
        )

    async def create(self, request: Request) -> Response:
        """Make a key; its secret is in this answer and nowhere else."""
        change = read_change(await request.body(), self._clock())
        return self._shown(await self._write(lambda: self._store.create(change, request.principal)), 201)

    async def list(self, request: Request) -> Response:
        """Keys by id, a page at a time (``?after=ID&limit=N``)."""
        query = {name: values[0] for name, values in values_in(request.query).items()}
        limit = read_count(query.get("limit"), PAGE)
        found = await self._do(lambda: self._store.list(request.principal, query.get("after", ""), limit + 1))
        page = found[:limit]
        last = page[-1].id if page else None
        return self._json({"object": "list", "data": [self._key(key) for key in page], "has_more": len(found) > limit, "last_id": last})

    async def get(self, request: Request) -> Response:
        """One key."""
        id = request.params[0]
        return self._json(self._key(await self._do(lambda: self._store.get(id, request.principal))))

    async def change(self, request: Request) -> Response:
        """Change what a body names, and leave the rest."""
        id, change = request.params[0], read_change(await request.body(), self._clock())
        return self._json(self._key(await self._write(lambda: self._store.change(id, change, request.principal))))

    async def revoke(self, request: Request) -> Response:
        """End a key, with ``?made=true`` also those that it made."""
        id, made = request.params[0], values_in(request.query).get("made") == ["true"]
        found = await self._write(lambda: self._store.revoke(id, request.principal, made))
        return self._json({**self._key(found[0]), "also_revoked": [key.id for key in found[1:]]})

    async def rotate(self, request: Request) -> Response:
        """``POST /v1/keys/ID/rotate``: another secret, which is in this answer and nowhere else."""
        id, _, verb = request.params[0].partition("/")
        if verb != "rotate":
            raise Refused(404, f"there is nothing at {request.path[:200]!r}", code="unknown_url", hint="POST /v1/keys/ID/rotate")
        overlap = read_overlap(await request.body())
        return self._shown(await self._write(lambda: self._store.rotate(id, request.principal, overlap)), 200)

    async def own(self, request: Request) -> Response:
        """The key that asks: what it may do, how fast, how much, and until when."""
        who = request.principal
        found = await self._do(lambda: self._store.get(who.key_id, who)) if who.key_id else None
        standings = await asyncio.to_thread(self._standings, who)
        return self._json(
            {
                "object": "key",
                "id": who.key_id or None,
                "name": who.name,
                "team": who.team,
                "user": who.user,
                "tags": [*who.tags],
                "scopes": sorted(who.scopes),
                "models": [*who.models],
                "expires": iso(who.expires),
                "old_secret_until": None if found is None else key_json(found, self._clock())["old_secret_until"],
                "max_output": who.max_output,
                "limits": {} if found is None else limits_json(found.limits),
                "budgets": [standing_json(standing) for standing in standings],
                "recording": who.recording,
            }
        )

    def _key(self, key: VirtualKey) -> JsonObject:
        return key_json(key, self._clock())

    def _shown(self, made: Made, status: int) -> Response:
        return self._json({**self._key(made.key), "key": made.secret.reveal()}, status)

    def _json(self, document: JsonObject, status: int = 200) -> Response:
        return json_response(document, status, (NO_STORE,))

    async def _write(self, work: Callable[[], T]) -> T:
        found = await self._do(work)
        await self._ring.refresh()
        return found

    async def _do(self, work: Callable[[], T]) -> T:
        with _told():
            return await asyncio.to_thread(work)


@contextmanager
def _told() -> Iterator[None]:
    """The store's refusals as answers: 404 for a key the bearer may not see, 403 for what it may not do, 400 for what cannot be."""
    try:
        yield
    except NoSuchKey as error:
        raise Refused(404, error.message, code="key_not_found") from error
    except NotAllowed as error:
        raise forbidden(error.message) from error
    except UsageError as error:
        raise Refused(400, error.message, code="invalid_request") from error


def standing_json(standing: Standing) -> JsonObject:
    """A budget as it stands: dollars as decimal strings."""
    left = max(0, standing.limit_nanos - standing.spent_nanos - standing.reserved_nanos)
    return {
        "scope": standing.scope,
        "window": standing.window,
        "action": standing.action,
        "limit_usd": usd_text(standing.limit_nanos),
        "used_usd": usd_text(standing.spent_nanos),
        "reserved_usd": usd_text(standing.reserved_nanos),
        "remaining_usd": usd_text(left),
        "starts": iso(standing.starts),
        "ends": iso(standing.ends),
    }
