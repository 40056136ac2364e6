"""OpenAI's older text completions: a prompt in, its continuation out (OpenAI API reference, "Completions"; recorded traffic).

A prompt is one user message. What has no equivalent in a conversation (several prompts, tokens, a suffix, an echo) binds a request to this
wire. Envelope, errors, token counts and limits are those of chat completions.
"""

from __future__ import annotations

from headgate.dialects.base import ChatDialect
from headgate.dialects.openai_chat.errors import parse_error, render_error
from headgate.dialects.openai_completions.encoder import Encoder
from headgate.dialects.openai_completions.render import render_request
from headgate.dialects.openai_completions.request import parse_request
from headgate.dialects.openai_completions.response import parse_response, render_response
from headgate.dialects.openai_completions.stream import Decoder
from headgate.dialects.openai_completions.words import NAME

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
    conversational=False,
)

__all__ = ["DIALECT"]
