"""Anthropic's batch envelope: one JSON body with every request, results as JSON lines (Anthropic API reference, "Message Batches").

Generally available, so no beta header. The wire carries no tag: a lost submission is searched by the time of its creation and its number
of rows (`Candidate.total`, the sum of `request_counts`), and proven ours by the prefix of its custom ids once the results can be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Literal
from urllib.parse import quote, urlsplit

import msgspec

from headgate.dialects.anthropic_messages.errors import TYPE_STATUS, error_of_event, parse_error
from headgate.dialects.anthropic_messages.words import PATH
from headgate.dialects.batch import (
    TERMINAL,
    BatchBody,
    BatchDialect,
    BatchHandle,
    BatchRow,
    BatchState,
    BatchStatus,
    BatchTag,
    Candidate,
    ResultFile,
)
from headgate.dialects.batch_tables import ANTHROPIC
from headgate.errors import ErrorKind, ProviderError, TooLarge, Unsupported, WireError
from headgate.wire.http import Download, Flow, Reply, Send, Upload, download, send, upload
from headgate.wire.json import Json, JsonObject, decode, obj, text
from headgate.wire.ndjson import LineDecoder

BATCHES = "/v1/messages/batches"
LIMITS = ANTHROPIC.limits
MAX_PAGES = 1000

CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What the wire accepts as a custom id."""

_JSON = (("content-type", "application/json"),)
_HEAD, _MIDDLE, _TAIL = b'{"custom_id":"', b'","params":', b"}"
_CHUNK = 64 << 10


class CreateBody:
    """The body of a create call, streamed from the rows: a `Body` of known length that never exists as a whole.

    The first reading checks every row: raises `WireError` for a custom id the wire refuses or that occurs twice, `Unsupported` for an
    endpoint other than ``/v1/messages``, `TooLarge` above the limits.
    """

    def __init__(self, rows: BatchBody) -> None:
        self._rows = rows
        self.length = self._measure()

    def __iter__(self) -> Iterator[bytes]:
        chunk = bytearray(b'{"requests":[')
        comma = b""
        for row in self._rows:
            chunk += comma + _HEAD + row.custom_id.encode() + _MIDDLE + row.body + _TAIL
            comma = b","
            if len(chunk) >= _CHUNK:
                yield bytes(chunk)
                chunk.clear()
        chunk += b"]}"
        yield bytes(chunk)

    def _measure(self) -> int:
        """Bytes in total, rows checked on the way."""
        seen: set[str] = set()
        length = len(b'{"requests":[]}') - 1
        for row in self._rows:
            if not CUSTOM_ID.fullmatch(row.custom_id):
                raise WireError(
                    f"custom id {row.custom_id!r} must be 1 to 64 letters, digits, '_' and '-'", fault="local", param="custom_id"
                )
            if row.custom_id in seen:
                raise WireError(f"custom id {row.custom_id!r} occurs twice", fault="local", param="custom_id")
            if row.endpoint != PATH:
                raise Unsupported(f"batches on this wire take only {PATH}, not {row.endpoint}", param="endpoint")
            seen.add(row.custom_id)
            length += len(_HEAD) + len(row.custom_id) + len(_MIDDLE) + len(row.body) + len(_TAIL) + 1
        if not seen:
            raise WireError("a batch needs at least one row", fault="local")
        if len(seen) > LIMITS.max_rows or length > LIMITS.max_bytes:
            raise TooLarge(
                f"{len(seen)} rows of {length} bytes: a batch holds at most {LIMITS.max_rows} rows and {LIMITS.max_bytes} bytes",
                fault="local",
            )
        return length


def submit(tag: BatchTag, body: BatchBody) -> Flow[BatchHandle]:
    """Create the job. Not idempotent. Raises what `CreateBody` raises, and `ProviderError` when the provider refuses."""
    reply = yield from upload(Upload("POST", BATCHES, CreateBody(body), _JSON, once=True))
    wire = _read(reply)
    return BatchHandle(text(wire.get("id"), "id"), None, _epoch(wire.get("created_at")))


def status(handle: BatchHandle) -> Flow[BatchState]:
    """One poll. Raises `ProviderError` (kind not_found) for a job the provider does not know."""
    reply = yield from send(Send("GET", _path(handle)))
    return state_of(_read(reply))


