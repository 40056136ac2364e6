"""Any server that speaks a known wire: a record made of what a user declares, with no code of its own."""

from __future__ import annotations

from headgate.dialects import anthropic_messages, gemini_generate, openai_chat
from headgate.dialects.base import ChatDialect
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.errors import ConfigError
from headgate.providers.base import Auth, Provider
from headgate.providers.quirks import with_quirks
from headgate.wire.http import Headers

DIALECTS: dict[str, ChatDialect] = {
    dialect.name: dialect for dialect in (openai_chat.DIALECT, anthropic_messages.DIALECT, gemini_generate.DIALECT)
}
"""The wires a declared provider may speak."""
KEY_HEADERS = {"anthropic_messages": ("x-api-key", ""), "gemini_generate": ("x-goog-api-key", "")}


def declared(
    name: str,
    *,
    base_url: str,
    label: str | None = None,
    dialect: str = "openai_chat",
    quirks: tuple[str, ...] = (),
    key_env: str | None = None,
    key_header: str | None = None,
    headers: Headers = (),
    default_model: str | None = None,
    capabilities: Capabilities = ANY_MODEL,
    allow_private: bool = False,
) -> Provider:
    """The record of a declared provider; without `key_env` it serves without a key.

    Raises `ConfigError` for an unknown dialect or quirk.
    """
    wire = DIALECTS.get(dialect)
    if wire is None:
        raise ConfigError(f"there is no dialect {dialect!r}; known are {', '.join(DIALECTS)}")
    header, prefix = KEY_HEADERS.get(dialect, ("authorization", "Bearer "))
    if key_header is not None:
        header, prefix = key_header.lower(), "Bearer " if key_header.lower() == "authorization" else ""
    return Provider(
        name=name,
        label=label or name,
        base_url=base_url.rstrip("/"),
        chat=with_quirks(wire, quirks),
        auth=Auth(header=header, prefix=prefix, env=(key_env,) if key_env else (), optional=key_env is None),
        headers=headers,
        default_model=default_model,
        capabilities=capabilities,
        allow_private=allow_private,
    )
