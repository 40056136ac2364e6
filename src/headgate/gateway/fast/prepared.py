"""A deployment with everything prepared that does not change between two calls."""

from __future__ import annotations

import msgspec

from headgate.catalog.cards import Price, day_of
from headgate.catalog.prices import RateTable, Steep, is_free, rate_table, steepest
from headgate.client import Target
from headgate.client.chat import CONTENT_TYPE
from headgate.gateway.execute import OVERHEAD, TOOLS_OVERHEAD, subjects_of
from headgate.gateway.fast.statement import Statement, statement
from headgate.gateway.limit_marks import LimitLines
from headgate.gateway.outline import Outline
from headgate.gateway.upstream import WIRES
from headgate.ledger import Receipt
from headgate.ledger.accounts import Route
from headgate.ledger.bounds import IMMENSE, LARGEST
from headgate.ledger.budgets import Bound
from headgate.ledger.intent import Intent
from headgate.ledger.principal import Principal
from headgate.ledger.spending import Hold, Spending
from headgate.router import Deployment
from headgate.transport.http1 import HttpClient
from headgate.wire.http import Headers, Send
from headgate.wire.json import encode

_ID = "HEADGATE-REQUEST-ID"
_LENGTH = b"Content-Length: 1\r\n"
_VARIANTS = 64
_BEARERS = 1024
_KINDS = 256
_DAY = 86400
_USAGE = msgspec.Raw(b'{"include_usage":true}')
id_of = id
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
FREE = Bound(0)
UNPRICED = Bound(None, "the model is unpriced")
ENDLESS = Bound(None, "neither the request nor the model's card limits the output")


class Unprepared(Exception):
    """This deployment, or this request, is not an ordinary one."""