def results(handle: BatchHandle, state: BatchState) -> Flow[list[ResultFile]]:
    """Download the one result file, which holds every row whatever its outcome; none while there is none, or after it was archived.

    Raises `WireError` for a `results_url` that is not this job's own. The path is requested relative to the base URL, so that the key
    never leaves for another origin.
    """
    if state.output_ref is None:
        return []
    path = f"{_path(handle)}/results"
    target = urlsplit(state.output_ref)
    if not target.path.endswith(path) or target.query:
        raise WireError(f"results_url {state.output_ref!r} does not belong to batch {handle.id}: not followed")
    stored = yield from download(Download("GET", path))
    if not 200 <= stored.status < 300:
        raise parse_error(stored.status, stored.headers, b"")
    return [ResultFile("output", stored.path)]


def cancel(handle: BatchHandle) -> Flow[bool]:
    """Ask for cancellation. False when the job was over already; raises `ProviderError` for other refusals."""
    reply = yield from send(Send("POST", f"{_path(handle)}/cancel"))
    if reply.ok:
        return state_of(_read(reply)).status not in TERMINAL
    refusal = parse_error(reply.status, reply.headers, reply.body)
    if refusal.kind is not ErrorKind.BAD_REQUEST:
        raise refusal
    now = yield from status(handle)
    if now.status in TERMINAL:
        return False
    raise refusal


def delete(handle: BatchHandle, state: BatchState) -> Flow[None]:
    """Delete a job that is over, with its results."""
    reply = yield from send(Send("DELETE", _path(handle)))
    if not reply.ok and reply.status != 404:
        raise parse_error(reply.status, reply.headers, reply.body)


def find(tag: BatchTag, since: float) -> Flow[list[Candidate]]:
    """Jobs created at `since` (epoch seconds) or later, newest first: any of them may be ours, since the wire carries no tag."""
    found: list[Candidate] = []
    query = "?limit=100"
    asked: set[str] = set()
    for _ in range(MAX_PAGES):
        reply = yield from send(Send("GET", BATCHES + query))
        page = _read(reply)
        listed = page.get("data")
        jobs = [job for job in listed if isinstance(job, dict)] if isinstance(listed, list) else []
        recent = [job for job in jobs if (_epoch(job.get("created_at")) or since) >= since]
        found += [_candidate(job) for job in recent]
        last = page.get("last_id")
        if len(recent) < len(jobs) or not page.get("has_more") or not isinstance(last, str) or last in asked:
            return found
        asked.add(last)
        query = f"?limit=100&after_id={quote(last, safe='')}"
    raise WireError(f"the list of batches did not end within {MAX_PAGES} pages")


def _candidate(job: JsonObject) -> Candidate:
    state = state_of(job)
    handle = BatchHandle(text(job.get("id"), "data[].id"), None, state.created_at)
    return Candidate(handle, "window", state.total, state.created_at, state.status)


def _path(handle: BatchHandle) -> str:
    return f"{BATCHES}/{quote(handle.id, safe='')}"


def _read(reply: Reply) -> JsonObject:
    """The object of a good reply. Raises `ProviderError` for any other."""
    if not reply.ok:
        raise parse_error(reply.status, reply.headers, reply.body)
    return obj(decode(reply.body, what="batch reply"), "batch reply")


_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


def state_of(wire: JsonObject) -> BatchState:
    """A batch object as a state.

    Counts stay zero until the end, so that only the total is known before. An ended job whose rows were cancelled or expired says so; one
    without `results_url` is lagging, unless its results were archived (29 days after creation), which `errors` then tells.
    """
    word = wire.get("processing_status")
    raw_status = word if isinstance(word, str) else ""
    given = wire.get("request_counts")
    counts = {key: _count(given, key) for key in _COUNTS} if isinstance(given, dict) else None
    ended = raw_status.lower() == "ended"
    normal = _ended(counts or {}) if ended else ANTHROPIC.status(raw_status)
    url, archived = wire.get("results_url"), wire.get("archived_at")
    gone = ended and archived is not None
    return BatchState(
        status=normal,
        raw_status=raw_status,
        total=sum(counts.values()) if counts else None,
        succeeded=counts["succeeded"] if counts and ended else None,
        failed=counts["errored"] + counts["canceled"] + counts["expired"] if counts and ended else None,
        output_ref=url if isinstance(url, str) and url and not gone else None,
        expires_at=_epoch(wire.get("expires_at")),
        created_at=_epoch(wire.get("created_at")),
        lagging=ended and not url and not gone,
        errors=({"code": "results_archived", "message": f"the results were archived at {archived}"},) if gone else (),
        raw=wire,
    )


