"""Amazon Bedrock's Converse wire: ``POST /model/{modelId}/converse`` and ``/converse-stream``, both ways."""

from __future__ import annotations

from headgate.dialects.base import ChatDialect
from headgate.dialects.bedrock_converse.encoder import ConverseEncoder
from headgate.dialects.bedrock_converse.errors import parse_error, render_error
from headgate.dialects.bedrock_converse.render import render_request
from headgate.dialects.bedrock_converse.request import parse_request
from headgate.dialects.bedrock_converse.response import parse_response, render_response
from headgate.dialects.bedrock_converse.stream import ConverseDecoder
from headgate.dialects.bedrock_converse.words import NAME

DIALECT = ChatDialect(
    name=NAME,
    render_request=render_request,
    parse_request=parse_request,
    render_response=render_response,
    parse_response=parse_response,
    stream_decoder=ConverseDecoder,
    stream_encoder=ConverseEncoder,
    render_error=render_error,
    parse_error=parse_error,
    stream_type="application/vnd.amazon.eventstream",
)

__all__ = ["DIALECT"]
