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
from headgate.store.base import Store
from headgate.wire.json import Json

Noting: TypeAlias = Callable[[str, str, Json, Principal], Noted]
"""From an action, what it was done to, its details and who did it: what writes that into the audit trail."""


def _unnoted(action: str, object: str, detail: Json, by: Principal) -> Noted:
    return nothing


class MoneyParts(msgspec.Struct, frozen=True, kw_only=True):
    """`store` is the ledger's, `models` and `resolve` are those of `GatewayParts`, `clock` is seconds since the epoch.

    `noting` is `KeyStore.noting`.
    """

    store: Store
    models: tuple[ModelCard, ...]
    resolve: Callable[[str], Target]
    clock: Callable[[], float]
    budgets: BudgetBook
    noting: Noting = _unnoted

    def card(self, principal: Principal, name: str) -> ModelCard:
        """The card of a model by any name a chat request could use. Raises `Refused` (404), alike for unknown and hidden ones."""
        card = next((card for card in self.models if card.name == name), None) or self._resolved(name)
        if card is None or not may_call(principal, card.name):
            raise no_such_model(name)
        return card

    def _resolved(self, name: str) -> ModelCard | None:
        try:
            return self.resolve(name).card
        except ConfigError:
            return None
