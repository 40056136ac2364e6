"""``GET /v1/usage`` and ``GET /v1/metrics``: what was used and spent, added up in the database (SPN-30, SPN-57, PAS-32)."""

from __future__ import annotations

from headgate.domain.cost import usd_text
from headgate.gateway.money_parts import MoneyParts
from headgate.gateway.query import day, invalid, one_of, read_query
from headgate.ledger.moments import DAY, day_text, iso
from headgate.ledger.report import Grouping, UsageRow, recent_reading, sum_rows, usage_reading
from headgate.ledger.viewer import viewer_of
from headgate.serving.request import Request
from headgate.serving.response import NO_STORE, Response, json_response
from headgate.wire.json import JsonObject

GROUPS: dict[str, Grouping] = {
    "total": "total",
    "by_provider": "provider",
    "by_model": "model",
    "by_key": "key",
    "by_team": "team",
    "by_user": "user",
    "by_run": "run",
    "by_day": "day",
}
WINDOWS = {"minute": (60, 60), "hour": (3600, 24), "day": (DAY, 7)}
"""What can be asked for: the length of a bucket in seconds, and how many of them."""
USUAL_DAYS = 30
LONGEST_DAYS = 3660


class Usage:
    """Figures of the asking tenant."""

    def __init__(self, parts: MoneyParts) -> None:
        self._parts = parts

    async def usage(self, request: Request) -> Response:
        """Totals over days, both ends included, by what `group_by` says, and day by day."""
        query = read_query(request, ("start_date", "end_date", "group_by"))
        group = one_of(query, "group_by", GROUPS, "total")
        today = self._parts.clock()
        last = day(query, "end_date", today)
        first = day(query, "start_date", last - (USUAL_DAYS - 1) * DAY)
        if not first <= last < first + LONGEST_DAYS * DAY:
            raise invalid("start_date", f"start_date must not be after end_date, nor more than {LONGEST_DAYS} days before it")
        viewer = viewer_of(request.principal)
        reading = usage_reading((GROUPS[group], "day"), viewer, since=first, until=last + DAY)
        groups, daily = await self._parts.store.read_async(reading)
        document: JsonObject = {
            "object": "usage",
            "start_date": day_text(int(first) // DAY),
            "end_date": day_text(int(last) // DAY),
            "group_by": group,
            "total": figures(sum_rows(daily)),
            "groups": [{group.removeprefix("by_"): row.label, **figures(row)} for row in groups] if group != "total" else [],
            "daily_costs": [{"date": row.label, **figures(row)} for row in daily],
        }
        return json_response(document, headers=(NO_STORE,))

    async def metrics(self, request: Request) -> Response:
        """The last 60 minutes, 24 hours or 7 days: totals, by provider, and bucket by bucket."""
        query = read_query(request, ("window",))
        window = one_of(query, "window", WINDOWS, "hour")
        width, count = WINDOWS[window]
        now = self._parts.clock()
        since = now - width * count
        reading = recent_reading(viewer_of(request.principal), since, width)
        providers, buckets = await self._parts.store.read_async(reading)
        total = sum_rows(providers)
        document: JsonObject = {
            "window": window,
            "since": iso(since),
            "until": iso(now),
            "total_cost_usd": usd_text(total.cost_nanos),
            "total_requests": total.calls,
            "total_tokens": total.input_tokens + total.output_tokens,
            "unpriced_requests": total.unpriced,
            "cost_per_request": usd_text(total.cost_nanos // total.calls) if total.calls else None,
            "providers": {row.label: figures(row) for row in providers},
            "buckets": [{"start": iso(int(row.label) * width), **figures(row)} for row in buckets],
        }
        return json_response(document, headers=(NO_STORE,))


def figures(row: UsageRow) -> JsonObject:
    """The sums of a row. `cost_usd` is exact, and of the priced requests; `unpriced` counts the others."""
    return {
        "requests": row.calls,
        "errors": row.errors,
        "input_tokens": row.input_tokens,
        "cached_tokens": row.cached_tokens,
        "output_tokens": row.output_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "total_tokens": row.input_tokens + row.output_tokens,
        "cost_usd": usd_text(row.cost_nanos),
        "unpriced": row.unpriced,
    }
