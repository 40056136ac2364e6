"""The gateway put together: routes, surfaces and policy."""

from __future__ import annotations

from headgate.dialects import counting, embed_gemini, embed_openai
from headgate.gateway.asking import read_ask_in_path
from headgate.gateway.endpoints.chat import Chat
from headgate.gateway.endpoints.count import Count
from headgate.gateway.endpoints.embed import Embed
from headgate.gateway.endpoints.gemini import Gemini
from headgate.gateway.endpoints.keys import Keys
from headgate.gateway.endpoints.models import Models
from headgate.gateway.endpoints.route import RouteExplain
from headgate.gateway.endpoints.unserved import BATCHES, FILES, STORED, unserved
from headgate.gateway.operations import Operations, operations_routes, plain_operations
from headgate.gateway.parts import GatewayParts
from headgate.gateway.repeated import Repeated
from headgate.gateway.surfaces import ANTHROPIC, COMPLETIONS, GEMINI, OPENAI, RESPONSES
from headgate.serving.app import App
from headgate.serving.auth import Authenticator
from headgate.serving.envelopes import Surface
from headgate.serving.limits import BODY_LIMIT
from headgate.serving.response import Endpoint
from headgate.serving.routes import Route, Routes

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


def build_app(
    parts: GatewayParts,
    *,
    door: Authenticator,
    keys: Keys,
    hosts: frozenset[str] | None,
    body_limit: int = BODY_LIMIT,
    operations: Operations | None = None,
    further: tuple[Route, ...] = (),
) -> App:
    """The gateway as an `App`.

    `door` lets clients in (an `OpenDoor` everybody: see `serving.auth.check_binding`), `hosts` are the Host names answered to
    (`serving.auth.allowed_hosts`; None: any); the rest as for `build_routes`.
    """
    routes = build_routes(parts, keys=keys, body_limit=body_limit, operations=operations, further=further)
    return app_over(parts, routes, door=door, hosts=hosts)


def app_over(parts: GatewayParts, routes: Routes, *, door: Authenticator, hosts: frozenset[str] | None) -> App:
    """An app of these routes: see `build_app`."""
    return App(
        routes,
        door=door,
        hosts=hosts,
        on_stop=parts.spending.drain,
        load=parts.load,
        ids=parts.new_id,
        refused=lambda code: parts.count("refused", code, 1),
    )


def build_routes(
    parts: GatewayParts, *, keys: Keys, body_limit: int, operations: Operations | None = None, further: tuple[Route, ...] = ()
) -> Routes:
    """What is served. `keys` are the endpoints that administer keys; `body_limit` is in bytes; `operations` None is `plain_operations`;
    `further` are routes for what lies beside the calls."""
    models = Models(parts)

    def asked(path: str, endpoint: Endpoint, surface: Surface) -> Route:
        return Route(method="POST", path=path, endpoint=endpoint, scope="completions:read", surface=surface, body_limit=body_limit)

    def chat(path: str, surface: Surface) -> Route:
        return asked(path, Repeated(parts, surface, Chat(parts, surface)), surface)

    gemini = gemini_endpoint(parts)
    vectors = Repeated(parts, OPENAI, Embed(parts, OPENAI, embed_openai.DIALECT), operation="embed", dialect=embed_openai.DIALECT.name)
    return Routes(
        (
            chat("/v1/chat/completions", OPENAI),
            chat("/v1/completions", COMPLETIONS),
            chat("/v1/responses", RESPONSES),
            asked("/v1/embeddings", vectors, OPENAI),
            chat("/v1/messages", ANTHROPIC),
            asked("/v1/responses/input_tokens", Count(parts, RESPONSES, counting.OPENAI), RESPONSES),
            asked("/v1/messages/count_tokens", Count(parts, ANTHROPIC, counting.ANTHROPIC), ANTHROPIC),
            asked("/v1beta/models/*", gemini, GEMINI),
            asked("/v1beta/*", gemini, GEMINI),
            Route(method="GET", path="/v1/models", endpoint=models.list, scope="models:read", surface=OPENAI),
            Route(method="GET", path="/v1/models/*", endpoint=models.get, scope="models:read", surface=OPENAI),
            asked("/v1/models/*", gemini, GEMINI),
            *(
                Route(method="GET", path=path, endpoint=endpoint, scope="models:read", surface=GEMINI)
                for path, endpoint in (("/v1beta/models", models.list), ("/v1beta/models/*", models.get), ("/v1beta/*", models.get))
            ),
            *keys.routes,
            asked("/v1/route/explain", RouteExplain(parts), OPENAI),
            *operations_routes(operations or plain_operations()),
            *further,
            *(route for row in UNSERVED for route in unserved(*row)),
        )
    )


def gemini_endpoint(parts: GatewayParts) -> Gemini:
    """Google's surface."""
    chat = Repeated(parts, GEMINI, Chat(parts, GEMINI, read_ask_in_path), read_ask_in_path)
    embed = Embed(parts, GEMINI, embed_gemini.DIALECT, read_ask_in_path)
    vectors = Repeated(parts, GEMINI, embed, read_ask_in_path, "embed", embed_gemini.DIALECT.name)
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
