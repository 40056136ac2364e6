"""Redacted reasoning. The wire wants bytes in base64; Claude's are the very text that Anthropic's own wire carries (recorded traffic), so
they are read as that text and can go either way."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error

from headgate.domain.content import Thinking

BINARY = "(binary)"
"""Key of `extra`: the bytes are no text, and `redacted` is the base64 as it came."""


def from_blob(blob: str) -> Thinking:
    """The block for a `redactedContent`."""
    try:
        words = b64decode(blob, validate=True).decode("ascii")
    except (Error, ValueError):
        return Thinking(redacted=blob, extra={BINARY: True})
    return (
        Thinking(redacted=words) if words and b64encode(words.encode()).decode() == blob else Thinking(redacted=blob, extra={BINARY: True})
    )


def to_blob(block: Thinking) -> str:
    """The `redactedContent` of a block of any wire."""
    words = block.redacted or ""
    return words if block.extra and BINARY in block.extra else b64encode(words.encode("utf-8", "replace")).decode()
