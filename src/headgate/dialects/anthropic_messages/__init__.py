"""The Anthropic Messages wire: ``POST /v1/messages``, whole and streamed, both ways."""

from __future__ import annotations

from headgate.dialects.anthropic_messages.encoder import MessagesEncoder
from headgate.dialects.anthropic_messages.errors import parse_error, render_error
from headgate.dialects.anthropic_messages.render import BETAS, render_request
from headgate.dialects.anthropic_messages.request import parse_request
from headgate.dialects.anthropic_messages.response import parse_response, render_response
from headgate.dialects.anthropic_messages.skim import plain_usage, skim
from headgate.dialects.anthropic_messages.stream import MessagesDecoder
from headgate.dialects.anthropic_messages.structured import unwrap_structured
from headgate.dialects.anthropic_messages.words import NAME
from headgate.dialects.base import ChatDialect

DIALECT = ChatDialect(
    name=NAME,
    render_request=render_request,
    parse_request=parse_request,
    render_response=render_response,
    parse_response=parse_response,
    stream_decoder=MessagesDecoder,
    stream_encoder=MessagesEncoder,
    render_error=render_error,
    parse_error=parse_error,
    skim=skim,
    plain_usage=plain_usage,
)

__all__ = ["BETAS", "DIALECT", "unwrap_structured"]
