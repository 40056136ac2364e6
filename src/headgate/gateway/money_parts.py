"""What the endpoints about money are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from headgate.catalog.cards import ModelCard
from headgate.client import Target
from headgate.errors import ConfigError
from headgate.gateway.visible import no_such_model
from headgate.ledger.budget_book import BudgetBook, Noted, nothing
from headgate.ledger.principal import Principal
from headgate.ledger.rights import may_call
from headgate.router import Router
from headgate.store.base import Store
from headgate.wire.json import Json

Noting: TypeAlias = Callable[[str, str, Json, Principal], Noted]
"""From an action, what it was done to, its details and who did it: what writes that into the audit trail."""


def itself(name: str) -> tuple[str, ...]:
    """A name that stands for nothing else."""
    return (name,)


def stands_for(router: Router) -> Callable[[str], tuple[str, ...]]:
    """From a name, as a chat request could use it, those of the models it stands for, in the order in which they are asked."""

    def names(name: str) -> tuple[str, ...]:
        try:
            return tuple(candidate.deployment.name for candidate in router.table.find(name).candidates)
        except ConfigError:
            return (name,)

    return names


def _unnoted(action: str, object: str, detail: Json, by: Principal) -> Noted:
    return nothing


class MoneyParts(msgspec.Struct, frozen=True, kw_only=True):
    """`store` is the ledger's, `models` and `resolve` are those of `GatewayParts`, `clock` is seconds since the epoch.

    `noting` is `KeyStore.noting`, `stands_for` that of this module.
    """

    store: Store
    models: tuple[ModelCard, ...]
    resolve: Callable[[str], Target]
    clock: Callable[[], float]
    budgets: BudgetBook
    noting: Noting = _unnoted
    stands_for: Callable[[str], tuple[str, ...]] = itself

    def card(self, principal: Principal, name: str) -> ModelCard:
        """The card of a model by any name a chat request could use; of a route's, the first that the bearer may call.

        Raises `Refused` (404), alike for unknown and hidden ones.
        """
        for one in self.stands_for(name):
            card = self._named(one)
            if card is not None and may_call(principal, card.name):
                return card
        raise no_such_model(name)

    def _named(self, name: str) -> ModelCard | None:
        found = next((card for card in self.models if card.name == name), None)
        if found is not None:
            return found
        try:
            return self.resolve(name).card
        except ConfigError:
            return None
