"""Text from users, models and providers made safe to show."""

from __future__ import annotations

_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


def counted(number: int, noun: str) -> str:
    """``1 unit``, ``1,000 units``: how many there are of what a regular English noun names."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{number:,} {noun.removesuffix('y')}ies"
    return f"{number:,} {noun}{'es' if noun.endswith(('ch', 's', 'x')) else 's'}"


def sanitize(text: str) -> str:
    """`text` without what could drive a terminal: control characters but line feed and tab, and direction overrides."""
    return "".join(c if c in "\n\t" or (c.isprintable() and c not in _DIRECTION) else "\N{REPLACEMENT CHARACTER}" for c in text)
