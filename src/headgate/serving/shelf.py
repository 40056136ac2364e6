"""Stored answers in memory, bounded by bytes: what was not used for longest goes first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Generic[T]):
    """Values by key. `most_bytes` bounds all of them together, `largest` each one."""

    def __init__(self, most_bytes: int, largest: int) -> None:
        self.most_bytes = most_bytes
        self.largest = largest
        self._values: OrderedDict[bytes, tuple[T, int]] = OrderedDict()
        self._held = 0

    def __len__(self) -> int:
        return len(self._values)

    @property
    def held(self) -> int:
        """Bytes held."""
        return self._held

    def get(self, key: bytes) -> T | None:
        """The value, which becomes the last to go; None when there is none."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: bytes, value: T, size: int) -> bool:
        """Hold `value`, in place of what was there; False, and nothing held, when it is larger than any may be."""
        self.drop(key)
        if size > min(self.largest, self.most_bytes):
            return False
        self._values[key] = (value, size)
        self._held += size
        while self._held > self.most_bytes:
            self._held -= self._values.popitem(last=False)[1][1]
        return True

    def drop(self, key: bytes) -> None:
        """Let go of a value, if it is there."""
        found = self._values.pop(key, None)
        if found is not None:
            self._held -= found[1]

    def clear(self) -> None:
        """Let go of everything."""
        self._values.clear()
        self._held = 0
