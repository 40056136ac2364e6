"""What routing and money have to know of a request before it is made. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from headgate.client import Target
from headgate.domain.content import Block, Media, Opaque, Text, ToolResult
from headgate.domain.embedding import EmbedRequest
from headgate.domain.estimate import estimate_tokens
from headgate.domain.request import HostedTool, Request
from headgate.ledger.bounds import bound_of
from headgate.ledger.budgets import Bound
from headgate.router.values import Need, Wish

Asked: TypeAlias = Request | EmbedRequest
TOOLS_OVERHEAD = 2048
"""Tokens that providers put before the definitions of tools, taken for bytes."""
_MEDIA: dict[str, Need] = {"image": "vision", "document": "documents", "audio": "audio", "video": "vision"}
_FORMATS: dict[str, Need] = {"json_schema": "json_schema", "json_object": "json_object"}


def wish_of(asked: Asked, stream: bool = False) -> Wish:
    """What a request wants of routing."""
    if isinstance(asked, EmbedRequest):
        size = sum(len(item) if isinstance(item, tuple) else estimate_tokens(len(item)) for item in asked.inputs)
        return Wish(model=asked.model, operation="embed", input_tokens=size)
    blocks = list(_blocks(asked))
    needs = _needs(asked, blocks, stream)
    size = sum(len(block.text) for block in blocks if isinstance(block, Text))
    return Wish(
        model=asked.model,
        input_tokens=None if needs & {"vision", "documents", "audio"} else estimate_tokens(size),
        max_output=asked.max_tokens,
        needs=needs,
        session=asked.user,
    )


def _blocks(request: Request) -> Iterable[Block]:
    for message in request.messages:
        for block in message.content:
            yield block
            if isinstance(block, ToolResult):
                yield from block.content


def _needs(request: Request, blocks: Iterable[Block], stream: bool) -> frozenset[Need]:
    found: set[Need] = {_MEDIA[block.kind] for block in blocks if isinstance(block, Media)}
    flags: tuple[tuple[Need, bool], ...] = (
        ("tools", bool(request.tools)),
        ("reasoning", request.reasoning is not None and request.reasoning.effort != "none"),
        ("logprobs", bool(request.logprobs)),
        ("choices", (request.n or 1) > 1),
        ("stream", stream),
    )
    found.update(need for need, wanted in flags if wanted)
    if request.response_format is not None and request.response_format.kind in _FORMATS:
        found.add(_FORMATS[request.response_format.kind])
    return frozenset(found)


def bound_for(asked: Asked, target: Target, at: float, size: int, most: int | None = None) -> Bound:
    """The most that a request whose body has `size` bytes can cost at a target; `most` is a lower maximum of output than it asks for."""
    if isinstance(asked, EmbedRequest):
        return bound_of(target.card, at, size, 0)
    if asked.extra:
        return Bound(None, f"it has fields whose price is not known ({', '.join(sorted(asked.extra))[:80]})")
    return bound_of(
        target.card,
        at,
        size + (TOOLS_OVERHEAD if asked.tools else 0),
        asked.max_tokens if most is None else most,
        choices=asked.n or 1,
        remote=any(isinstance(block, Media | Opaque) for block in _blocks(asked)),
        server_tools=any(isinstance(tool, HostedTool) for tool in asked.tools),
        tier=asked.service_tier,
    )


def lowered(request: Request, most: int | None) -> Request:
    """The request with `most` as its maximum of output, where that is not None."""
    return request if most is None else msgspec.structs.replace(request, max_tokens=most)
