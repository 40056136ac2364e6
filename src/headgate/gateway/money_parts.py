"""What the endpoints about money are made of."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.catalog.cards import ModelCard
from headgate.client import Target
from headgate.errors import ConfigError
from headgate.ledger.budget_book import BudgetBook
from headgate.ledger.principal import Principal
from headgate.ledger.viewer import Viewer, viewer_of
from headgate.serving.envelopes import Refused
from headgate.serving.request import Request
from headgate.store.base import Store


def _everything(principal: Principal, name: str) -> bool:
    return True


class MoneyParts(msgspec.Struct, frozen=True, kw_only=True):
    """`store` is the ledger's, `models` and `resolve` are those of `GatewayParts`, `clock` is seconds since the epoch.

    `principal` says who makes a request, `may_see` whether a model (``provider/id``) exists for somebody.
    """

    store: Store
    models: tuple[ModelCard, ...]
    resolve: Callable[[str], Target]
    clock: Callable[[], float]
    budgets: BudgetBook
    principal: Callable[[Request], Principal]
    may_see: Callable[[Principal, str], bool] = _everything

    def viewer(self, request: Request) -> Viewer:
        """What whoever makes `request` may see."""
        return viewer_of(self.principal(request))

    def card(self, request: Request, name: str) -> ModelCard:
        """The card of a model by any name a chat request could use. Raises `Refused` (404), alike for unknown and hidden ones."""
        card = next((card for card in self.models if card.name == name), None) or self._resolved(name)
        if card is None or not self.may_see(self.principal(request), card.name):
            message = f"the model {name[:200]!r} does not exist (GET /v1/models lists those that do)"
            raise Refused(404, message, code="model_not_found", param="model")
        return card

    def _resolved(self, name: str) -> ModelCard | None:
        try:
            return self.resolve(name).card
        except ConfigError:
            return None
