"""The ledger: receipts and settlements in a database. What is told to have been written has been committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from headgate.ledger.chain import append_new
from headgate.ledger.receipt import Filter, Receipt, Settlement, Total
from headgate.ledger.rows import filter_row, named_rows, receipt_of, settlement_row, stored_row, total_of
from headgate.store.base import Store
from headgate.store.connect import Synchronous
from headgate.store.connection import Connection, Row, Value
from headgate.store.open import Place, open_store
from headgate.store.statements import Statements

MIGRATIONS = "ledger"
ANY = Filter()


class Ledger:
    """Receipts over a `Store` opened with ``migrations="ledger"``. The caller closes it."""

    def __init__(self, database: Store) -> None:
        self.database = database
        self._sql = Statements.load(MIGRATIONS)

    @classmethod
    def open(cls, place: Place, *, read_only: bool = False, synchronous: Synchronous = "NORMAL") -> Ledger:
        """The ledger in a file, or at the URL of a server's database, made when absent. Raises `StoreError`, `ConfigError` for the URL."""
        return cls(open_store(place, migrations=MIGRATIONS, read_only=read_only, synchronous=synchronous))

    async def record(self, receipt: Receipt) -> bool:
        """Write a receipt and wait for the commit, shared with others. False when its id was there before: nothing is changed then."""
        return await self.database.write(self._insertion((receipt,))) == 1

    def record_now(self, receipt: Receipt) -> bool:
        """As `record`, blocking."""
        return self.database.write_now(self._insertion((receipt,))) == 1

    async def settle(self, key: str, totals: Settlement, receipts: Sequence[Receipt] = ()) -> bool:
        """Book the submission `key` once, with the receipts of its calls, in one transaction.

        False when it was settled before: nothing is changed then, whatever is passed now. The totals are what counts as spent; receipts
        are details below them, get `submission` set to `key`, and must add up: raises `ValueError` when all are given and do not.
        """
        return await self.database.write(self._settlement(key, totals, receipts))

    def settle_now(self, key: str, totals: Settlement, receipts: Sequence[Receipt] = ()) -> bool:
        """As `settle`, blocking."""
        return self.database.write_now(self._settlement(key, totals, receipts))

    def settled(self, key: str) -> bool:
        """Whether the submission has been settled."""
        return bool(self._found("settled", {"key": key}))

    def get(self, id: str) -> Receipt | None:
        """The receipt `id`."""
        return next(map(receipt_of, self._found("receipt_by_id", {"id": id})), None)

    def list(self, wanted: Filter = ANY) -> tuple[Receipt, ...]:
        """Receipts, newest first, at most `wanted.limit` of them."""
        return tuple(map(receipt_of, self._found("receipts", filter_row(wanted))))

    def totals(self, wanted: Filter = ANY) -> tuple[Total, ...]:
        """What was spent, by provider, account, model and lane. `status`, `submission`, `before` and `limit` of the filter do not apply.

        A submission counts by its totals, the calls inside it are not counted again.
        """
        values = filter_row(wanted)
        return tuple(map(total_of, self.database.read(lambda connection: named_rows(connection.execute(self._sql["totals"], values)))))

    def close(self) -> None:
        """Wait for what is queued and close the database."""
        self.database.close()

    def _found(self, statement: str, values: dict[str, Value]) -> Sequence[Row]:
        return self.database.read(lambda connection: connection.execute(self._sql[statement], values).fetchall())

    def insertion(self, receipt: Receipt) -> Callable[[Connection], int]:
        """A write function that records `receipt`, for whoever puts it into a transaction with something else. Gives 0 or 1, its rows."""
        return self._insertion((receipt,))

    def _insertion(self, receipts: Sequence[Receipt]) -> Callable[[Connection], int]:
        rows = [stored_row(receipt) for receipt in receipts]
        return lambda connection: len(append_new(connection, rows))

    def _settlement(self, key: str, totals: Settlement, receipts: Sequence[Receipt]) -> Callable[[Connection], bool]:
        parts = [msgspec.structs.replace(receipt, submission=key) for receipt in receipts]
        _check_sum(key, totals, parts)
        insert = self._insertion(parts)
        row = settlement_row(key, totals)

        def settle(connection: Connection) -> bool:
            if connection.execute(self._sql["insert_settlement"], row).rowcount == 0:
                return False
            insert(connection)
            return True

        return settle


def _check_sum(key: str, totals: Settlement, receipts: Sequence[Receipt]) -> None:
    """Refuse receipts that do not add up to what they are settled for: one of the two would be wrong for ever."""
    if not receipts:
        return
    if totals.calls != len(receipts):
        raise ValueError(f"{key}: {totals.calls} calls are settled with {len(receipts)} receipts")
    priced = [receipt.cost_nanos for receipt in receipts if receipt.cost_nanos is not None]
    if (totals.cost_nanos, totals.unpriced) != (sum(priced), len(receipts) - len(priced)):
        raise ValueError(f"{key}: the receipts add up to {sum(priced)} nano-dollars, the settlement says {totals.cost_nanos}")
