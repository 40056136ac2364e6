"""OpenAI's Responses, a wire of typed items (OpenAI API reference, "Responses"; recorded traffic of OpenAI, xAI and others)."""

from __future__ import annotations

from headgate.dialects.base import ChatDialect
from headgate.dialects.openai_chat.errors import parse_error, render_error
from headgate.dialects.openai_responses.encoder import Encoder
from headgate.dialects.openai_responses.render import render_request
from headgate.dialects.openai_responses.request import parse_request
from headgate.dialects.openai_responses.response import parse_response, render_response
from headgate.dialects.openai_responses.stream import Decoder
from headgate.dialects.openai_responses.words import NAME, echo

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
    echo=echo,
)

__all__ = ["DIALECT"]
