"""Keys that are shown masked and cannot be written anywhere by accident (PAS-05, faults J1, J2)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from typing import NoReturn

_KEY_LIKE = re.compile(r"\b(?:sk-|sk_|xai-|gsk_|gs_live_|gs_test_|AIza|hg-)[A-Za-z0-9_\-]{12,}")
SHORT = 8
"""Below this length nothing is shown."""
ROOMY = 18
"""From this length on, the first six and last three characters leave at least half hidden."""


def mask(text: str) -> str:
    """`text` as it may be shown: the first six and last three characters of a key, less of a short one, nothing of a very short one."""
    if len(text) < SHORT:
        return "***"
    if len(text) < ROOMY:
        return f"{text[:2]}…"
    return f"{text[:6]}…{text[-3:]}"


class Secret:
    """A text that prints masked and refuses to be encoded, pickled or copied. `reveal` gives it out, for the one place that needs it."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """The text itself."""
        return self.__text

    def __repr__(self) -> str:
        return f"Secret({mask(self.__text)})"

    def __str__(self) -> str:
        return mask(self.__text)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time, with another secret only."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__text.encode(), other.__text.encode())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """`text` with the given secrets, and whatever looks like a key, masked: for messages that came from elsewhere."""
    for secret in secrets:
        value = secret.reveal()
        if len(value) >= SHORT:
            text = text.replace(value, mask(value))
    return _KEY_LIKE.sub(lambda match: mask(match[0]), text)
