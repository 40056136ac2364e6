"""Same dialect on both sides: the client's bytes go on, the provider's bytes come back, and a decoder only listens (architecture §1)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from headgate.client import upstream
from headgate.client.target import refusal, upstream_id
