"""Which models are there for the bearer of a key: what it may not call does not exist (translation case 110)."""

from __future__ import annotations

from headgate.serving.envelopes import Refused


def no_such_model(name: str) -> Refused:
    """The refusal (404) of a model that is unknown, or hidden from who asks: the same for both."""
    text = f"the model {name[:200]!r} does not exist (GET /v1/models lists those that do)"
    return Refused(404, text, code="model_not_found", param="model")
