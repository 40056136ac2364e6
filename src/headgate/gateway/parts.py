"""What a gateway is made of."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.catalog.cards import ModelCard
from headgate.client import Target
from headgate.ledger import Ledger
from headgate.transport.http1 import HttpClient


class GatewayParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts the composition root puts together and closes; the gateway owns none of them.

    `resolve` finds the target of a model as a client wrote it: raises `ConfigError` for one that is unknown, `MissingKey` when the
    provider has no key here. `models` are listed by ``GET /v1/models``. `clock` is seconds since the epoch, `new_id` makes receipt ids.
    """

    resolve: Callable[[str], Target]
    http: HttpClient
    ledger: Ledger
    models: tuple[ModelCard, ...]
    clock: Callable[[], float]
    new_id: Callable[[], str]
