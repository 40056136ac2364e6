"""First come, first served within a tenant, and tenants in turn: a hundred of one do not hold up another's one (faults C17). Pure."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Queued(Protocol):
    """What waits. `ticket` says who came first, whichever queues it has been through."""

    tenant: str
    ticket: int


Q = TypeVar("Q", bound=Queued)


class FairQueue(Generic[Q]):
    """Waiting ones by tenant; the tenant whose turn it is stands first."""

    __slots__ = ("_lines", "_size")

    def __init__(self) -> None:
        self._lines: OrderedDict[str, list[Q]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, one: Q) -> None:
        """Stand in line: among the tenant's own by ticket, and a tenant who had none waiting behind the others."""
        insort(self._lines.setdefault(one.tenant, []), one, key=lambda other: other.ticket)
        self._size += 1

    def head(self) -> Q | None:
        """Whose turn it is."""
        return next((line[0] for line in self._lines.values()), None)

    def take(self) -> None:
        """Whose turn it is leaves, and the turn passes to the next tenant."""
        tenant, line = next(iter(self._lines.items()))
        self.discard(line[0])
        if tenant in self._lines:
            self._lines.move_to_end(tenant)

    def discard(self, one: Q) -> bool:
        """Leave, from wherever it stands. False when it does not stand here."""
        line = self._lines.get(one.tenant, [])
        if one not in line:
            return False
        line.remove(one)
        self._size -= 1
        if not line:
            del self._lines[one.tenant]
        return True
