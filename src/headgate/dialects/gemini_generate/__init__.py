"""The Gemini `generateContent` wire: requests, answers, streams and errors, both directions."""

from __future__ import annotations

from headgate.dialects.base import ChatDialect
from headgate.dialects.gemini_generate.encoder import GeminiStreamEncoder
from headgate.dialects.gemini_generate.errors import parse_error, render_error
from headgate.dialects.gemini_generate.names import NAME
from headgate.dialects.gemini_generate.render import render_request
from headgate.dialects.gemini_generate.request import parse_request
from headgate.dialects.gemini_generate.response import parse_response, render_response
from headgate.dialects.gemini_generate.stream import GeminiStreamDecoder

DIALECT = ChatDialect(
    name=NAME,
    render_request=render_request,
    parse_request=parse_request,
    render_response=render_response,
    parse_response=parse_response,
    stream_decoder=GeminiStreamDecoder,
    stream_encoder=GeminiStreamEncoder,
    render_error=render_error,
    parse_error=parse_error,
)

__all__ = ["DIALECT"]
