"""How a stream ends that cannot end well: an error event, and nothing that looks like a terminator (translation cases 64 and 65)."""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.base import StreamContext
from headgate.domain.events import Failed
from headgate.errors import HeadgateError
from headgate.gateway.asking import Job
from headgate.serving.envelopes import fault_of, is_providers_own
from headgate.wire.json import encode
from headgate.wire.sse import sse_event


def last_words(job: Job, error: HeadgateError) -> bytes:
    """The error event of the job's surface: a provider's own error by the dialect, ours in the surface's envelope.

    A Responses stream gets an `error` event of its own: `response.failed` would need the whole response that was begun.
    """
    if job.dialect.name == "openai_responses":
        fault = fault_of(error)
        event = {"type": "error", "code": fault.code or "server_error", "message": fault.message, "param": fault.param}
        return sse_event(encode(event), "error")
    if is_providers_own(error):
        context = StreamContext(job.target.model, job.tab.call.id, int(job.tab.call.at))
        return job.dialect.stream_encoder(context).render_event(Failed(error))
    body = encode(job.surface.envelope(fault_of(error), job.tab.call.id))
    return sse_event(body, _EVENT_NAMES.get(job.surface.name))


_EVENT_NAMES = {"anthropic": "error"}


def farewell(job: Job) -> Callable[[HeadgateError], bytes]:
    """`last_words` for whatever may still happen to the stream of `job`."""
    return lambda error: last_words(job, error)
