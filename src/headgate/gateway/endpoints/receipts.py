"""``GET /v1/receipts`` and ``GET /v1/receipts/{id}``: what requests cost, and how that figure came about."""

from __future__ import annotations

import base64
import binascii

from headgate.gateway.money_parts import MoneyParts
from headgate.gateway.query import day, invalid, one_of, read_query, whole
from headgate.ledger.bill import bill_json, bill_of
from headgate.ledger.moments import DAY
from headgate.ledger.receipt import Receipt, receipt_json
from headgate.ledger.report import RECEIPT_FILTERS, ReceiptQuery, receipt_reading, receipts_reading
from headgate.ledger.story import tell
from headgate.ledger.viewer import viewer_of
from headgate.serving.envelopes import Refused
from headgate.serving.request import Request
from headgate.serving.response import NO_STORE, Response, json_response
from headgate.wire.json import JsonObject

VERSION = 1
"""Of the JSON of a receipt; it grows when a field changes its meaning or goes, not when one comes."""
_STATUSES = ("ok", "error", "cancelled")
_LANES = ("realtime", "batch")
_PARAMETERS = frozenset({*RECEIPT_FILTERS, "start_date", "end_date", "status", "lane", "limit", "after"})


class Receipts:
    """Receipts of the asking tenant. Those of others are not found."""

    def __init__(self, parts: MoneyParts) -> None:
        self._parts = parts

    async def get(self, request: Request) -> Response:
        """One receipt, with its bill and its story."""
        read_query(request, ())
        reading = receipt_reading(request.params[0], viewer_of(request.principal))
        receipt = await self._parts.store.read_async(reading)
        if receipt is None:
            raise Refused(404, f"there is no receipt {request.params[0][:100]!r}", code="receipt_not_found")
        document = entry(receipt)
        document["bill"] = bill_json(bill_of(receipt))
        document["why"] = tell(receipt)
        return json_response(document, headers=(NO_STORE,))

    async def list(self, request: Request) -> Response:
        """A page, newest first; `next` of one page is `after` of the page behind it."""
        query = read_query(request, _PARAMETERS)
        limit = whole(query, "limit", 1, 1000, 100)
        wanted = ReceiptQuery(
            **{name: query.get(name) for name in RECEIPT_FILTERS},
            status=one_of(query, "status", _STATUSES, "ok") if "status" in query else None,
            lane=one_of(query, "lane", _LANES, "realtime") if "lane" in query else None,
            since=day(query, "start_date", 0.0) if "start_date" in query else None,
            until=day(query, "end_date", 0.0) + DAY if "end_date" in query else None,
            before=read_cursor(query["after"]) if "after" in query else None,
            limit=limit + 1,
        )
        reading = receipts_reading(wanted, viewer_of(request.principal))
        found = await self._parts.store.read_async(reading)
        page, more = found[:limit], len(found) > limit
        document: JsonObject = {"object": "list", "data": [entry(receipt) for receipt in page], "has_more": more}
        document["next"] = cursor_of(page[-1]) if more else None
        return json_response(document, headers=(NO_STORE,))


def entry(receipt: Receipt) -> JsonObject:
    """A receipt as it stands in answers."""
    return {"object": "receipt", "version": VERSION, **receipt_json(receipt)}


def cursor_of(receipt: Receipt) -> str:
    """The place in the list behind `receipt`."""
    return base64.urlsafe_b64encode(f"{receipt.at!r} {receipt.id}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[float, str]:
    """The place a cursor stands for. Raises `Refused`."""
    try:
        at, _, id = base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True).decode().partition(" ")
        return float(at), id
    except (binascii.Error, ValueError) as error:
        raise invalid("after", "after must be the `next` of an earlier page") from error
