"""Custom ids as a provider accepts them, and back: a mapping without a table, so that results can be read after any restart."""

from __future__ import annotations

import re
import string
from functools import lru_cache

import msgspec

from headgate.errors import UsageError

_PLAIN = frozenset(string.ascii_letters + string.digits)


class CustomIds(msgspec.Struct, frozen=True):
    """Which custom ids a wire takes: ASCII letters, digits and the characters of `extra`, or any text when `extra` is None.

    Every other character is written as an escape (``_`` where the wire takes it, else ``Z``) and the two hex digits of each of its bytes,
    so that ``original(safe(x)) == x`` for every id that fits. An id of allowed characters stays what it is, unless it looks escaped.
    """

    extra: str | None = None
    max_length: int = 64

    def safe(self, custom_id: str) -> str:
        """The id to send. Raises `UsageError` for an empty id and for one that is too long for the wire."""
        made = custom_id if self.extra is None else self._escaped(custom_id)
        if not made or len(made) > self.max_length:
            written = "" if made == custom_id else f" (written {made!r}, {len(made)} characters)"
            raise UsageError(f"custom id {custom_id!r}{written} must have 1 to {self.max_length} characters", hint="use shorter ids")
        return made

    def original(self, custom_id: str) -> str:
        """The id as it was before `safe`. An id that `safe` cannot have written is returned as it is."""
        if self.extra is None:
            return custom_id
        found = _escapes(self._mark).sub(_byte, custom_id)
        try:
            return found.encode("latin-1").decode() if found != custom_id else custom_id
        except UnicodeError:
            return custom_id

    @property
    def _mark(self) -> str:
        return "_" if "_" in (self.extra or "") else "Z"

    def _escaped(self, custom_id: str) -> str:
        allowed = _PLAIN | set(self.extra or "")
        lookalike = _escapes(self._mark)
        return "".join(
            char if char in allowed and not (char == self._mark and lookalike.match(custom_id, place)) else self._hex(char)
            for place, char in enumerate(custom_id)
        )

    def _hex(self, char: str) -> str:
        return "".join(f"{self._mark}{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=4)
def _escapes(mark: str) -> re.Pattern[str]:
    return re.compile(f"{mark}([0-9a-f]{{2}})")


def _byte(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


ANY_TEXT = CustomIds(None, 512)
"""A wire that takes any id."""
