"""JSON values as they complete: a stream that is a JSON array, or one plain object where a stream was promised.

Google's stream without ``alt=sse`` is an array that grows; an error is a plain object under ``text/event-stream``.
"""

from __future__ import annotations

import re

from headgate.errors import TooLarge, WireError

_OUTSIDE = re.compile(rb'["{}\[\]]')
_INSIDE = re.compile(rb'["\\]')
_BETWEEN = re.compile(rb"[ \t\r\n\[\],]*")


class ObjectSplitter:
    """Bytes in, whole top-level objects out (as bytes); any split of the same bytes gives the same objects."""

    __slots__ = ("_depth", "_max", "_pending", "_scanned", "_string")

    def __init__(self, max_object: int) -> None:
        self._max = max_object
        self._pending = bytearray()
        self._scanned = 0
        self._depth = 0
        self._string = False

    @property
    def open(self) -> bool:
        """Whether an object has begun and not ended."""
        return self._depth > 0

    def feed(self, data: bytes) -> list[bytes]:
        """Objects completed by `data`. Raises `WireError` for bytes between objects, `TooLarge` past the cap."""
        self._pending += data
        found: list[bytes] = []
        while self._step(found):
            pass
        if len(self._pending) > self._max:
            raise TooLarge(f"a JSON object is longer than {self._max} bytes")
        return found

    def _step(self, found: list[bytes]) -> bool:
        """Scan to the next byte that matters; False when there is none yet."""
        if self._depth == 0 and not self._skip_between():
            return False
        match = (_INSIDE if self._string else _OUTSIDE).search(self._pending, self._scanned)
        if match is None:
            self._scanned = len(self._pending)
            return False
        char = self._pending[match.start()]
        if self._string and char == 0x5C:
            if match.end() == len(self._pending):
                self._scanned = match.start()
                return False
            self._scanned = match.end() + 1
            return True
        self._scanned = match.end()
        self._count(char)
        if self._depth == 0:
            found.append(bytes(self._pending[: self._scanned]))
            del self._pending[: self._scanned]
            self._scanned = 0
        return True

    def _count(self, char: int) -> None:
        if char == 0x22:
            self._string = not self._string
        elif char in b"{[":
            self._depth += 1
        else:
            self._depth -= 1

    def _skip_between(self) -> bool:
        """Drop what stands between objects; True when the next one begins."""
        between = _BETWEEN.match(self._pending)
        start = between.end() if between is not None else 0
        del between, self._pending[:start]
        if not self._pending:
            return False
        if self._pending[0] != 0x7B:
            raise WireError(f"expected a JSON object in the stream, found {bytes(self._pending[:20])!r}")
        return True
