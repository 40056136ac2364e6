"""What a request body says about routing, read without understanding it: fields stay as their bytes came, but for the few named ones.

`ROUTING_FIELDS` are ours and must not go on to a provider.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TypeAlias, TypeVar

import msgspec

from headgate.config.route_settings import read_strategy
from headgate.domain.cost import NANO
from headgate.domain.estimate import estimate_tokens
from headgate.errors import Unsupported
from headgate.router.strategies import HINTS
from headgate.router.values import Hint, Need, Operation, Wants, Wish

T = TypeVar("T")
Fields: TypeAlias = Mapping[str, msgspec.Raw]

ROUTING_FIELDS = ("provider", "provider_hint", "routing")
MAXIMA = ("max_completion_tokens", "max_tokens", "max_output_tokens")
"""Fields that bound the output, on one wire or another."""
CONTENT = ("system", "instructions", "messages", "input", "contents", "prompt")
PREFIX = 4096
"""Bytes at the beginning of a conversation that make the key of prompt-cache affinity."""
LONGEST_KEY = 256


class RoutingBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `routing` block of a request (SPN-32). `max_cost` is in dollars, `max_latency` seconds."""

    strategy: str | None = None
    max_cost: float | str | None = None
    max_latency: float | None = None
    preferred_providers: tuple[str, ...] = ()
    private: bool = False
    region: str | None = None


_MEDIA: tuple[tuple[Need, re.Pattern[bytes]], ...] = (
    ("vision", re.compile(rb'"type"\s*:\s*"(?:image|image_url|input_image)"|"mime_?[tT]ype"\s*:\s*"image/')),
    ("documents", re.compile(rb'"type"\s*:\s*"(?:document|file|input_file)"|"mime_?[tT]ype"\s*:\s*"application/pdf')),
    ("audio", re.compile(rb'"type"\s*:\s*"input_audio"|"mime_?[tT]ype"\s*:\s*"audio/')),
)
"""How media shows in bytes, on every wire: a quoted key or word inside of a text would be escaped, and is not found."""
_FORMATS = re.compile(rb'"(json_schema|json_object|responseSchema|responseJsonSchema|responseMimeType)"')
_FORMS = ("response_format", "text", "generationConfig", "output_config", "output_format")
_FALSE = frozenset({b"null", b"false", b"0", b"[]", b"{}", b'"none"'})


def read_wish(
    body: bytes,
    fields: Fields,
    *,
    model: str = "",
    operation: Operation = "chat",
    session: str | None = None,
    allowed: tuple[str, ...] = (),
) -> Wish:
    """What the request `body`, whose `fields` these are, needs. `model` is the name that was asked for, `session` what a header says.

    Raises `Unsupported` naming the field for a routing block, hint or provider that cannot be.
    """
    needs = needs_of(fields)
    media = needs & {"vision", "documents", "audio"}
    return Wish(
        model=model,
        provider=_text(fields, "provider"),
        operation=operation,
        input_tokens=None if media else estimate_tokens(len(body)),
        max_output=max_output(fields),
        needs=needs,
        session=session or session_of(fields),
        prefix=prefix_of(fields),
        allowed=allowed,
        wants=read_wants(fields),
    )


def read_wants(fields: Fields) -> Wants | None:
    """The hint and the routing block; None where there is neither. Raises `Unsupported`."""
    hint, raw = _text(fields, "provider_hint"), fields.get("routing")
    if raw is not None and bytes(raw) == b"null":
        raw = None
    if hint is None and raw is None:
        return None
    block = RoutingBlock() if raw is None else _block(raw)
    found: Hint | None = None
    if hint is not None:
        found = next((known for known in HINTS if known == hint), None)
        if found is None:
            raise Unsupported(f"provider_hint must be one of {', '.join(HINTS)}, not {hint[:40]!r}", param="provider_hint")
    try:
        strategy = None if block.strategy is None else read_strategy(block.strategy)
    except ValueError as error:
        raise Unsupported(f"routing.strategy {error}", param="routing") from error
    return Wants(
        strategy=strategy,
        hint=found,
        preferred=tuple(name.lower() for name in block.preferred_providers),
        max_cost=None if block.max_cost is None else _nanos(block.max_cost),
        max_latency=block.max_latency,
        private=block.private,
        region=block.region,
    )


