"""The gateway put together: routes, surfaces and policy."""

from __future__ import annotations

from headgate.config import Secret
from headgate.dialects import anthropic_messages, openai_chat
from headgate.gateway.endpoints.chat import Chat
from headgate.gateway.endpoints.health import healthz
from headgate.gateway.endpoints.models import Models
from headgate.gateway.parts import GatewayParts
from headgate.serving.app import App
from headgate.serving.envelopes import Surface, anthropic_envelope, openai_envelope
from headgate.serving.metering import Meter
from headgate.serving.routes import BODY_LIMIT, Route, Routes

OPENAI = Surface("openai", openai_envelope, openai_chat.DIALECT)
ANTHROPIC = Surface("anthropic", anthropic_envelope, anthropic_messages.DIALECT)


def build_app(parts: GatewayParts, *, key: Secret | None, hosts: frozenset[str] | None, body_limit: int = BODY_LIMIT) -> App:
    """The gateway as an `App`.

    `key` None serves everybody (see `serving.auth.check_binding`); `hosts` are the Host names answered to (`serving.auth.allowed_hosts`;
    None: any); `body_limit` is in bytes. Raises `ConfigError` for a key that cannot serve.
    """
    meter = Meter(parts.ledger, parts.clock, parts.new_id)
    models = Models(parts)
    routes = Routes(
        (
            Route(method="POST", path="/v1/chat/completions", endpoint=Chat(parts, meter, OPENAI), surface=OPENAI, body_limit=body_limit),
            Route(method="POST", path="/v1/messages", endpoint=Chat(parts, meter, ANTHROPIC), surface=ANTHROPIC, body_limit=body_limit),
            Route(method="GET", path="/v1/models", endpoint=models.list, surface=OPENAI),
            Route(method="GET", path="/v1/models/*", endpoint=models.get, surface=OPENAI),
            Route(method="GET", path="/healthz", endpoint=healthz, auth=False, any_host=True),
        )
    )
    return App(routes, key=key, hosts=hosts, on_stop=meter.drain)
