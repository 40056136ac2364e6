"""How many tokens a request has: the provider's word where it gives one, else an estimate that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from headgate.client.chat import CONTENT_TYPE, ChatClient
from headgate.client.target import Target
from headgate.dialects.counting import CountDialect
from headgate.domain.content import Block, Media, Opaque, Text, ToolCall, ToolResult
from headgate.domain.estimate import estimate_tokens
from headgate.domain.request import Request, Tool
from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.transport.http1 import HttpClient
from headgate.wire.http import Send
from headgate.wire.json import encode, encode_text

PER_MESSAGE = 8
"""Tokens templates add to each message, at most."""
Tokenizer = Callable[[str], int]
"""From a text to its number of tokens (`tiktoken`, for instance)."""


class TokenCount(msgspec.Struct, frozen=True):
    """Tokens of a request's input. `source` says who counted; `at_most` is a bound from its bytes, None with media in it."""

    tokens: int
    source: Literal["provider", "tokenizer", "estimated"]
    at_most: int | None = None


async def count_tokens(http: HttpClient, target: Target, request: Request, tokenizer: Tokenizer | None = None) -> TokenCount:
    """Count the input of `request`: by the provider's own endpoint, else with `tokenizer`, else at four bytes a token.

    Raises `Unsupported` for what the target cannot express, and `ProviderError` when a provider that counts refuses. A model whose
    provider counts, but not for this model, is estimated.
    """
    named = msgspec.structs.replace(request, model=target.model)
    bound = at_most(named)
    if target.provider.count is not None:
        try:
            return TokenCount(await _asked(http, target, target.provider.count, named), "provider", bound)
        except ProviderError as error:
            if error.kind not in (ErrorKind.NOT_FOUND, ErrorKind.UNSUPPORTED):
                raise
    if tokenizer is not None:
        return TokenCount(sum(tokenizer(text) + PER_MESSAGE for text in _texts(named)), "tokenizer", bound)
    return TokenCount(estimate_tokens(sum(len(text.encode("utf-8", "replace")) for text in _texts(named))), "estimated", bound)


async def _asked(http: HttpClient, target: Target, dialect: CountDialect, request: Request) -> int:
    rendered = dialect.render_request(request, target.capabilities)
    call = Send("POST", rendered.path, encode(rendered.payload), (CONTENT_TYPE, *rendered.headers))
    reply = await ChatClient(http).send(target, call)
    try:
        return dialect.parse_response(reply.body)
    except WireError as error:
        message = f"{target.provider.label} answered no count: {error.message}"
        raise ProviderError(ErrorKind.SERVER, message, code="upstream_bad_content", provider=target.provider.name) from error


def at_most(request: Request) -> int | None:
    """A number of tokens the text of a request cannot exceed: one for each of its bytes, and what templates add. None with media in it."""
    if any(isinstance(block, Media | Opaque) for message in request.messages for block in _flat(message.content)):
        return None
    texts = list(_texts(request))
    return sum(len(text.encode("utf-8", "replace")) for text in texts) + PER_MESSAGE * (len(texts) + 1)


def _texts(request: Request) -> Iterator[str]:
    for message in request.messages:
        yield "".join(_words(block) for block in _flat(message.content))
    for tool in request.tools:
        yield encode_text([tool.name, tool.description, tool.schema]) if isinstance(tool, Tool) else encode_text(tool.raw)
    if request.response_format is not None and request.response_format.schema is not None:
        yield encode_text(request.response_format.schema)


def _flat(blocks: tuple[Block, ...]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, ToolResult):
            yield from _flat(block.content)


def _words(block: Block) -> str:
    if isinstance(block, ToolCall):
        return block.name + block.arguments
    return block.text if isinstance(block, Text) else getattr(block, "text", None) or ""
