"""Who asks: what a key may do, and in whose name it is counted. Identity comes from the key alone, never from the request (faults H18)."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Scope: TypeAlias = Literal["completions:read", "models:read", "usage:read", "keys:write", "metrics:read", "admin"]
Recording: TypeAlias = Literal["off", "record", "replay"]

EVERYBODY = "global"
"""The subject that every request counts for."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The bearer of a key.

    `key_id` is the key's public id ("" for the one key of the settings, and for nobody where no key is asked for). `subjects` are what
    budgets and limits of this bearer are counted by: ``global``, ``key:ID``, ``team:NAME``, ``user:NAME``, ``tag:NAME``. `models` are
    patterns (``openai/*``) of what may be called; empty: anything. `max_output` is assumed where a request sets no maximum. `expires` is
    seconds since the epoch.
    """

    key_id: str = ""
    name: str = ""
    scopes: frozenset[Scope] = frozenset()
    owner: str | None = None
    team: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    subjects: tuple[str, ...] = (EVERYBODY,)
    models: tuple[str, ...] = ()
    max_output: int | None = None
    expires: float | None = None
    recording: Recording = "off"

    @property
    def tenant(self) -> str:
        """Whose caches, receipts and recordings these are: the team's, else the owner's, else the key's own."""
        return f"team:{self.team}" if self.team else f"owner:{self.owner}" if self.owner else f"key:{self.key_id}"


CALLER = Principal(name="the key of the settings", scopes=frozenset({"completions:read", "models:read", "usage:read"}))
"""The bearer of the one key of the settings (HEADGATE_KEY); also everybody, where no key is asked for."""
