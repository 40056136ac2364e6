"""A client's money: opened with its first call, left in order when it is closed."""

from __future__ import annotations

import asyncio
import logging

from headgate.errors import BudgetExceeded, StoreError
from headgate.ledger.budget_book import BudgetBook
from headgate.ledger.budgets import Budget, Denied
from headgate.ledger.intent import Intent
from headgate.ledger.spending import Hold, Spending
from headgate.ledger.spending_settings import SpendingSettings
from headgate.library.parts import LibraryParts
from headgate.library.terms import Terms

_LOG = logging.getLogger("headgate.library")
SLOTS = 1024
"""Attempts that the journal of a client can hold."""
AT_ONCE = 256
"""Calls of one client that are under way at once; further ones wait. Each may need several slots before it is over."""
PATIENCE = 5.0
"""Seconds that a call waits for its receipt to be committed. It is in the journal by then; a disk that has failed is not waited for."""

OWN_HINT = "Client(budget_usd=...) or headgate ask --budget USD, with a higher amount or a lower max_tokens"


class Till:
    """Reserves what calls may cost and books what they did, in the name of `terms`. Belongs to one event loop."""

    def __init__(self, parts: LibraryParts, terms: Terms) -> None:
        self.terms = terms
        self.principal = terms.principal
        self.run = terms.run or (f"client-{parts.new_id()}" if terms.budget_nanos is not None else None)
        self.spending = Spending(
            parts.ledger.database, parts.journal, parts.budgets, settings=SpendingSettings(slots=SLOTS), now=parts.clock, sole=False
        )
        self._book = BudgetBook(parts.ledger.database)
        self.room = asyncio.Semaphore(AT_ONCE)
        self._opening = asyncio.Lock()
        self._open = False

    async def ready(self) -> None:
        """Return when calls can be booked. Raises `StoreError` while they cannot: what cannot be booked is not called (faults F5)."""
        async with self._opening:
            if not self._open:
                self._open = True
                await self.spending.start()
                await self._limit()
        trouble = self.spending.trouble
        if trouble is not None:
            raise trouble

    async def _limit(self) -> None:
        """Put the client's own budget in force."""
        limit = self.terms.budget_nanos
        if limit is not None:
            scope = f"run:{self.run}"
            await self._book.set_budget(Budget(id=scope, scope=scope, limit_nanos=limit, window="total"))
            await self.spending.refresh()

    async def reserve(self, intent: Intent) -> Hold | Denied:
        """Reserve the most an attempt can cost. Raises `StoreError`."""
        return self.spending.reserve_now(intent) or await self.spending.reserve(intent)

    async def written(self) -> None:
        """Return when what was booked is committed, or after `PATIENCE`."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.spending.drain()
        except TimeoutError:
            _LOG.error("receipts could not be written yet; they are in the journal, and written as soon as the ledger takes them")

    async def close(self) -> None:
        """Commit everything and give back what is reserved; the budget of a client without a named run ends with it."""
        if not self._open:
            return
        if self.terms.budget_nanos is not None and self.terms.run is None:
            try:
                await self._book.end_budget(f"run:{self.run}")
            except StoreError as error:
                _LOG.error("the budget of run %s could not be ended: %s", self.run, error.message)
        await self.spending.stop()

    def exceeded(self, denied: Denied) -> BudgetExceeded:
        """A refusal as an error. A budget that is the client's alone ends with it, so that no command can change it."""
        own = self.terms.run is None and denied.budget.id == f"run:{self.run}"
        return BudgetExceeded(
            denied.message(),
            budget=denied.budget.id,
            left_nanos=denied.left_nanos,
            needed_nanos=denied.needed_nanos,
            resets_at=denied.resets_at,
            hint=OWN_HINT if own else denied.hint,
        )
