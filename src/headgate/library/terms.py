"""In whose name a client calls, and what it may spend."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeAlias

import msgspec

from headgate.ledger.labels import read_label
from headgate.ledger.principal import EVERYBODY, Principal
from headgate.ledger.spine_budgets import usd_nanos

Dollars: TypeAlias = str | int | float | Decimal


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """`user` and `tags` are whose budgets the calls count for, `run` what they are a part of, beside everybody's (``global``).

    `budget_nanos` is the most that all calls of the run may cost together; without a `run` the client is one of its own.
    """

    user: str | None = None
    tags: tuple[str, ...] = ()
    run: str | None = None
    budget_nanos: int | None = None

    @property
    def principal(self) -> Principal:
        """Whoever asks."""
        own = () if self.user is None else (f"user:{self.user}",)
        return Principal(
            name="the library",
            owner=None,
            user=self.user,
            tags=self.tags,
            subjects=(EVERYBODY, *own, *(f"tag:{tag}" for tag in self.tags)),
        )


NO_TERMS = Terms()


def make_terms(user: str | None, tags: Sequence[str], run: str | None, budget_usd: Dollars | None) -> Terms:
    """The terms that a client's arguments describe. Raises `UsageError` for names and `ConfigError` for an amount that cannot be."""
    return Terms(
        user=None if user is None else read_label(user, "user"),
        tags=tuple(read_label(tag, "tag") for tag in ((tags,) if isinstance(tags, str) else tags)),
        run=None if run is None else read_label(run, "run"),
        budget_nanos=None if budget_usd is None else usd_nanos("budget_usd", str(budget_usd)),
    )