def _block(raw: msgspec.Raw) -> RoutingBlock:
    try:
        return _field(raw, "routing", RoutingBlock)
    except Unsupported as error:
        raise Unsupported(error.message, param="routing", hint=f"it may have {', '.join(RoutingBlock.__struct_fields__)}") from error


def _nanos(amount: float | str) -> int:
    """Dollars as nano-dollars. Raises `Unsupported`."""
    try:
        dollars = Decimal(str(amount).removeprefix("$"))
    except InvalidOperation:
        dollars = Decimal(-1)
    if not dollars.is_finite() or not 0 <= dollars < 1_000_000_000:
        raise Unsupported(f"routing.max_cost must be an amount of dollars, not {str(amount)[:40]!r}", param="routing")
    return int(dollars * NANO)


def needs_of(fields: Fields) -> frozenset[Need]:
    """What a model must be able to do for this request, as far as its bytes show. Conservative: it may find too much, never too little."""
    found: set[Need] = set()
    flags: tuple[tuple[Need, tuple[str, ...]], ...] = (
        ("tools", ("tools", "functions")),
        ("logprobs", ("logprobs", "top_logprobs")),
        ("reasoning", ("reasoning", "reasoning_effort", "thinking")),
    )
    for need, names in flags:
        if any(_given(fields, name) for name in names):
            found.add(need)
    if _given(fields, "n") and bytes(fields["n"]) != b"1":
        found.add("choices")
    forms = _FORMATS.findall(b"".join(bytes(fields[name]) for name in _FORMS if name in fields))
    if forms:
        found.add("json_schema" if {b"json_schema", b"responseSchema", b"responseJsonSchema"} & set(forms) else "json_object")
    for name in ("messages", "input", "contents"):
        if name in fields:
            text = bytes(fields[name])
            found.update(need for need, pattern in _MEDIA if pattern.search(text))
    return frozenset(found)


def _given(fields: Fields, name: str) -> bool:
    return name in fields and bytes(fields[name]).strip() not in _FALSE


def max_output(fields: Fields) -> int | None:
    """The output the request allows; None where it does not say, or not as a number."""
    config = fields.get("generationConfig")
    if config is not None:
        try:
            return msgspec.json.decode(config, type=_Google).maxOutputTokens
        except (msgspec.ValidationError, msgspec.DecodeError):
            return None
    for name in MAXIMA:
        text = bytes(fields.get(name, b""))
        if text.isdigit() and len(text) < 12:
            return int(text)
    return None


class _Google(msgspec.Struct, frozen=True):
    maxOutputTokens: int | None = None


def session_of(fields: Fields) -> str | None:
    """What names the conversation or its user, shortest way first: the key of sticky sessions."""
    for name in ("prompt_cache_key", "conversation", "user", "safety_identifier"):
        text = bytes(fields.get(name, b""))
        if text.startswith(b'"') and 2 < len(text) <= LONGEST_KEY:
            return text[1:-1].decode("utf-8", "replace")
    return None


def prefix_of(fields: Fields) -> str:
    """A digest of how the conversation begins: requests that share it may share a provider's prompt cache."""
    digest = hashlib.blake2b(digest_size=12)
    left = PREFIX
    for name in ("tools", *CONTENT):
        if name in fields and left > 0:
            part = bytes(fields[name])[:left]
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


def _text(fields: Fields, name: str) -> str | None:
    raw = fields.get(name)
    return None if raw is None else _field(raw, name, str | None)


def _field(raw: msgspec.Raw, name: str, kind: type[T] | object) -> T:
    try:
        found: T = msgspec.json.decode(raw, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unsupported(f"{name} is not as it must be: {error}", param=name) from error
    return found
