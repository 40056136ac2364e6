"""What clients write about keys."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from headgate.domain.cost import NANO
from headgate.ledger.keys import Action, KeyBudget, KeyChange, LimitsChange
from headgate.ledger.principal import Recording, Scope
from headgate.serving.envelopes import Refused

T = TypeVar("T")

_USD = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?", re.ASCII)


class BudgetBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget: dollars as a decimal string."""

    usd: str
    window: str = "month"
    action: Action = "block"


class KeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made, or what of a key is to change. `expires_in` is in seconds from now."""

    name: str | UnsetType = UNSET
    owner: str | UnsetType | None = UNSET
    team: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    scopes: frozenset[Scope] | UnsetType = UNSET
    models: tuple[str, ...] | UnsetType = UNSET
    expires: datetime | UnsetType | None = UNSET
    expires_in: float | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    max_output: int | UnsetType | None = UNSET
    limits: LimitsChange = LimitsChange()
    budget: BudgetBody | UnsetType | None = UNSET
    recording: Recording | UnsetType = UNSET


class RotateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how many seconds the secret before is still taken."""

    overlap: float = 0.0


_body = msgspec.json.Decoder(KeyBody)
_rotate = msgspec.json.Decoder(RotateBody)
LONGEST = 10 * 366 * 86400.0
"""Seconds."""


def read_change(body: bytes, now: float) -> KeyChange:
    """What a client wants a key to be. Raises `Refused` (400) with the place of what is wrong."""
    found = _read(_body, body or b"{}")
    same = {name: getattr(found, name) for name in KeyChange.__struct_fields__ if name not in ("expires", "budget")}
    return KeyChange(**same, expires=_expiry(found, now), budget=_budget(found.budget))


def read_overlap(body: bytes) -> float:
    """The overlap of a rotation. Raises `Refused` (400)."""
    overlap = _read(_rotate, body or b"{}").overlap
    if not 0 <= overlap <= LONGEST:
        raise _bad("overlap must be seconds, 0 or more", "overlap")
    return overlap


def read_count(text: str | None, most: int) -> int:
    """A count from 1 to `most` of a query; `most` when there is none. Raises `Refused` (400)."""
    if text is None:
        return most
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= most:
        raise _bad(f"limit must be a number from 1 to {most}", "limit")
    return int(text)


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(400, f"the request body cannot be read: {error}", code="invalid_request") from error


def _expiry(body: KeyBody, now: float) -> float | UnsetType | None:
    if body.expires_in is not UNSET:
        if body.expires is not UNSET or not 0 < body.expires_in <= LONGEST:
            raise _bad("expires_in must be seconds, more than 0, and stand without expires", "expires_in")
        return now + body.expires_in
    if not isinstance(body.expires, datetime):
        return body.expires
    if body.expires.tzinfo is None:
        raise _bad("expires must name its offset from UTC, as 2030-01-31T00:00:00Z does", "expires")
    return body.expires.timestamp()


def _budget(body: BudgetBody | UnsetType | None) -> KeyBudget | UnsetType | None:
    if not isinstance(body, BudgetBody):
        return body
    nanos = nanos_of(body.usd)
    if nanos is None:
        raise _bad('budget.usd must be dollars as a decimal string, such as "12.50"', "budget.usd")
    return KeyBudget(limit_nanos=nanos, window=body.window, action=body.action)


def nanos_of(text: str) -> int | None:
    """Dollars as a decimal string, in nano-dollars; None for what is none."""
    match = _USD.fullmatch(text)
    return None if match is None else int(match[1]) * NANO + int((match[2] or "").ljust(9, "0"))


def _bad(message: str, param: str) -> Refused:
    return Refused(400, message, code="invalid_request", param=param)
