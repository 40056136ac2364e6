"""Records of Bedrock's batch output: an answer or an error beside the input, told apart by ``recordId`` (Bedrock user guide)."""

from __future__ import annotations

import msgspec

from headgate.dialects.batch import BatchRow
from headgate.dialects.batch_aws import kind_of
from headgate.dialects.batch_tables import BEDROCK
from headgate.errors import ErrorKind, ProviderError
from headgate.wire.json import Json
from headgate.wire.ndjson import LineDecoder


class _Record(msgspec.Struct):
    """One result line; the answer stays bytes."""

    recordId: Json = None  # the wire's own name
    modelOutput: msgspec.Raw = msgspec.Raw()
    error: Json = None


_decode_record = msgspec.json.Decoder(_Record).decode


class Records:
    """Reads an output object. Lines end at line feeds only; one that cannot be read becomes a row without id."""

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
                rows.append(parse_record(line, self._number))
        return rows


def parse_record(line: bytes, number: int) -> BatchRow:
    """Read one result line: an answer, or an error with the status a call of its own would have met."""
    try:
        record = _decode_record(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        problem = ProviderError(ErrorKind.UNKNOWN, f"line {number} could not be read: {cause}", code="invalid_line", body=line[:4096])
        return BatchRow(None, "errored", number, error=problem)
    name = BEDROCK.ids.original(record.recordId) if isinstance(record.recordId, str) and record.recordId else None
    body = bytes(record.modelOutput)
    if body[:1] == b"{" and not isinstance(record.error, dict):
        return BatchRow(name, "succeeded", number, 200, body)
    wire = record.error if isinstance(record.error, dict) else {}
    code = wire.get("errorCode")
    stated = code if type(code) is int else int(code) if isinstance(code, str) and code.isdecimal() and len(code) < 4 else None
    word = None if stated is not None or code is None else str(code)
    message = str(wire.get("errorMessage") or f"line {number} has neither an answer nor an error")
    error = ProviderError(kind_of(word, stated), message, status=stated, code=word or (str(stated) if stated else None), body=line[:4096])
    return BatchRow(name, "errored", number, stated, error=error)
