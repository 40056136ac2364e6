"""Which request targets have a fast endpoint."""

from __future__ import annotations

from collections.abc import Callable

from headgate.gateway.endpoints.chat import Chat
from headgate.gateway.fast.chat import FastChat
from headgate.gateway.parts import GatewayParts
from headgate.gateway.surfaces import ANTHROPIC, COMPLETIONS, OPENAI, RESPONSES
from headgate.ledger.principal import Principal
from headgate.serving.envelopes import Surface
from headgate.serving.turn import FastEndpoint

TARGETS: tuple[tuple[str, str, Surface], ...] = (
    ("/v1/chat/completions", "", OPENAI),
    ("/v1/completions", "", COMPLETIONS),
    ("/v1/responses", "", RESPONSES),
    ("/v1/messages", "", ANTHROPIC),
    ("/v1/messages", "?beta=true", ANTHROPIC),
)
"""Path, query, surface."""


def fast_endpoints(parts: GatewayParts, find: Callable[[bytes], Principal | None]) -> dict[bytes, FastEndpoint]:
    """Fast endpoints by request target; `find` says from memory whose a key is. Inside the loop they serve in."""
    return {
        f"{path}{query}".encode(): FastChat(parts, surface, Chat(parts, surface), find, path, query) for path, query, surface in TARGETS
    }
