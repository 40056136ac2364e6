"""What is about to be asked of a provider, and the name of whoever asks as receipts have it."""

from __future__ import annotations

from typing import Literal

import msgspec

from headgate.ledger.budgets import Bound
from headgate.ledger.principal import Principal
from headgate.ledger.receipt import Face


class Intent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt before it is made. `id` is that of the receipt of its request, `at` seconds since the epoch."""

    id: str
    at: float
    principal: Principal
    provider: str
    model: str
    bound: Bound
    account: str = "default"
    lane: Literal["realtime", "batch"] = "realtime"
    run: str | None = None
    face: Face = "gateway"
    request_bytes: int = 0

    @property
    def subjects(self) -> tuple[str, ...]:
        """What this attempt is counted by."""
        run = () if self.run is None else (f"run:{self.run}",)
        return (*self.principal.subjects, f"provider:{self.provider}", f"model:{self.provider}/{self.model}", *run)


class Asker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asked, in the words of a receipt."""

    key: str | None = None
    team: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    tenant: str | None = None


def asker_of(principal: Principal) -> Asker:
    """The fields of a receipt that say who asked."""
    key = principal.key_id or None
    known = key is not None or principal.team is not None or principal.owner is not None
    return Asker(key=key, team=principal.team, user=principal.user, tags=principal.tags, tenant=principal.tenant if known else None)
