"""Batch rows as JSON objects in each envelope's own spelling, as users keep them in files, and back.

Envelopes write their lines themselves; these are for code that wants to see, store or change rows before they are sent (OCT-25 to OCT-27).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headgate.dialects.batch import BatchRequestRow
from headgate.errors import UsageError
from headgate.wire.json import Json, JsonObject, decode, encode


class Spelling(msgspec.Struct, frozen=True):
    """Which keys hold a row's id and its body, and whether the row names its endpoint."""

    id: str
    body: str
    endpoint: bool = False


OPENAI = Spelling("custom_id", "body", endpoint=True)
SPELLINGS: dict[str, Spelling] = {"batch_anthropic": Spelling("custom_id", "params"), "batch_gemini": Spelling("key", "request")}
"""By name of the envelope; the others are written as OpenAI writes them."""
_ALL = (OPENAI, *SPELLINGS.values())


def line_of(envelope: str, row: BatchRequestRow) -> JsonObject:
    """The row as this envelope spells it."""
    spelling = SPELLINGS.get(envelope, OPENAI)
    call = {"method": "POST", "url": row.endpoint} if spelling.endpoint else {}
    return {spelling.id: row.custom_id, **call, spelling.body: decode(row.body, fault="local")}


def row_of(line: Mapping[str, Json], endpoint: str, where: str = "the row") -> BatchRequestRow:
    """The row of a line in any spelling; without a URL of its own it goes to `endpoint`. Raises `UsageError` naming `where`."""
    for spelling in _ALL:
        id, body, url = line.get(spelling.id), line.get(spelling.body), line.get("url", endpoint)
        if isinstance(id, str) and id and isinstance(body, dict) and isinstance(url, str):
            return BatchRequestRow(id, url, encode(body))
    shapes = ", ".join(f"{{{spelling.id}, {spelling.body}}}" for spelling in _ALL)
    raise UsageError(f"{where} is no request: it must be one of {shapes}", hint="make rows with format_batch_request or prepare_payloads")