def _ended(counts: dict[str, int]) -> BatchStatus:
    if counts.get("canceled"):
        return BatchStatus.CANCELLED
    return BatchStatus.EXPIRED if counts.get("expired") else BatchStatus.COMPLETED


def _count(counts: JsonObject, key: str) -> int:
    value = counts.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _epoch(value: Json) -> float | None:
    """An RFC 3339 time as epoch seconds; None for anything else or a time without its zone."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


class _Result(msgspec.Struct, frozen=True):
    type: str
    message: msgspec.Raw = msgspec.Raw(b"null")
    error: Json = None


class _Line(msgspec.Struct, frozen=True):
    custom_id: str
    result: _Result


_decode_line = msgspec.json.Decoder(_Line).decode


class ResultDecoder:
    """A `RowDecoder` for the result file. Lines end at LF alone; a line that cannot be read becomes a row without id."""

    def __init__(self) -> None:
        self._lines = LineDecoder()
        self._number = 0

    def feed(self, data: bytes) -> list[BatchRow]:
        """Rows completed by these bytes."""
        return self._rows(self._lines.feed(data))

    def close(self) -> list[BatchRow]:
        """The last row, when the file does not end in a line feed."""
        return self._rows(self._lines.close())

    def _rows(self, lines: list[bytes]) -> list[BatchRow]:
        rows = []
        for line in lines:
            self._number += 1
            if line.strip():
                rows.append(_row(line, self._number))
        return rows


def _row(line: bytes, number: int) -> BatchRow:
    try:
        found = _decode_line(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        broken = ProviderError(ErrorKind.UNKNOWN, f"result line {number} cannot be read: {error}", code="invalid_line", body=line[:4096])
        return BatchRow(None, "errored", number, error=broken)
    result = found.result
    if result.type == "succeeded" and bytes(result.message)[:1] == b"{":
        return BatchRow(found.custom_id, "succeeded", number, 200, bytes(result.message))
    outcome = _OUTCOMES.get(result.type)
    if outcome is not None:
        kind, why, code = _REASONS[outcome]
        return BatchRow(found.custom_id, outcome, number, error=ProviderError(kind, why, code=code))
    return _errored(found, number)


_OUTCOMES: dict[str, Literal["expired", "cancelled"]] = {"expired": "expired", "canceled": "cancelled"}
_REASONS = {
    "expired": (ErrorKind.TIMEOUT, "the batch expired before this request was processed", "batch_expired"),
    "cancelled": (ErrorKind.CANCELLED, "the batch was cancelled before this request was processed", "batch_cancelled"),
}


def _errored(found: _Line, number: int) -> BatchRow:
    """A refused row: its error object is the one a single call would have met, with the status its type stands for."""
    wire = found.result.error
    if not isinstance(wire, dict):
        odd = ProviderError(ErrorKind.UNKNOWN, f"result line {number} is of unknown type {found.result.type!r}", code=found.result.type)
        return BatchRow(found.custom_id, "errored", number, error=odd)
    inner = wire["error"] if isinstance(wire.get("error"), dict) else wire
    error = error_of_event({"type": "error", "error": inner, "request_id": wire.get("request_id")})
    kind = inner.get("type")
    status_code = TYPE_STATUS.get(kind) if isinstance(kind, str) else None
    return BatchRow(found.custom_id, "errored", number, status_code, error=error, request_id=error.request_id)


def row_decoder(kind: Literal["output", "error"]) -> ResultDecoder:
    """A decoder of the result file; this wire has one kind."""
    return ResultDecoder()


DIALECT = BatchDialect(
    name="batch_anthropic",
    limits=LIMITS,
    submit=submit,
    status=status,
    results=results,
    cancel=cancel,
    find=find,
    row_decoder=row_decoder,
    delete=delete,
)
