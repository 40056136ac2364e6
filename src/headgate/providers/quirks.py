"""What single providers do differently on a wire they share with others: a closed set, by name.

A quirk turns a chat dialect into one with the peculiarity. Providers of the package and those a user declares in ``headgate.yaml`` name
theirs; dialects know of none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from headgate.dialects.base import ChatDialect, Note, RenderedRequest, StreamDecoder
from headgate.domain.capabilities import Capabilities
from headgate.domain.events import Finished, StreamEvent
from headgate.domain.request import Request
from headgate.errors import ConfigError, Truncated

Quirk: TypeAlias = Callable[[ChatDialect], ChatDialect]


class _Undone:
    """A decoder whose stream is complete once a finish reason was seen, terminator or not."""

    def __init__(self, inner: StreamDecoder) -> None:
        self._inner = inner
        self._finished = False

    @property
    def complete(self) -> bool:
        """As the inner decoder: usage may still come after the finish reason."""
        return self._inner.complete

    def feed(self, data: bytes) -> list[StreamEvent]:
        """See `StreamDecoder.feed`."""
        return self._seen(self._inner.feed(data))

    def close(self) -> list[StreamEvent]:
        """See `StreamDecoder.close`; a missing terminator is borne after a finish reason."""
        try:
            return self._seen(self._inner.close())
        except Truncated:
            if not self._finished:
                raise
            return []

    def _seen(self, events: list[StreamEvent]) -> list[StreamEvent]:
        self._finished = self._finished or any(isinstance(event, Finished) for event in events)
        return events


def no_done(dialect: ChatDialect) -> ChatDialect:
    """Streams end without ``[DONE]`` (recorded: Perplexity, Hugging Face routers)."""
    return msgspec.structs.replace(dialect, stream_decoder=lambda: _Undone(dialect.stream_decoder()))


def _without(dialect: ChatDialect, fields: tuple[str, ...], reason: str) -> ChatDialect:
    def render(request: Request, capabilities: Capabilities) -> RenderedRequest:
        rendered = dialect.render_request(request, capabilities)
        lost = [name for name in fields if name in rendered.payload]
        if not lost:
            return rendered
        payload = {name: value for name, value in rendered.payload.items() if name not in lost}
        notes = (*rendered.notes, *(Note(name, "dropped", reason) for name in lost))
        return msgspec.structs.replace(rendered, payload=payload, notes=notes)

    return msgspec.structs.replace(dialect, render_request=render)


def no_stream_options(dialect: ChatDialect) -> ChatDialect:
    """Requests with ``stream_options`` are refused; usage comes by itself, or not at all."""
    return _without(dialect, ("stream_options",), "the provider refuses stream_options")


def no_platform_fields(dialect: ChatDialect) -> ChatDialect:
    """Requests that carry metadata, a storage wish or a cache key are refused (Groq API reference: unsupported fields)."""
    fields = ("metadata", "store", "safety_identifier", "prompt_cache_key")
    return _without(dialect, fields, "the provider refuses fields of OpenAI's platform")


def no_logprobs(dialect: ChatDialect) -> ChatDialect:
    """Requests for log probabilities or with a logit bias are refused (Groq API reference: unsupported fields)."""
    return _without(dialect, ("logprobs", "top_logprobs", "logit_bias"), "the provider knows no log probabilities")


QUIRKS: dict[str, Quirk] = {
    "no_done": no_done,
    "no_stream_options": no_stream_options,
    "no_platform_fields": no_platform_fields,
    "no_logprobs": no_logprobs,
}
"""Every quirk there is."""


def with_quirks(dialect: ChatDialect, names: tuple[str, ...]) -> ChatDialect:
    """`dialect` with the quirks of these names. Raises `ConfigError` for a name that is none."""
    for name in names:
        if name not in QUIRKS:
            raise ConfigError(f"there is no quirk {name!r}; known are {', '.join(QUIRKS)}")
        dialect = QUIRKS[name](dialect)
    return dialect
