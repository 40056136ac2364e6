"""Results of xAI's batches: one JSON value a line, with a chat completion or the reason why there is none (xAI API reference)."""

from __future__ import annotations

from typing import Literal

import msgspec

from headgate.dialects.batch import BatchRow
from headgate.dialects.batch_tables import XAI
from headgate.dialects.openai_chat.errors import provider_error
from headgate.errors import ErrorKind, ProviderError
from headgate.wire.json import Json
from headgate.wire.ndjson import LineDecoder

_RPC: dict[int, ErrorKind] = {
    1: ErrorKind.CANCELLED,
    3: ErrorKind.BAD_REQUEST,
    4: ErrorKind.TIMEOUT,
    5: ErrorKind.NOT_FOUND,
    7: ErrorKind.PERMISSION,
    8: ErrorKind.RATE_LIMIT,
    13: ErrorKind.SERVER,
    14: ErrorKind.OVERLOADED,
    16: ErrorKind.AUTH,
}
"""google.rpc.Code of a failed row -> kind."""


class _Line(msgspec.Struct):
    batch_request_id: Json = None
    batch_result: Json = None
    error_message: Json = None


class _Body(msgspec.Struct):
    """The answer beside its row, kept as bytes."""

    chat_get_completion: msgspec.Raw = msgspec.Raw()


class _Result(msgspec.Struct):
    response: _Body | None = None


class _Answered(msgspec.Struct):
    batch_result: _Result | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_answer = msgspec.json.Decoder(_Answered).decode


class ResultLines:
    """Reads rows that `results` kept, one JSON value a line."""

    def __init__(self) -> None:
        self._lines = LineDecoder()
        self._number = 0

    def feed(self, data: bytes) -> list[BatchRow]:
        """Rows completed by these bytes. Raises `TooLarge` for a line of 64 MB."""
        return self._rows(self._lines.feed(data))

    def close(self) -> list[BatchRow]:
        """The last row, when its line feed is missing."""
        return self._rows(self._lines.close())

    def _rows(self, lines: list[bytes]) -> list[BatchRow]:
        rows = []
        for line in lines:
            self._number += 1
            if line.strip():
                rows.append(parse_row(line, self._number))
        return rows


def parse_row(line: bytes, number: int) -> BatchRow:
    """Read one result. One that cannot be read becomes a row without id and spoils nothing else."""
    try:
        row = _decode_line(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        problem = ProviderError(ErrorKind.UNKNOWN, f"result {number} could not be read: {cause}", code="invalid_line", body=line[:4096])
        return BatchRow(None, "errored", number, error=problem)
    name = row.batch_request_id
    name = XAI.ids.original(name) if isinstance(name, str) and name else None
    body = _answer(line)
    if body is not None:
        return BatchRow(name, "succeeded", number, 200, body)
    result = row.batch_result if isinstance(row.batch_result, dict) else {}
    return _failed(name, number, result.get("error") or row.error_message, line)


def _answer(line: bytes) -> bytes | None:
    """The chat completion inside a result, as it stands there; None when there is none."""
    try:
        found = _decode_answer(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    response = found.batch_result.response if found.batch_result else None
    body = bytes(response.chat_get_completion) if response else b""
    return body if body[:1] == b"{" else None


def _failed(name: str | None, number: int, given: Json, line: bytes) -> BatchRow:
    """A row that did not succeed: a google.rpc status, an error object of the API, or a bare message."""
    wire = given if isinstance(given, dict) else {"message": given} if isinstance(given, str) else {}
    code = wire.get("code")
    if type(code) is int and code in _RPC:
        error = ProviderError(_RPC[code], str(wire.get("message") or f"code {code}"), code=str(code), body=line[:4096])
    else:
        error = provider_error(None, {}, wire or {"message": f"result {number} has neither an answer nor an error"}, line)
    return BatchRow(name, _OUTCOMES.get(error.kind, "errored") if type(code) is int else "errored", number, error.status, error=error)


_OUTCOMES: dict[ErrorKind, Literal["expired", "cancelled"]] = {ErrorKind.TIMEOUT: "expired", ErrorKind.CANCELLED: "cancelled"}