class Prepared:
    """One deployment on one surface. Raises `Unprepared` where calls are signed, keys expire, or another wire is spoken."""

    __slots__ = (
        "_day",
        "_free",
        "_heads",
        "_model",
        "_path",
        "_routes",
        "_statements",
        "_steps",
        "_tables",
        "account",
        "card",
        "deployment",
        "dialect",
        "limit_lines",
        "prices",
        "provider",
        "route",
        "subjects",
        "target",
        "wire",
    )

    def __init__(self, deployment: Deployment, target: Target, dialect: str, query: str, http: HttpClient) -> None:
        wire = WIRES.get(dialect)
        auth = target.provider.auth
        if (
            wire is None
            or wire.model_in_path
            or target.chat.name != dialect
            or auth.sign is not None
            or target.credential.token is not None
        ):
            raise Unprepared
        self.deployment = deployment
        self.target = target
        self.dialect = target.chat
        self.wire = wire
        self.card = target.card
        self.route = http.route(target.origin)
        self.subjects = subjects_of(deployment)
        self.limit_lines = LimitLines()
        self.prices: Price | None = None
        self._path = target.placed(Send("POST", f"{wire.path}{query}", b"", ())).path
        self._model = msgspec.Raw(encode(target.model))
        self._heads: dict[tuple[bytes, ...], tuple[bytes, bytes]] = {}
        self._day = -1
        self._steps: tuple[Steep, ...] = ()
        self._free = False
        self._tables: tuple[tuple[int, RateTable | None], ...] = ()
        self._routes: dict[int, tuple[Principal, Route]] = {}
        self._statements: dict[tuple[object, ...], Statement | None] = {}
        self.account = target.credential.account
        self.provider = target.provider.name

    def head(self, fields: dict[str, bytes], id: str, length: int) -> bytes:
        """The request head, with those of the client's headers that the wire lets through."""
        key = tuple([fields.get(name, b"") for name in self.wire.headers])
        found = self._heads.get(key)
        if found is None:
            found = self._rendered(key)
        return b"%b%b%bContent-Length: %d\r\n\r\n" % (found[0], id.encode(), found[1], length)

    def _rendered(self, own: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        extra: Headers = tuple((name, value.decode("latin-1")) for name, value in zip(self.wire.headers, own, strict=True) if value)
        replaced = {name for name, _ in extra}
        call = Send("POST", self._path, b"", (CONTENT_TYPE,))
        proven = tuple(pair for pair in self.target.headers(call, _ID) if pair[0] not in replaced)
        whole = self.route.renderer.render("POST", self._path, (*call.headers, *proven, *extra), 1)
        before, _, after = whole.partition(_ID.encode())
        if not after.endswith(_LENGTH + b"\r\n"):
            raise Unprepared
        if len(self._heads) >= _VARIANTS:
            self._heads.clear()
        self._heads[own] = found = before, after[: -len(_LENGTH) - 2]
        return found

    def body(self, body: bytes, seen: Outline) -> bytes:
        """The client's own bytes; where something must change (the model's name, usage asked for in a stream), its own fields.

        Raises `Unprepared` for stream options that have to be looked at.
        """
        added = self.adds_usage(seen)
        if seen.model == self.target.model and not added:
            return body
        if added and seen.options:
            raise Unprepared
        fields = _fields(body)
        fields["model"] = self._model
        if added:
            fields["stream_options"] = _USAGE
        return encode(fields)

    def adds_usage(self, seen: Outline) -> bool:
        """Whether the stream will carry usage the client did not ask for."""
        return self.wire.asks_usage and seen.stream and not seen.usage_asked

    def bound(self, at: float, size: int, seen: Outline) -> Bound:
        """As `execute.bound_for`, for a request of text alone."""
        day = int(at) // _DAY
        if day != self._day:
            self._renew(day, at)
        if not self._steps:
            return UNPRICED
        if self._free:
            return FREE
        output = seen.max_output
        if output is None:
            output = self.target.capabilities.max_output
            if output is None:
                return ENDLESS
        into = size + OVERHEAD + (TOOLS_OVERHEAD if "tools" in seen.needs else 0)
        out = output * seen.choices
        most = 0
        for step in self._steps:
            if step.above < into:
                most = max(most, -(-(step.input * into + step.output * out) // step.denominator))
        return Bound(most) if most <= LARGEST else IMMENSE

    def reserve(self, spending: Spending, principal: Principal, id: str, at: float, size: int, seen: Outline) -> Hold | None:
        """The bound of a request reserved; None when that takes a closer look."""
        bound = self.bound(at, size, seen)
        known = self._routes.get(id_of(principal))
        if known is not None and known[0] is principal:
            hold = spending.reserve_on(known[1], id, at, bound.nanos, size)
            if hold is not None:
                return hold
        deployment = self.deployment
        intent = Intent(
            id=id,
            at=at,
            principal=principal,
            provider=deployment.provider,
            model=deployment.model,
            account=self.account,
            bound=bound,
            request_bytes=size,
        )
        found = spending.reserve_now(intent)
        if not isinstance(found, Hold):
            return None
        if len(self._routes) >= _BEARERS:
            self._routes.clear()
        self._routes[id_of(principal)] = principal, spending.accounts.route(intent)
        return found

    def table(self, at: float, into: int) -> RateTable | None:
        """The rates of a prompt of so many tokens; None: it is unpriced."""
        day = int(at) // _DAY
        if day != self._day:
            self._renew(day, at)
        found: RateTable | None = None
        for above, table in self._tables:
            if into > above:
                found = table
        return found

    def statement(self, kind: tuple[object, ...]) -> Statement | None:
        """The template of receipts of this kind, once one was learnt."""
        return self._statements.get(kind)

    def learn(self, kind: tuple[object, ...], receipt: Receipt, holder: object) -> None:
        """Take `receipt` for a pattern. `holder` keeps alive what `kind` names by its identity."""
        if kind not in self._statements:
            if len(self._statements) >= _KINDS:
                self._statements.clear()
            self._statements[kind] = statement(receipt, holder)

    def _renew(self, day: int, at: float) -> None:
        self._day = day
        record = self.prices = None if self.card is None else self.card.price_on(day_of(at))
        self._steps = steepest(record)
        self._free = is_free(self._steps)
        tiers = () if record is None else record.tiers
        self._tables = tuple((above, rate_table(record, above + 1, "realtime")) for above in (-1, *(tier.above for tier in tiers)))
        self._statements.clear()


def prepare(deployment: Deployment, target: Target, dialect: str, query: str, http: HttpClient) -> Prepared | None:
    """The deployment prepared for a surface; None for one that is not ordinary."""
    try:
        return Prepared(deployment, target.on(dialect), dialect, query, http)
    except Unprepared:
        return None
