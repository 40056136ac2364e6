"""What every embeddings wire format offers: the same shape as a chat dialect, without streams."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.dialects.base import RenderedError, RenderedRequest
from headgate.domain.capabilities import Capabilities
from headgate.domain.embedding import EmbedRequest, EmbedResponse
from headgate.errors import ProviderError


class EmbedDialect(msgspec.Struct, frozen=True):
    """One embeddings wire format.

    * `max_inputs(model)`: how many inputs one call may carry; more are split over several calls by the client (translation case 108).
    * `render_request(request, capabilities)`: raises `Unsupported` for what must be refused; every other loss is a `Note`.
    * `parse_request(body, path)`: raises `WireError` with `param` for malformed input.
    * `render_response(response, request)`: `request` says how the caller wants the vectors written.
    * `parse_response(body, headers)`: raises `ProviderError` for a 200 with an error in it, `WireError` for what is no answer. `headers`
      have lower-case keys; some providers count tokens there only.
    * `render_error(error)` / `parse_error(status, headers, body)`: as in `ChatDialect`.
    """

    name: str
    max_inputs: Callable[[str], int]
    render_request: Callable[[EmbedRequest, Capabilities], RenderedRequest]
    parse_request: Callable[[bytes, str], EmbedRequest]
    render_response: Callable[[EmbedResponse, EmbedRequest], bytes]
    parse_response: Callable[[bytes, dict[str, str]], EmbedResponse]
    render_error: Callable[[ProviderError], RenderedError]
    parse_error: Callable[[int, dict[str, str], bytes], ProviderError]
