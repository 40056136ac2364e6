"""From the requests of a submission to rows: one way for each mode that a provider has a wire for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from headgate.batch_providers.enums import BatchMode
from headgate.batch_providers.exceptions import InvalidRequest
from headgate.client import Target
from headgate.client.chat import prepare
from headgate.client.items import request_of
from headgate.client.jobs import endpoint_of
from headgate.dialects.base import Note
from headgate.dialects.batch import BatchRequestRow
from headgate.dialects.batch_words import facts_of
from headgate.domain.embedding import EmbedRequest
from headgate.errors import HeadgateError
from headgate.wire.json import Json, JsonObject, encode

_LOG = logging.getLogger("headgate.batch_providers")
MAX_TOKENS = {"anthropic_messages": 1024}
"""The output limit of a request that names none, by wire, where the wire must have one (BPS-24)."""
Item: TypeAlias = Mapping[str, Json]
Make: TypeAlias = Callable[[Target, Item], tuple[bytes, tuple[Note, ...]]]


def endpoint(target: Target, mode: BatchMode) -> str:
    """The endpoint of rows in this mode. Raises `InvalidRequest` (a `ValueError`) where the provider has none for batches."""
    if mode is BatchMode.CHAT:
        return endpoint_of(target)
    facts = facts_of(target.provider.name)
    offered = facts.endpoints if facts is not None else ()
    found = next((url for url in offered if _serves(url, mode)), None)
    if found is None or (mode is BatchMode.EMBEDDING and target.provider.embed is None):
        raise InvalidRequest(f"Unsupported mode for {target.provider.label}: BatchMode.{mode.name}", hint="mode=BatchMode.CHAT")
    return found


def _serves(url: str, mode: BatchMode) -> bool:
    if mode is BatchMode.COMPLETION:
        return url.endswith("/completions") and not url.endswith("/chat/completions")
    return mode is BatchMode.EMBEDDING and url.endswith("/embeddings")


def rows_of(target: Target, mode: BatchMode, requests: Sequence[Item]) -> list[BatchRequestRow]:
    """The rows of some requests, named ``request_0``, ``request_1`` … or by their own `custom_id`. Raises `InvalidRequest`."""
    url = endpoint(target, mode)
    if not requests:
        raise InvalidRequest("a batch needs at least one request", hint='requests=[{"messages": [{"role": "user", "content": "Hello"}]}]')
    rows: dict[str, BatchRequestRow] = {}
    for number, item in enumerate(requests):
        row = _row(target, mode, number, item, url)
        if row.custom_id in rows:
            raise InvalidRequest(f"requests[{number}]: the custom_id {row.custom_id!r} is there twice")
        rows[row.custom_id] = row
    return [*rows.values()]


def _row(target: Target, mode: BatchMode, number: int, item: Item, url: str) -> BatchRequestRow:
    if not isinstance(item, Mapping):
        raise InvalidRequest(f"requests[{number}] must be a mapping, not {type(item).__name__}")
    try:
        body, notes = _MAKERS[mode](target, item)
    except InvalidRequest:
        raise
    except HeadgateError as error:
        raise InvalidRequest(f"requests[{number}]: {error.message}", hint=error.hint) from error
    for note in notes:
        _LOG.warning("requests[%d]: %s is %s for %s: %s", number, note.field, note.action, target.name, note.reason)
    return BatchRequestRow(str(item.get("custom_id") or f"request_{number}"), url, body)


def _chat(target: Target, item: Item) -> tuple[bytes, tuple[Note, ...]]:
    request = request_of(item, target.model)
    limit = MAX_TOKENS.get(target.chat.name)
    if request.max_tokens is None and limit is not None:
        request = msgspec.structs.replace(request, max_tokens=limit)
    ready = prepare(target, msgspec.structs.replace(request, stream=None, stream_usage=None))
    return ready.body, ready.rendered.notes


def _completion(target: Target, item: Item) -> tuple[bytes, tuple[Note, ...]]:
    """The older completions have no dialect of their own here: what they take is passed on as it is."""
    prompt = next((item[name] for name in ("prompt", "text", "content") if item.get(name) is not None), None)
    if prompt is None:
        raise InvalidRequest("a completion needs a prompt", hint='{"prompt": "Once upon a time"}')
    rest: JsonObject = {name: value for name, value in item.items() if name not in ("prompt", "text", "content", "custom_id", "model")}
    return encode({"model": target.model, "prompt": prompt, **rest}), ()


def _embedding(target: Target, item: Item) -> tuple[bytes, tuple[Note, ...]]:
    given = next((item[name] for name in ("input", "text", "content") if item.get(name) is not None), None)
    texts: list[Json] = [*given] if isinstance(given, list | tuple) else [given]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise InvalidRequest("an embedding needs a text, or a list of texts", hint='{"input": "a text"}')
    assert target.provider.embed is not None
    asked = EmbedRequest(model=target.model, inputs=tuple(texts), dimensions=item.get("dimensions"), user=item.get("user"))
    rendered = target.provider.embed.render_request(asked, target.capabilities)
    return encode(rendered.payload), rendered.notes


_MAKERS: dict[BatchMode, Make] = {BatchMode.CHAT: _chat, BatchMode.COMPLETION: _completion, BatchMode.EMBEDDING: _embedding}
