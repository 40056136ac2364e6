"""``GET /metrics``: counts for Prometheus."""

from __future__ import annotations

from headgate.observe.exposition import CONTENT_TYPE
from headgate.observe.scrape import Scraper
from headgate.serving.request import Request
from headgate.serving.response import NO_STORE, Response


class MetricsPage:
    """The counts of every process of this gateway."""

    def __init__(self, scraper: Scraper) -> None:
        self._scraper = scraper

    async def __call__(self, request: Request) -> Response:
        """The text format, version 0.0.4. Raises `StoreError` when the counts of the other processes cannot be had."""
        return Response(200, (("content-type", CONTENT_TYPE), NO_STORE), await self._scraper.text())
