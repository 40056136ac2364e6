"""What a bearer may do, and what may be handed on: never more than one has (faults H6): pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from headgate.errors import UsageError
from headgate.ledger.keys import CALLING, VirtualKey
from headgate.ledger.principal import Principal, Scope

ADMIN = Principal(name="the administration key of the settings", scopes=frozenset({"admin"}))
"""The bearer of HEADGATE_ADMIN_KEY: may do everything but call models."""
LOCAL = Principal(name="the command line", scopes=frozenset({"admin"}))
"""Whoever can read and write the data folder."""


class NotAllowed(UsageError):
    """The bearer may not do that."""


def permits(principal: Principal, scope: Scope) -> bool:
    """Whether the bearer has `scope`. An administrator has every scope but those that spend money (faults E4)."""
    return scope in principal.scopes or ("admin" in principal.scopes and scope not in CALLING)


def may_call(principal: Principal, name: str) -> bool:
    """Whether the bearer's patterns let it call the model ``provider/model``. Patterns are compiled once."""
    return fits(principal.models, name)


def fits(patterns: tuple[str, ...], name: str) -> bool:
    """Whether one of the patterns matches `name`, or there are none."""
    return not patterns or _matcher(patterns)(name) is not None


@lru_cache(maxsize=1024)
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(".*".join(map(re.escape, _simplest(pattern).split("*"))) for pattern in patterns), re.DOTALL).fullmatch


def _simplest(pattern: str) -> str:
    """Neighbouring stars as one."""
    return re.sub(r"\*+", "*", pattern)


def covers(wide: str, narrow: str) -> bool:
    """Whether everything that `narrow` matches is matched by `wide`; in both, ``*`` stands for any text and nothing else is special."""
    reached = {0}
    for sign in narrow:
        reached = _skipping(wide, reached)
        reached = {at if wide[at] == "*" else at + 1 for at in reached if at < len(wide) and wide[at] in ("*", sign)}
    return len(wide) in _skipping(wide, reached)


def _skipping(wide: str, reached: set[int]) -> set[int]:
    """The places of `wide` that can be reached without taking anything, a star standing for no text."""
    found = set(reached)
    for at in reached:
        while at < len(wide) and wide[at] == "*":
            at += 1
            found.add(at)
    return found


def lineage_of(minter: Principal) -> tuple[str, ...]:
    """The keys for which a key of this minter counts besides itself: the minter and those that made it. None for an administrator's."""
    return () if permits(minter, "admin") else tuple(name[4:] for name in minter.subjects if name.startswith("key:"))


def manages(actor: Principal, key: VirtualKey) -> bool:
    """Whether the bearer may change `key`: an administrator any, others those that they or their keys made."""
    return permits(actor, "admin") or (permits(actor, "keys:write") and actor.key_id != "" and actor.key_id in key.lineage)


def excess(wanted: VirtualKey, minter: Principal) -> tuple[str, ...]:
    """What of `wanted` the minter cannot give because it has not got it, in words; empty when all of it is the minter's to give."""
    return () if permits(minter, "admin") else tuple(_excess(wanted, minter))


def _excess(wanted: VirtualKey, minter: Principal) -> Iterator[str]:
    if not wanted.scopes <= minter.scopes:
        yield f"scopes: {', '.join(sorted(wanted.scopes - minter.scopes))}"
    if minter.models and not (wanted.models and all(any(covers(mine, name) for mine in minter.models) for name in wanted.models)):
        yield f"models: only {', '.join(minter.models)}"
    if minter.expires is not None and (wanted.expires is None or wanted.expires > minter.expires):
        yield "expires: not after the key that makes it"
    for field in ("team", "owner"):
        if getattr(wanted, field) != getattr(minter, field):
            yield f"{field}: that of the key that makes it"
    if minter.user is not None and wanted.user != minter.user:
        yield "user: that of the key that makes it"
    if not set(minter.tags) <= set(wanted.tags):
        yield f"tags: with {', '.join(minter.tags)}"


def check_grant(wanted: VirtualKey, minter: Principal) -> None:
    """Raises `NotAllowed` that names what `minter` would hand on without having it."""
    if not permits(minter, "keys:write"):
        raise NotAllowed("this key may not make keys: it needs the scope keys:write")
    found = excess(wanted, minter)
    if found:
        raise NotAllowed(f"a key can be given no more than the key that makes it has ({'; '.join(found)})")
