"""The gateway put together: routes, surfaces and policy."""

from __future__ import annotations

from headgate.dialects import (
    anthropic_messages,
    counting,
    embed_gemini,
    embed_openai,
    gemini_generate,
    openai_chat,
    openai_completions,
    openai_responses,
)
from headgate.gateway.asking import read_ask_in_path
from headgate.gateway.endpoints.chat import Chat
from headgate.gateway.endpoints.count import Count
from headgate.gateway.endpoints.embed import Embed
from headgate.gateway.endpoints.gemini import Gemini
from headgate.gateway.endpoints.health import healthz
from headgate.gateway.endpoints.keys import Keys
from headgate.gateway.endpoints.models import Models
from headgate.gateway.endpoints.unserved import BATCHES, FILES, STORED, unserved
from headgate.gateway.parts import GatewayParts
from headgate.serving.app import App
from headgate.serving.auth import Authenticator
from headgate.serving.envelopes import Surface, anthropic_envelope, gemini_envelope, openai_envelope
from headgate.serving.metering import Meter
from headgate.serving.response import Endpoint
from headgate.serving.routes import BODY_LIMIT, Route, Routes

OPENAI = Surface("openai", openai_envelope, openai_chat.DIALECT)
COMPLETIONS = Surface("openai", openai_envelope, openai_completions.DIALECT)
RESPONSES = Surface("openai_responses", openai_envelope, openai_responses.DIALECT)
ANTHROPIC = Surface("anthropic", anthropic_envelope, anthropic_messages.DIALECT)
GEMINI = Surface("gemini", gemini_envelope, gemini_generate.DIALECT)

UNSERVED = (
    ("/v1/files", OPENAI, FILES),
    ("/v1/files/*", OPENAI, FILES),
    ("/v1/batches", OPENAI, BATCHES),
    ("/v1/batches/*", OPENAI, BATCHES),
    ("/v1/messages/batches", ANTHROPIC, BATCHES),
    ("/v1/messages/batches/*", ANTHROPIC, BATCHES),
    ("/v1/responses/*", RESPONSES, STORED),
    ("/v1/chat/completions/*", OPENAI, STORED),
)
"""What the official clients could ask for besides."""


def build_app(parts: GatewayParts, *, door: Authenticator, keys: Keys, hosts: frozenset[str] | None, body_limit: int = BODY_LIMIT) -> App:
    """The gateway as an `App`.

    `door` lets clients in (an `OpenDoor` everybody: see `serving.auth.check_binding`), `keys` are the endpoints that administer theirs;
    `hosts` are the Host names answered to (`serving.auth.allowed_hosts`; None: any); `body_limit` is in bytes.
    """
    meter = Meter(parts.ledger, parts.clock, parts.new_id)
    models = Models(parts)

    def asked(path: str, endpoint: Endpoint, surface: Surface) -> Route:
        return Route(method="POST", path=path, endpoint=endpoint, scope="completions:read", surface=surface, body_limit=body_limit)

    gemini = gemini_endpoint(parts, meter)
    routes = Routes(
        (
            asked("/v1/chat/completions", Chat(parts, meter, OPENAI), OPENAI),
            asked("/v1/completions", Chat(parts, meter, COMPLETIONS), COMPLETIONS),
            asked("/v1/responses", Chat(parts, meter, RESPONSES), RESPONSES),
            asked("/v1/embeddings", Embed(parts, meter, OPENAI, embed_openai.DIALECT), OPENAI),
            asked("/v1/messages", Chat(parts, meter, ANTHROPIC), ANTHROPIC),
            asked("/v1/responses/input_tokens", Count(parts, RESPONSES, counting.OPENAI), RESPONSES),
            asked("/v1/messages/count_tokens", Count(parts, ANTHROPIC, counting.ANTHROPIC), ANTHROPIC),
            asked("/v1beta/models/*", gemini, GEMINI),
            Route(method="GET", path="/v1/models", endpoint=models.list, scope="models:read", surface=OPENAI),
            Route(method="GET", path="/v1/models/*", endpoint=models.get, scope="models:read", surface=OPENAI),
            asked("/v1/models/*", gemini, GEMINI),
            Route(method="GET", path="/healthz", endpoint=healthz, scope=None, any_host=True),
            *keys.routes,
            *(route for row in UNSERVED for route in unserved(*row)),
        )
    )
    return App(routes, door=door, hosts=hosts, on_stop=meter.drain)


def gemini_endpoint(parts: GatewayParts, meter: Meter) -> Gemini:
    """Google's surface."""
    chat = Chat(parts, meter, GEMINI, read_ask_in_path)
    vectors = Embed(parts, meter, GEMINI, embed_gemini.DIALECT, read_ask_in_path)
    counts = Count(parts, GEMINI, counting.GEMINI, read_ask_in_path)
    return Gemini(
        {
            "generateContent": chat,
            "streamGenerateContent": chat,
            "countTokens": counts,
            "embedContent": vectors,
            "batchEmbedContents": vectors,
        }
    )
