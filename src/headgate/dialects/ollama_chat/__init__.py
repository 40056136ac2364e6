"""Ollama's native chat, ``POST /api/chat``: requests, answers, NDJSON streams and errors, both directions."""

from __future__ import annotations

from headgate.dialects.base import ChatDialect
from headgate.dialects.ollama_chat.context import review
from headgate.dialects.ollama_chat.encoder import Encoder
from headgate.dialects.ollama_chat.errors import parse_error, render_error
from headgate.dialects.ollama_chat.render import render_request
from headgate.dialects.ollama_chat.request import parse_request
from headgate.dialects.ollama_chat.response import parse_response, render_response
from headgate.dialects.ollama_chat.stream import Decoder
from headgate.dialects.ollama_chat.words import NAME

DIALECT = ChatDialect(
    name=NAME,
    render_request=render_request,
    parse_request=parse_request,
    render_response=render_response,
    parse_response=parse_response,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
    render_error=render_error,
    parse_error=parse_error,
    stream_type="application/x-ndjson",
    review=review,
)

__all__ = ["DIALECT"]
