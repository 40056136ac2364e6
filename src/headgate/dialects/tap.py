"""Listening to a streamed answer whose bytes go by: what it cost, how it ended and what failed; its words are only gathered."""

from __future__ import annotations

from headgate.dialects.base import ChatDialect, StreamTap


def tap_of(dialect: ChatDialect) -> StreamTap:
    """A tap for one streamed answer of this dialect."""
    return dialect.stream_tap(dialect.stream_decoder(), dialect.name)
