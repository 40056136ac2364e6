"""Reproducible chance: every choice of the simulator is a hash of the seed and of what is being decided."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b, shake_256
from typing import TypeVar

T = TypeVar("T")

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
HEX = "0123456789abcdef"


def digest(*parts: object) -> bytes:
    """32 bytes that depend on every part and on their order."""
    return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=32).digest()


def share(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(digest(*parts)[:7], "big") / (1 << 56)


def token(alphabet: str, length: int, *parts: object) -> str:
    """`length` characters of `alphabet` that depend on the parts alone; for identifiers."""
    raw = shake_256("\x1f".join(map(str, parts)).encode()).digest(length)
    return raw.translate(_table(alphabet)).decode()


@cache
def _table(alphabet: str) -> bytes:
    """Every byte value -> a character of the alphabet."""
    return bytes(ord(alphabet[byte % len(alphabet)]) for byte in range(256))


class Dice:
    """A stream of choices from one seed."""

    def __init__(self, *parts: object) -> None:
        self._seed = digest(*parts)
        self._count = 0

    def below(self, limit: int) -> int:
        """An integer in ``range(limit)``; `limit` must be positive."""
        self._count += 1
        raw = blake2b(self._seed, digest_size=16, salt=self._count.to_bytes(16, "big")).digest()
        return int.from_bytes(raw, "big") % limit

    def pick(self, items: Sequence[T]) -> T:
        """One of `items`, which must not be empty."""
        return items[self.below(len(items))]
