"""Any server that speaks a known wire: a record made of what a user declares, with no code of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from headgate.dialects import (
    anthropic_messages,
    batch_anthropic,
    batch_gemini,
    batch_openai_files,
    embed_gemini,
    embed_ollama,
    embed_openai,
    gemini_generate,
    ollama_chat,
    openai_chat,
    openai_responses,
)
from headgate.dialects.base import ChatDialect
from headgate.dialects.batch import BatchDialect
from headgate.dialects.embed import EmbedDialect
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.errors import ConfigError
from headgate.providers.base import Auth, Provider
from headgate.providers.quirks import with_quirks
from headgate.wire.http import Headers

_CHAT = (openai_chat, openai_responses, anthropic_messages, gemini_generate, ollama_chat)
DIALECTS: dict[str, ChatDialect] = {module.DIALECT.name: module.DIALECT for module in _CHAT}
"""The wires a declared provider may speak."""
EMBEDDINGS: dict[str, EmbedDialect] = {module.DIALECT.name: module.DIALECT for module in (embed_openai, embed_gemini, embed_ollama)}
"""The wires its embeddings may have."""
BATCHES: dict[str, tuple[BatchDialect, str]] = {
    batch_openai_files.DIALECT.name: (batch_openai_files.DIALECT, "/v1/chat/completions"),
    batch_anthropic.DIALECT.name: (batch_anthropic.DIALECT, "/v1/messages"),
    batch_gemini.DIALECT.name: (batch_gemini.DIALECT, "/v1beta/models/{model}:generateContent"),
}
"""The envelopes its batches may have, with the endpoint their rows name."""
KEY_HEADERS = {"anthropic_messages": ("x-api-key", ""), "gemini_generate": ("x-goog-api-key", "")}
WIRE_HEADERS: dict[str, Headers] = {"anthropic_messages": (("anthropic-version", "2023-06-01"),)}
"""What every call on a wire carries, unless the declaration says otherwise."""


T = TypeVar("T")


def known(table: Mapping[str, T], name: str, what: str) -> T:
    """What a table has under a name. Raises `ConfigError` listing its names."""
    if name not in table:
        raise ConfigError(f"there is no {what} {name!r}; known are {', '.join(table)}")
    return table[name]


def declared(
    name: str,
    *,
    base_url: str,
    dialect: str = "openai_chat",
    quirks: tuple[str, ...] = (),
    key_env: str | None = None,
    key_header: str | None = None,
    headers: Headers = (),
    default_model: str | None = None,
    capabilities: Capabilities = ANY_MODEL,
    allow_private: bool = False,
    embeddings: str | None = None,
    batch: str | None = None,
) -> Provider:
    """The record of a declared provider, called what it is named; without `key_env` it serves without a key.

    Raises `ConfigError` for the name of a wire or quirk that is none.
    """
    wire = known(DIALECTS, dialect, "dialect")
    envelope = None if batch is None else known(BATCHES, batch, "batch wire")
    header, prefix = KEY_HEADERS.get(dialect, ("authorization", "Bearer "))
    if key_header is not None:
        header, prefix = key_header.lower(), "Bearer " if key_header.lower() == "authorization" else ""
    return Provider(
        name=name,
        label=name,
        base_url=base_url.rstrip("/"),
        chat=with_quirks(wire, quirks),
        embed=None if embeddings is None else known(EMBEDDINGS, embeddings, "embeddings wire"),
        batch=None if envelope is None else envelope[0],
        batch_endpoint="" if envelope is None else envelope[1],
        auth=Auth(header=header, prefix=prefix, env=(key_env,) if key_env else (), optional=key_env is None),
        headers=(*(pair for pair in WIRE_HEADERS.get(dialect, ()) if pair[0] not in dict(headers)), *headers),
        default_model=default_model,
        capabilities=capabilities,
        allow_private=allow_private,
    )
