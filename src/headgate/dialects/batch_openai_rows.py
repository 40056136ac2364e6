"""Rows of OpenAI's result files, and of those who write them alike (OpenAI API reference, "Batch"; recorded traffic)."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from headgate.dialects.batch import BatchRow
from headgate.dialects.batch_ids import CustomIds
from headgate.dialects.batch_tables import OPENAI
from headgate.dialects.openai_chat.errors import parse_error, provider_error
from headgate.errors import ErrorKind, ProviderError
from headgate.wire.json import Json, JsonObject
from headgate.wire.ndjson import LineDecoder

_BOM = b"\xef\xbb\xbf"

RowFailure: TypeAlias = Literal["errored", "expired", "cancelled"]
_ROW_OUTCOMES: dict[str, RowFailure] = {"batch_expired": "expired", "batch_cancelled": "cancelled"}


class _Answer(msgspec.Struct):
    status_code: Json = None
    request_id: Json = None
    body: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct):
    """Types are checked after decoding, so that one odd field does not cost the answer beside it."""

    custom_id: Json = None
    response: _Answer | None = None
    error: Json = None


_decode_line = msgspec.json.Decoder(_Line).decode


class Rows:
    """Reads an output or error file. Lines end at line feeds only, so U+2028 inside a string splits nothing (case 23)."""

    def __init__(self, kind: Literal["output", "error"], ids: CustomIds = OPENAI.ids) -> None:
        self._kind = kind
        self._ids = ids
        self._lines = LineDecoder()
        self._number = 0

    def feed(self, data: bytes) -> list[BatchRow]:
        """Rows completed by these bytes. Raises `TooLarge` for a line of 64 MB."""
        return self._rows(self._lines.feed(data))

    def close(self) -> list[BatchRow]:
        """The last row, when its line feed is missing."""
        return self._rows(self._lines.close())

    def _rows(self, lines: list[bytes]) -> list[BatchRow]:
        rows: list[BatchRow] = []
        for line in lines:
            self._number += 1
            text = line.removeprefix(_BOM) if self._number == 1 else line
            if text.strip():
                rows.append(parse_row(text, self._number, self._ids))
        return rows


def parse_row(line: bytes, number: int, ids: CustomIds = OPENAI.ids) -> BatchRow:
    """Read one result line. A torn line becomes a row without id and spoils nothing else (case 10)."""
    try:
        row = _decode_line(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        return _unreadable(number, f"line {number} of the results could not be read: {cause}", line)
    except RecursionError:
        return _unreadable(number, f"line {number} of the results is nested too deeply", line)
    answer = row.response or _Answer()
    status_code = answer.status_code if type(answer.status_code) is int else None
    body = bytes(answer.body)
    error: ProviderError | None = None
    outcome: Literal["succeeded", "errored", "expired", "cancelled"] = "errored"
    if row.error and isinstance(row.error, dict):
        outcome, error = _outcome(row.error), provider_error(status_code, {}, row.error, line)
    elif status_code is not None and not 200 <= status_code < 300:
        error = parse_error(status_code, {}, body)
    elif not body.startswith(b"{"):
        error = ProviderError(ErrorKind.UNKNOWN, f"line {number} of the results has no answer", body=line[:4096])
    else:
        outcome = "succeeded"
    name = _ref(row.custom_id)
    name = None if name is None else ids.original(name)
    return BatchRow(name, outcome, number, status_code, body if error is None else None, error, _ref(answer.request_id))


def _outcome(error: JsonObject) -> RowFailure:
    code = error.get("code")
    return _ROW_OUTCOMES.get(code, "errored") if isinstance(code, str) else "errored"


def _unreadable(number: int, message: str, line: bytes) -> BatchRow:
    return BatchRow(None, "errored", number, error=ProviderError(ErrorKind.UNKNOWN, message, code="invalid_json_line", body=line[:4096]))


def _ref(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None
