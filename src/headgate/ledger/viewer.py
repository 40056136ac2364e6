"""Whose receipts somebody may see. What is not theirs is not there for them (faults H8)."""

from __future__ import annotations

import msgspec

from headgate.ledger.principal import Principal
from headgate.store.connection import Value


class Viewer(msgspec.Struct, frozen=True):
    """A condition on the rows: those of a tenant, or all of them (None). What was asked without any key is the settings' key's."""

    tenant: str | None

    def row(self) -> dict[str, Value]:
        """The parameters of the queries."""
        return {"everything": int(self.tenant is None), "tenant": self.tenant}


EVERYTHING = Viewer(None)
"""For whoever has the database itself: the command line."""


def viewer_of(principal: Principal) -> Viewer:
    """What `principal` may see: an administrator everything, others what is of their tenant."""
    return EVERYTHING if "admin" in principal.scopes else Viewer(principal.tenant)
