"""Receipts as values, and their JSON. Prompts and answers are never part of one (faults J3)."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

from headgate.dialects.base import Note
from headgate.domain.cost import Cost, usd_text
from headgate.domain.usage import BUCKETS, Usage
from headgate.wire.json import JsonObject, decode, encode

Face: TypeAlias = Literal["library", "cli", "gateway", "run"]
Status: TypeAlias = Literal["ok", "error", "cancelled"]
Operation: TypeAlias = Literal["chat", "embed"]
Charge: TypeAlias = tuple[int, int]
"""The number of a balance, and the nano-dollars it was charged."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SPELT = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _CROCKFORD.encode())
"""From the digits of RFC 4648's base 32 to Crockford's."""
_DIGITS = bytes(_CROCKFORD.encode()[byte & 31] for byte in range(256))
"""From a byte to the digit of five of its bits."""
RANDOM_BYTES = 10
DIGITS = 16
"""Digits of an identifier that are random, of five bits each."""
_LATEST = 1 << 48


def new_id(now: float, random: bytes) -> str:
    """A 26-character identifier that sorts by time (ULID): `now` in seconds since the epoch, then ten `random` bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an identifier needs {RANDOM_BYTES} random bytes, not {len(random)}")
    return _moment(int(now * 1000) % _LATEST) + b32encode(random).translate(_SPELT).decode()


class Ids:
    """Identifiers as `new_id` makes them, for whoever needs many: digits are made of `random(count)` bytes for many at a time."""

    def __init__(self, now: Callable[[], float], random: Callable[[int], bytes], many: int = 256) -> None:
        self._now = now
        self._random = random
        self._size = many * DIGITS
        self._digits = ""
        self._at = 0

    def __call__(self) -> str:
        """The next one."""
        at = self._at
        if at == len(self._digits):
            self._digits, at = self._random(self._size).translate(_DIGITS).decode(), 0
        self._at = at + DIGITS
        return _moment(int(self._now() * 1000) % _LATEST) + self._digits[at : at + DIGITS]


@lru_cache(maxsize=8)
def _moment(milliseconds: int) -> str:
    """The ten characters of a time."""
    return "".join([_CROCKFORD[milliseconds >> shift & 31] for shift in range(45, -1, -5)])


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One try at one provider. `kind` is an `ErrorKind` when it failed; `started` seconds since the epoch, `duration` seconds.

    `deployment` names the entry of the route that was tried, `first_byte` is seconds after `started`.
    """

    provider: str
    model: str
    account: str = "default"
    deployment: str | None = None
    status: int | None = None
    kind: str | None = None
    started: float = 0.0
    duration: float | None = None
    first_byte: float | None = None
    request_id: str | None = None
    cost_nanos: int | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One logical request, with every attempt it took.

    `at` is when it began (seconds since the epoch), `duration` and `first_byte` are seconds. `cost_nanos` None means unpriced. `model` is
    what was asked for, `model_answered` what the provider says answered. `unit_prices` are dollars per million tokens by bucket.
    `submission` names the settlement this receipt is a part of, `unit` and `attempt` the unit of a run. `key`, `team`, `user`, `tags` say
    who asked and `tenant` whose receipt it is (see `Principal`); `session` is the caller's own name for a conversation. `explanation` says
    briefly why it went where it went. `bound_nanos` is the most it could have cost, as reserved; `charges` are what budgets were charged,
    written by the ledger.
    """

    id: str
    at: float
    face: Face
    provider: str
    model: str
    account: str = "default"
    model_answered: str | None = None
    dialect_in: str | None = None
    dialect_out: str | None = None
    operation: Operation = "chat"
    lane: Literal["realtime", "batch"] = "realtime"
    stream: bool = False
    status: Status = "ok"
    finish: str | None = None
    error: str | None = None
    """The `ErrorKind` it ended with."""
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = Usage()
    cost_nanos: int | None = None
    price_rule: str = ""
    price_digest: str = ""
    unit_prices: dict[str, str] = {}
    notes: tuple[Note, ...] = ()
    run: str | None = None
    step: str | None = None
    unit: str | None = None
    attempt: int | None = None
    submission: str | None = None
    request_id: str | None = None
    duration: float | None = None
    first_byte: float | None = None
    key: str | None = None
    team: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    tenant: str | None = None
    session: str | None = None
    explanation: str = ""
    bound_nanos: int | None = None
    charges: tuple[Charge, ...] = ()

    @property
    def cost(self) -> Cost:
        """The cost with its rule and digest."""
        return Cost(self.cost_nanos, self.price_rule, self.price_digest)


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of one submission consumed together. `cost_nanos` is the sum of the priced ones, `unpriced` counts the others."""

    at: float
    provider: str
    model: str
    calls: int
    usage: Usage
    cost_nanos: int
    unpriced: int = 0
    account: str = "default"
    lane: Literal["realtime", "batch"] = "batch"
    face: Face = "run"
    run: str | None = None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which receipts. None means any. `since` is included, `until` is not; `before` is (at, id) of the last receipt of the page before."""

    since: float | None = None
    until: float | None = None
    provider: str | None = None
    model: str | None = None
    face: Face | None = None
    lane: Literal["realtime", "batch"] | None = None
    status: Status | None = None
    run: str | None = None
    submission: str | None = None
    before: tuple[float, str] | None = None
    limit: int = 100


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """A sum over calls. `cost_nanos` is what the priced ones cost, `unpriced` counts those whose price is unknown."""

    provider: str = ""
    account: str = ""
    model: str = ""
    lane: str = ""
    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanos: int = 0
    unpriced: int = 0

    @property
    def usd(self) -> str:
        """Exact dollars of the priced calls, as decimal text."""
        return usd_text(self.cost_nanos)


_SUMS = ("calls", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_nanos", "unpriced")


def sum_totals(totals: tuple[Total, ...]) -> Total:
    """All of them together; a label stays where it is the same everywhere."""
    sums = {name: sum(getattr(total, name) for total in totals) for name in _SUMS}
    labels = {name: {getattr(total, name) for total in totals} for name in ("provider", "account", "model", "lane")}
    return Total(**{name: found.pop() for name, found in labels.items() if len(found) == 1}, **sums)


def receipt_json(receipt: Receipt) -> JsonObject:
    """The receipt as JSON: amounts as decimal strings of dollars (null: unpriced), times as ISO 8601 in UTC, tokens by bucket."""
    document: JsonObject = decode(encode(_whole(receipt)))
    usage = receipt.usage
    document["at"] = _iso(receipt.at)
    document["usage"] = {
        **{bucket: getattr(usage, bucket) for bucket in BUCKETS if getattr(usage, bucket)},
        "input_total": usage.input_total,
        "output_total": usage.output_total,
        "total": usage.total,
        "source": usage.source,
        **({"fees": usage.fees} if usage.fees else {}),
        **({"native": usage.native} if usage.native is not None else {}),
    }
    document["usd"] = _usd(document.pop("cost_nanos"))
    document["bound_usd"] = _usd(document.pop("bound_nanos"))
    document["charges"] = [{"balance": balance, "usd": usd_text(nanos)} for balance, nanos in receipt.charges]
    document["attempts"] = [decode(encode(_whole(attempt))) for attempt in receipt.attempts]
    for attempt in document["attempts"]:
        attempt["started"] = _iso(attempt["started"])
        attempt["usd"] = _usd(attempt.pop("cost_nanos"))
    return document


def total_json(total: Total) -> JsonObject:
    """A total as JSON, the amount as a decimal string of dollars."""
    document: JsonObject = msgspec.to_builtins(total)
    document["usd"] = _usd(document.pop("cost_nanos"))
    return document


def _whole(value: Receipt | Attempt) -> JsonObject:
    """Every field, those that have their default too, which the stored form leaves out."""
    return {name: getattr(value, name) for name in value.__struct_fields__}


def _usd(nanos: int | None) -> str | None:
    return None if nanos is None else usd_text(nanos)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
