"""Finding what a process holds without knowing: the ledger granted it, and the answer got lost on its way.

Such a grant is counted as held, so no limit is passed; but nobody could spend it until the process ends. It is found where nothing else
explains it: in the ledger's slab of a balance that no request has open, when every batch is committed and no draw is on its way.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.ledger.accounts import Accounts
from headgate.ledger.balances import SQL, revive_if_lost, slabs_of
from headgate.store.base import Store
from headgate.store.connection import Connection


class Doubts:
    """Whether there may be such grants, and of which balances."""

    def __init__(self, store: Store, process: str, accounts: Accounts) -> None:
        self._store = store
        self._process = process
        self._accounts = accounts
        self._busy: frozenset[int] | None = frozenset()

    def arise(self) -> None:
        """A draw has failed, and nobody knows whether it was written."""
        self._busy = None

    @property
    def due(self) -> bool:
        """Whether there is something to be looked for: a balance that was busy when it was looked before is not any more."""
        return self._busy is None or (bool(self._busy) and not self._busy <= self._open())

    async def settle(self) -> None:
        """Give back what nobody knows of. Only while no draw and no batch is on its way. Raises `StoreError`."""
        process, busy, free = self._process, self._open(), self._free()
        await self._store.write(lambda connection: give_back_strays(connection, process, free, busy))
        self._busy = busy if self._busy is None else self._busy & busy

    def _open(self) -> frozenset[int]:
        return frozenset(slab.number for slab in self._accounts.slabs if slab.hard and slab.open)

    def _free(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for slab in self._accounts.slabs:
            if slab.hard:
                found[slab.number] = found.get(slab.number, 0) + slab.free
        return found


def give_back_strays(connection: Connection, process: str, free: Mapping[int, int], busy: frozenset[int]) -> None:
    """Free what `process` holds beyond `free`, of balances that are not `busy`. Inside a transaction."""
    revive_if_lost(connection, process)
    for balance, amount in slabs_of(connection, process):
        stray = amount - free.get(balance, 0)
        if stray > 0 and balance not in busy:
            connection.execute(SQL["settle_balance"], {"balance": balance, "spent": 0, "held": stray})
            connection.execute(SQL["shrink_slab"], {"process": process, "balance": balance, "held": stray})
