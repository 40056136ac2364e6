"""OpenAI's chat completions, the wire most providers and clients speak (OpenAI API reference, "Chat"; recorded traffic)."""

from __future__ import annotations

from headgate.dialects.base import ChatDialect
from headgate.dialects.openai_chat.encoder import Encoder
from headgate.dialects.openai_chat.errors import parse_error, render_error
from headgate.dialects.openai_chat.render import render_request
from headgate.dialects.openai_chat.request import parse_request
from headgate.dialects.openai_chat.response import parse_response, render_response
from headgate.dialects.openai_chat.skim import plain_usage, skim
from headgate.dialects.openai_chat.stream import Decoder
from headgate.dialects.openai_chat.tap import stream_tap
from headgate.dialects.openai_chat.words import NAME

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
    stream_tap=stream_tap,
    skim=skim,
    plain_usage=plain_usage,
)

__all__ = ["DIALECT"]
