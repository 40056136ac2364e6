"""Embeddings of the simulated model: unit vectors of a text's words, the same for the same text, near for texts that share words."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from hashlib import shake_256
from struct import pack

MOST_WORDS = 12
_WORD = re.compile(r"\w+")


@lru_cache(maxsize=4096)
def _direction(word: str, size: int) -> tuple[int, ...]:
    """`size` whole numbers in -127..128 that depend on the word alone."""
    return tuple(byte - 127 for byte in shake_256(word.encode(errors="surrogatepass")).digest(size))


def vector(text: str, size: int, *, unit: bool = True) -> list[float]:
    """`size` numbers for `text`, of length 1 unless `unit` is false, each exact in 32 bits of floating point up to rounding."""
    words = _WORD.findall(text.lower())[:MOST_WORDS] or [text]
    columns = zip(*(_direction(word, size) for word in words), strict=True)
    sums = [sum(column) for column in columns]
    length = (math.sqrt(sum(item * item for item in sums)) or 1.0) if unit else 127.0
    return [round(item / length, 9) for item in sums]


def packed(numbers: list[float]) -> bytes:
    """32-bit little-endian floats."""
    return pack(f"<{len(numbers)}f", *numbers)
