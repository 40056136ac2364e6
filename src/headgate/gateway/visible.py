"""Which models are there for the bearer of a key: what it may not call does not exist (translation case 110)."""

from __future__ import annotations

from collections.abc import Callable

from headgate.client import Target
from headgate.errors import ConfigError, MissingKey
from headgate.ledger.principal import Principal
from headgate.ledger.rights import may_call
from headgate.serving.envelopes import Refused


def no_such_model(name: str) -> Refused:
    """The refusal (404) of a model that is unknown, or hidden from who asks: the same for both."""
    text = f"the model {name[:200]!r} does not exist (GET /v1/models lists those that do)"
    return Refused(404, text, code="model_not_found", param="model")


def visible_target(resolve: Callable[[str], Target], principal: Principal, name: str) -> Target:
    """The target of a model as the client wrote it.

    For a bearer that may call anything, raises what `resolve` raises. For others every model outside of their patterns is unknown, and
    what is unknown is said without the near misses that would give hidden names away: raises `Refused` (404).
    """
    if not principal.models:
        return resolve(name)
    try:
        target = resolve(name)
    except ConfigError as error:
        if isinstance(error, MissingKey) and may_call(principal, name):
            raise
        raise no_such_model(name) from error
    if not may_call(principal, target.name):
        raise no_such_model(name)
    return target
