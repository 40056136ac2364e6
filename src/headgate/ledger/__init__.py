"""Receipts: what every request cost, exactly, and how that figure came about."""

from headgate.ledger.book import Ledger
from headgate.ledger.receipt import Attempt, Filter, Receipt, Settlement, Total, new_id, receipt_json

__all__ = ["Attempt", "Filter", "Ledger", "Receipt", "Settlement", "Total", "new_id", "receipt_json"]
