"""Virtual keys as values: whose they are, what they may do, and how much. No secret is part of one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import UNSET, UnsetType

from headgate.errors import UsageError
from headgate.ledger.principal import EVERYBODY, Principal, Recording, Scope

Action: TypeAlias = Literal["warn", "block", "clamp", "degrade"]
Status: TypeAlias = Literal["active", "disabled", "expired", "revoked"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
CALLING: frozenset[Scope] = frozenset({"completions:read"})
"""Scopes that spend money. The scope ``admin`` covers every other, and is never given together with one of these (faults E4)."""

T = TypeVar("T", bound=msgspec.Struct)


class KeyLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast a key may spend: requests and tokens a minute (together, and each way), requests at once. None: not limited here."""

    rpm: int | None = None
    tpm: int | None = None
    input_tpm: int | None = None
    output_tpm: int | None = None
    concurrency: int | None = None


class LimitsChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of a key's limits become what."""

    rpm: int | UnsetType | None = UNSET
    tpm: int | UnsetType | None = UNSET
    input_tpm: int | UnsetType | None = UNSET
    output_tpm: int | UnsetType | None = UNSET
    concurrency: int | UnsetType | None = UNSET


class KeyBudget(msgspec.Struct, frozen=True, kw_only=True):
    """How much a key may spend in each `window`: ``day``, ``week``, ``month``, ``total`` or ``rolling:SECONDS``."""

    limit_nanos: int
    window: str = "month"
    action: Action = "block"


class VirtualKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key.

    `tags`, `team`, `user` and the key itself are what budgets and limits are counted by, `lineage` (the ids of the keys that made it, the
    nearest first) as well: what a key hands on still counts for it. Times are seconds since the epoch. `old_until`: a secret that was
    replaced is taken until then. `version` grows with every change of any key.
    """

    id: str = ""
    name: str = ""
    owner: str | None = None
    team: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    scopes: frozenset[Scope] = frozenset({"completions:read", "models:read", "usage:read"})
    models: tuple[str, ...] = ()
    created: float = 0.0
    created_by: str = ""
    expires: float | None = None
    disabled: bool = False
    revoked: float | None = None
    old_until: float | None = None
    max_output: int | None = None
    limits: KeyLimits = KeyLimits()
    budget: KeyBudget | None = None
    recording: Recording = "off"
    lineage: tuple[str, ...] = ()
    version: int = 0

    def status(self, now: float) -> Status:
        """Whether it is taken."""
        if self.revoked is not None:
            return "revoked"
        if self.expires is not None and now >= self.expires:
            return "expired"
        return "disabled" if self.disabled else "active"


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is to be; what is UNSET stays as it is, or as it is by default for a new one."""

    name: str | UnsetType = UNSET
    owner: str | UnsetType | None = UNSET
    team: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    scopes: frozenset[Scope] | UnsetType = UNSET
    models: tuple[str, ...] | UnsetType = UNSET
    expires: float | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET
    max_output: int | UnsetType | None = UNSET
    limits: LimitsChange = LimitsChange()
    budget: KeyBudget | UnsetType | None = UNSET
    recording: Recording | UnsetType = UNSET


def changed(key: VirtualKey, change: KeyChange) -> VirtualKey:
    """`key` with the change made. Raises `UsageError` for a value that cannot be."""
    found = msgspec.structs.replace(_over(key, change, "limits"), limits=_over(key.limits, change.limits))
    check_key_values(found)
    return found


def _over(value: T, change: msgspec.Struct, *but: str) -> T:
    given = {name: new for name in change.__struct_fields__ if name not in but and (new := getattr(change, name)) is not UNSET}
    return msgspec.structs.replace(value, **given)


def principal_of(key: VirtualKey) -> Principal:
    """Who the bearer of `key` is."""
    named = (("team", key.team), ("user", key.user), *(("tag", tag) for tag in key.tags))
    keys = (f"key:{id}" for id in (key.id, *key.lineage))
    return Principal(
        key_id=key.id,
        name=key.name,
        scopes=key.scopes,
        owner=key.owner,
        team=key.team,
        user=key.user,
        tags=key.tags,
        subjects=(EVERYBODY, *keys, *(f"{kind}:{name}" for kind, name in named if name)),
        models=key.models,
        max_output=key.max_output,
        expires=key.expires,
        recording=key.recording,
    )


def blank(minter: Principal, administers: bool) -> VirtualKey:
    """What a new key is where nothing else is said: for a minter that does not administer, in its name and within what it has."""
    if administers:
        return VirtualKey()
    return VirtualKey(
        owner=minter.owner,
        team=minter.team,
        user=minter.user,
        tags=minter.tags,
        scopes=VirtualKey().scopes & minter.scopes,
        models=minter.models,
        expires=minter.expires,
        max_output=minter.max_output,
        recording=minter.recording,
    )


# What a value may be

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_PATTERN = re.compile(r"[A-Za-z0-9._:@/*+-]{1,200}")
_WINDOW = re.compile(r"day|week|month|total|rolling:[1-9][0-9]{1,8}")
_LARGEST = 2**53


def _word(text: str | None) -> bool:
    return text is None or _WORD.fullmatch(text) is not None


def _count(number: int | None) -> bool:
    return number is None or 0 < number <= _LARGEST


def _budget(budget: KeyBudget | None) -> bool:
    fits = budget is None or (0 < budget.limit_nanos <= _LARGEST * 1000 and _WINDOW.fullmatch(budget.window) is not None)
    return fits and (budget is None or budget.action in get_args(Action))


_RULES: tuple[tuple[str, Callable[[VirtualKey], bool], str], ...] = (
    ("name", lambda key: len(key.name) <= 100 and key.name.isprintable(), "at most 100 characters, all of them printable"),
    ("owner", lambda key: _word(key.owner), "letters, digits and ._@+-, at most 64"),
    ("team", lambda key: _word(key.team), "letters, digits and ._@+-, at most 64"),
    ("user", lambda key: _word(key.user), "letters, digits and ._@+-, at most 64"),
    ("tags", lambda key: len(key.tags) <= 16 and all(map(_word, key.tags)), "at most 16 words of letters, digits and ._@+-"),
    ("scopes", lambda key: bool(key.scopes) and key.scopes <= frozenset(SCOPES), f"some of {', '.join(SCOPES)}"),
    ("scopes", lambda key: "admin" not in key.scopes or not key.scopes & CALLING, "admin or completions:read, not both in one key"),
    ("models", lambda key: len(key.models) <= 64 and all(map(_PATTERN.fullmatch, key.models)), "at most 64 names such as openai/*"),
    ("max_output", lambda key: _count(key.max_output), "a number greater than 0"),
    ("limits", lambda key: all(_count(getattr(key.limits, name)) for name in KeyLimits.__struct_fields__), "numbers greater than 0"),
    ("budget", lambda key: _budget(key.budget), "an amount, with day, week, month, total or rolling:SECONDS"),
    ("recording", lambda key: key.recording in get_args(Recording), "off, record or replay"),
)


def check_key_values(key: VirtualKey) -> None:
    """Raises `UsageError` for the first field that is not as it must be."""
    for field, holds, wanted in _RULES:
        if not holds(key):
            raise UsageError(f"{field} must be {wanted}")
