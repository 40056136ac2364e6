"""The list of models: in OpenAI's shape, in Anthropic's for a client that sends ``anthropic-version``, in Google's for its clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from headgate.catalog.cards import Kind, ModelCard
from headgate.errors import ConfigError
from headgate.gateway.parts import GatewayParts
from headgate.gateway.visible import no_such_model
from headgate.ledger.principal import Principal
from headgate.ledger.rights import may_call
from headgate.serving.envelopes import Fault, anthropic_envelope, fault_of, gemini_envelope, openai_envelope
from headgate.serving.request import Request
from headgate.serving.response import Response, json_response
from headgate.wire.json import JsonObject

OWNER = "headgate"
"""Whose the names of the settings are."""


class Shape(msgspec.Struct, frozen=True):
    """How models are told: a route or an alias (`name`, and what it is for), a card, all of them, or that there is none."""

    name: Callable[[str, Kind | None], JsonObject]
    card: Callable[[ModelCard], JsonObject]
    page: Callable[[Sequence[JsonObject]], JsonObject]
    envelope: Callable[[Fault, str], JsonObject]


class Models:
    """The routes and aliases of the settings and the models of the catalog, as far as they are shown: those the bearer may call."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._cards = {card.name: card for card in parts.models if card.status != "retired"}
        self._told: dict[tuple[int, str], JsonObject] = {}

    async def list(self, request: Request) -> Response:
        """All of them, on one page."""
        shape = shape_of(request)
        names = [name for name in self._parts.router.table.names if self._leads_somewhere(request.principal, name)]
        shown = [card for name, card in self._cards.items() if name not in names and may_call(request.principal, name)]
        told = [*(shape.name(name, self._kind(name)) for name in names), *(self._shown(shape, card) for card in shown)]
        return json_response(shape.page(told))

    async def get(self, request: Request) -> Response:
        """One of them, by any name a chat request could use. An unknown one and a hidden one answer alike (translation case 110)."""
        name, shape = request.params[0], shape_of(request)
        if name in self._parts.router.table.names and self._leads_somewhere(request.principal, name):
            return json_response(shape.name(name, self._kind(name)))
        card = self._cards.get(name) or self._resolved(name)
        if card is None or not may_call(request.principal, card.name):
            return json_response(shape.envelope(fault_of(no_such_model(name)), ""), 404)
        return json_response(self._shown(shape, card))

    def _shown(self, shape: Shape, card: ModelCard) -> JsonObject:
        """A card as it is told, which is put together once."""
        found = self._told.get((id(shape), card.name))
        if found is None:
            found = self._told[id(shape), card.name] = shape.card(card)
        return found

    def _leads_somewhere(self, principal: Principal, name: str) -> bool:
        """Whether the bearer may call a name of the settings, or a model it stands for."""
        candidates = self._parts.router.table.find(name).candidates
        return any(may_call(principal, one) for one in (name, *(candidate.deployment.name for candidate in candidates)))

    def _kind(self, name: str) -> Kind | None:
        """What the models are for that a name of the settings stands for: what the first of them is."""
        candidates = self._parts.router.table.find(name).candidates
        return candidates[0].deployment.kind if candidates else None

    def _resolved(self, name: str) -> ModelCard | None:
        try:
            card = self._parts.resolve(name).card
        except ConfigError:
            return None
        return None if card is None else self._cards.get(card.name)


def openai_name(name: str, kind: Kind | None = None) -> JsonObject:
    """A route or an alias as OpenAI lists models."""
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}


def anthropic_name(name: str, kind: Kind | None = None) -> JsonObject:
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


def google_name(name: str, kind: Kind | None = None) -> JsonObject:
    """A route or an alias as Google lists models (Gemini API reference, "Models")."""
    methods = ["embedContent", "batchEmbedContents"] if kind == "embedding" else ["generateContent", "countTokens"]
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}


def google_model(card: ModelCard) -> JsonObject:
    """A card as Google lists models. What its provider does not limit has no limit here."""
    able = card.capabilities
    limits = {"inputTokenLimit": able.context, "outputTokenLimit": able.max_output}
    told: JsonObject = {**google_name(card.name, card.kind), "displayName": card.display_name}
    return {**told, **{name: limit for name, limit in limits.items() if limit is not None}, "thinking": able.reasoning != "none"}


def _openai_page(models: Sequence[JsonObject]) -> JsonObject:
    return {"object": "list", "data": [*models]}


def _anthropic_page(models: Sequence[JsonObject]) -> JsonObject:
    ends = (models[0]["id"], models[-1]["id"]) if models else (None, None)
    return {"data": [*models], "has_more": False, "first_id": ends[0], "last_id": ends[1]}


def _google_page(models: Sequence[JsonObject]) -> JsonObject:
    return {"models": [*models]}


OPENAI = Shape(openai_name, openai_model, _openai_page, openai_envelope)
ANTHROPIC = Shape(anthropic_name, anthropic_model, _anthropic_page, anthropic_envelope)
GOOGLE = Shape(google_name, google_model, _google_page, gemini_envelope)
HEADERS = (("anthropic-version", ANTHROPIC), ("x-goog-api-key", GOOGLE), ("x-goog-api-client", GOOGLE))
"""By which headers the clients of a surface are known, where several ask at one path."""


def shape_of(request: Request) -> Shape:
    """The shape for who asks: Google's where only Google's clients ask, else by their headers, else OpenAI's."""
    if request.path.startswith("/v1beta/"):
        return GOOGLE
    return next((shape for name, shape in HEADERS if request.header(name) is not None), OPENAI)


def _since(card: ModelCard) -> datetime:
    """The day of the oldest price; the epoch for a model without one."""
    days = [price.since for price in card.prices]
    return datetime.strptime(min(days), "%Y-%m-%d").replace(tzinfo=UTC) if days else datetime.fromtimestamp(0, UTC)
