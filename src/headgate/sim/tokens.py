"""The simulator's own token counter: one token per four bytes of UTF-8, rounded up."""

from __future__ import annotations

MESSAGE_OVERHEAD = 4
IMAGE_TOKENS = 85
BYTES_PER_TOKEN = 4


def count(text: str) -> int:
    """Tokens of one text; 0 for an empty one."""
    size = len(text) if text.isascii() else len(text.encode())
    return -(-size // BYTES_PER_TOKEN)


def cut(text: str, limit: int) -> str:
    """The longest prefix of `text` that costs at most `limit` tokens and ends on a character."""
    return text.encode()[: max(limit, 0) * BYTES_PER_TOKEN].decode(errors="ignore")


def pieces(text: str, size: int = 12) -> list[str]:
    """`text` in stream-sized pieces; joined they give `text` again."""
    return [text[start : start + size] for start in range(0, len(text), size)]
