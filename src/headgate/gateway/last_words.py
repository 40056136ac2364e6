"""How a stream ends that cannot end well: an error event, and nothing that looks like a terminator (translation cases 64 and 65)."""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.base import ChatDialect, StreamContext
from headgate.domain.events import Failed
from headgate.errors import HeadgateError
from headgate.gateway.asking import Job
from headgate.serving.envelopes import Surface, fault_of, is_providers_own
from headgate.wire.json import encode
from headgate.wire.sse import sse_event

LastWords = Callable[[HeadgateError], bytes]


def words_of(surface: Surface, dialect: ChatDialect, model: str, id: str, created: int) -> LastWords:
    """The error event of a surface: a provider's own error by the dialect, ours in the surface's envelope.

    A Responses stream gets an `error` event of its own: `response.failed` would need the whole response that was begun.
    """

    def say(error: HeadgateError) -> bytes:
        if dialect.name == "openai_responses":
            fault = fault_of(error)
            event = {"type": "error", "code": fault.code or "server_error", "message": fault.message, "param": fault.param}
            return sse_event(encode(event), "error")
        if is_providers_own(error):
            return dialect.stream_encoder(StreamContext(model, id, created)).render_event(Failed(error))
        return sse_event(encode(surface.envelope(fault_of(error), id)), _EVENT_NAMES.get(surface.name))

    return say


def farewell(job: Job) -> LastWords:
    """The last words of whatever may still happen to the stream of `job`."""
    errand = job.visit.errand
    return words_of(job.surface, job.dialect, job.target.model, errand.id, int(errand.at))


def last_words(job: Job, error: HeadgateError) -> bytes:
    """The last words of a stream that ends with `error`."""
    return farewell(job)(error)


_EVENT_NAMES = {"anthropic": "error"}
