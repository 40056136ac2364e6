"""``GET /v1/models`` and ``GET /v1/models/{id}``, in OpenAI's shape, or in Anthropic's for a client that sends ``anthropic-version``."""

from __future__ import annotations

from datetime import UTC, datetime

from headgate.catalog.cards import ModelCard
from headgate.errors import ConfigError
from headgate.gateway.parts import GatewayParts
from headgate.gateway.visible import no_such_model
from headgate.ledger.principal import Principal
from headgate.ledger.rights import may_call
from headgate.serving.envelopes import anthropic_envelope, fault_of, openai_envelope
from headgate.serving.request import Request
from headgate.serving.response import Response, json_response
from headgate.wire.json import JsonObject

OWNER = "headgate"
"""Whose the names of the settings are."""


class Models:
    """The routes and aliases of the settings and the models of the catalog, as far as they are shown: those the bearer may call."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._cards = tuple(card for card in parts.models if card.status != "retired")
        self._by_name = {card.name: card for card in self._cards}
        self._openai = {card.name: openai_model(card) for card in self._cards}
        self._anthropic = {card.name: anthropic_model(card) for card in self._cards}

    async def list(self, request: Request) -> Response:
        """All of them, on one page."""
        names = [name for name in self._parts.router.table.names if self._leads_somewhere(request.principal, name)]
        shown = [name for name in self._by_name if name not in names and may_call(request.principal, name)]
        if _for_anthropic(request):
            return json_response(_page([*map(anthropic_name, names), *(self._anthropic[name] for name in shown)]))
        return json_response({"object": "list", "data": [*map(openai_name, names), *(self._openai[name] for name in shown)]})

    async def get(self, request: Request) -> Response:
        """One of them, by any name a chat request could use. An unknown one and a hidden one answer alike (translation case 110)."""
        name = request.params[0]
        if name in self._parts.router.table.names and self._leads_somewhere(request.principal, name):
            return json_response((anthropic_name if _for_anthropic(request) else openai_name)(name))
        card = self._by_name.get(name) or self._resolved(name)
        anthropic = _for_anthropic(request)
        if card is None or not may_call(request.principal, card.name):
            fault = fault_of(no_such_model(name))
            return json_response((anthropic_envelope if anthropic else openai_envelope)(fault, ""), 404)
        return json_response((self._anthropic if anthropic else self._openai)[card.name])

    def _leads_somewhere(self, principal: Principal, name: str) -> bool:
        """Whether a name of the settings stands for a model that the bearer may call."""
        candidates = self._parts.router.table.find(name).candidates
        return any(may_call(principal, candidate.deployment.name) for candidate in candidates)

    def _resolved(self, name: str) -> ModelCard | None:
        try:
            card = self._parts.resolve(name).card
        except ConfigError:
            return None
        return None if card is None else self._by_name.get(card.name)


def openai_name(name: str) -> JsonObject:
    """A route or an alias as OpenAI lists models."""
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}


def anthropic_name(name: str) -> JsonObject:
    """A route or an alias as Anthropic lists models."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": None,
        "max_tokens": None,
    }


def openai_model(card: ModelCard) -> JsonObject:
    """A card as OpenAI lists models; `created` is the day of its first price."""
    return {"id": card.name, "object": "model", "created": int(_since(card).timestamp()), "owned_by": card.provider}


def anthropic_model(card: ModelCard) -> JsonObject:
    """A card as Anthropic lists models (`ModelInfo` of its client). What has an last day is deprecated, nobody knows since when."""
    return {
        "type": "model",
        "id": card.name,
        "display_name": card.display_name,
        "created_at": _since(card).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active" if card.retires is None else "deprecated",
        "deprecated_at": None,
        "retires_at": None if card.retires is None else f"{card.retires}T00:00:00Z",
        "max_input_tokens": card.capabilities.context,
        "max_tokens": card.capabilities.max_output,
    }


def _page(models: list[JsonObject]) -> JsonObject:
    ends = (models[0]["id"], models[-1]["id"]) if models else (None, None)
    return {"data": models, "has_more": False, "first_id": ends[0], "last_id": ends[1]}


def _for_anthropic(request: Request) -> bool:
    return request.header("anthropic-version") is not None


def _since(card: ModelCard) -> datetime:
    """The day of the oldest price; the epoch for a model without one."""
    days = [price.since for price in card.prices]
    return datetime.strptime(min(days), "%Y-%m-%d").replace(tzinfo=UTC) if days else datetime.fromtimestamp(0, UTC)
