"""OpenAI's batch envelope: a JSONL file is uploaded, a job names it, results come as an output file and an error file.

Groq, Azure and others speak it too. Paths are relative to a base URL that ends in /v1. Our tag travels in the job's metadata
(OpenAI API reference, "Batch"; recorded traffic; OCT-25 to OCT-28).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from headgate.dialects.batch import (
    TERMINAL,
    BatchBody,
    BatchDialect,
    BatchHandle,
    BatchLimits,
    BatchRequestRow,
    BatchRow,
    BatchState,
    BatchStatus,
    BatchTag,
    Candidate,
    ResultFile,
)
from headgate.dialects.openai_chat.errors import parse_error, provider_error
from headgate.errors import ErrorKind, HeadgateError, ProviderError, UsageError, WireError
from headgate.wire.http import Download, Flow, Reply, Send, Upload, download, send, upload
from headgate.wire.json import Json, JsonObject, Raw, decode, encode, obj
from headgate.wire.multipart import FilePart, render_multipart
from headgate.wire.ndjson import LineDecoder

NAME = "batch_openai_files"
LIMITS = BatchLimits(max_rows=50_000, max_bytes=200_000_000)
"""50,000 requests and 200 MB per file (OpenAI API reference)."""

TAG_KEY = "headgate"
PAGE = 100
UPLOAD_TIMEOUT = 1800.0
_CHUNK = 256 << 10
_BOM = b"\xef\xbb\xbf"

STATUSES: dict[str, BatchStatus] = {
    "validating": BatchStatus.QUEUED,
    "in_progress": BatchStatus.RUNNING,
    "finalizing": BatchStatus.FINALIZING,
    "completed": BatchStatus.COMPLETED,
    "failed": BatchStatus.FAILED,
    "expired": BatchStatus.EXPIRED,
    "cancelling": BatchStatus.CANCELLING,
    "cancelled": BatchStatus.CANCELLED,
}

RowFailure: TypeAlias = Literal["errored", "expired", "cancelled"]
_ROW_OUTCOMES: dict[str, RowFailure] = {"batch_expired": "expired", "batch_cancelled": "cancelled"}


class JsonLines(msgspec.Struct, frozen=True):
    """The input file as a `Body`: one line per row, written anew each time it is read, never held whole."""

    rows: BatchBody
    length: int

    def __iter__(self) -> Iterator[bytes]:
        pending = bytearray()
        for row in self.rows:
            pending += _line(row)
            if len(pending) >= _CHUNK:
                yield bytes(pending)
                pending.clear()
        if pending:
            yield bytes(pending)


def json_lines(rows: BatchBody) -> JsonLines:
    """The body over `rows`, its length measured by reading them once."""
    return JsonLines(rows, sum(len(_line(row)) for row in rows))


def _line(row: BatchRequestRow) -> bytes:
    body = row.body
    if b"\n" in body or b"\r" in body:
        body = encode(decode(body, what=f"row {row.custom_id}", fault="local"))
    return encode({"custom_id": row.custom_id, "method": "POST", "url": row.endpoint, "body": Raw(body)}) + b"\n"


def submit(tag: BatchTag, body: BatchBody) -> Flow[BatchHandle]:
    """Upload the rows, then create the job. Raises `UsageError` before anything is sent when the limits are passed.

    A job that was certainly refused leaves no file behind.
    """
    lines = json_lines(body)
    if body.count > LIMITS.max_rows or lines.length > LIMITS.max_bytes:
        raise UsageError(
            f"a batch of {body.count} rows and {lines.length} bytes is over the limits ({LIMITS.max_rows} rows, {LIMITS.max_bytes} bytes)",
            hint="lower processing.chunk_size in the pipeline",
        )
    file_id = yield from _upload(tag, lines)
    wanted: JsonObject = {
        "input_file_id": file_id,
        "endpoint": tag.endpoint,
        "completion_window": tag.window,
        "metadata": {TAG_KEY: tag.key},
    }
    reply = yield from send(Send("POST", "/batches", encode(wanted), (("content-type", "application/json"),), once=True))
    if not reply.ok:
        yield from _refused(reply, file_id)
    job = obj(decode(reply.body, what="the new batch"), "batch")
    return BatchHandle(_id(job, "batch"), file_id, _seconds(job.get("created_at")))


def _refused(reply: Reply, file_id: str) -> Flow[None]:
    """Raise what `reply` says. The file goes when the job certainly does not exist; after a 5xx it may, so the file stays."""
    error = parse_error(reply.status, reply.headers, reply.body)
    if 400 <= reply.status < 500 and reply.status != 408:
        try:
            yield from send(Send("DELETE", f"/files/{file_id}"))
        except HeadgateError as failure:
            raise error from failure
    raise error


def _upload(tag: BatchTag, lines: JsonLines) -> Flow[str]:
    form = render_multipart(
        (("purpose", "batch"),),
        FilePart("file", f"{tag.key}.jsonl", lines, "application/jsonl"),
        tag.boundary,
    )
    reply = yield from upload(Upload("POST", "/files", form, (("content-type", form.content_type),), UPLOAD_TIMEOUT))
    return _id(_object(reply, "the uploaded file"), "file")


def status(handle: BatchHandle) -> Flow[BatchState]:
    """One look at the job. A job that is gone raises `ProviderError` of kind not_found."""
    reply = yield from send(Send("GET", f"/batches/{handle.id}"))
    return parse_state(_object(reply, "the batch"))


def results(handle: BatchHandle, state: BatchState) -> Flow[list[ResultFile]]:
    """Download what exists, output and error file, whatever the terminal state: an expired job keeps what was done (case 4)."""
    files: list[ResultFile] = []
    if state.output_ref is not None:
        files.append((yield from _download("output", state.output_ref)))
    if state.error_ref is not None:
        files.append((yield from _download("error", state.error_ref)))
    return files


def _download(kind: Literal["output", "error"], file_id: str) -> Flow[ResultFile]:
    stored = yield from download(Download("GET", f"/files/{file_id}/content", timeout=UPLOAD_TIMEOUT))
    if not 200 <= stored.status < 300:
        raise parse_error(stored.status, stored.headers, b"")
    return ResultFile(kind, stored.path)


def cancel(handle: BatchHandle) -> Flow[bool]:
    """Ask for cancellation. False when the job was over already (case 19: a cancellation races with completion)."""
    reply = yield from send(Send("POST", f"/batches/{handle.id}/cancel"))
    if reply.ok:
        state = parse_state(obj(decode(reply.body, what="the batch"), "batch"))
        return state.status in (BatchStatus.CANCELLING, BatchStatus.CANCELLED)
    error = parse_error(reply.status, reply.headers, reply.body)
    if error.kind is not ErrorKind.BAD_REQUEST:
        raise error
    now = yield from status(handle)
    if now.status not in TERMINAL:
        raise error
    return False


def find(tag: BatchTag, since: float) -> Flow[list[Candidate]]:
    """Jobs created at or after `since` that carry our tag, newest first. The list is paged until it is older than that."""
    found: list[Candidate] = []
    after = ""
    while True:
        cursor = f"&after={after}" if after else ""
        reply = yield from send(Send("GET", f"/batches?limit={PAGE}{cursor}"))
        page = _object(reply, "the list of batches")
        jobs = [job for job in page.get("data") or [] if isinstance(job, dict) and isinstance(job.get("id"), str)]
        found += [_candidate(job) for job in jobs if _ours(job, tag, since)]
        last = jobs[-1] if jobs else None
        oldest = None if last is None else _seconds(last.get("created_at"))
        if last is None or not page.get("has_more") or last["id"] == after or (oldest is not None and oldest < since):
            return found
        after = last["id"]


def _ours(job: JsonObject, tag: BatchTag, since: float) -> bool:
    metadata, created = job.get("metadata"), _seconds(job.get("created_at"))
    return isinstance(metadata, dict) and metadata.get(TAG_KEY) == tag.key and (created is None or created >= since)


def _candidate(job: JsonObject) -> Candidate:
    state = parse_state(job)
    handle = BatchHandle(job["id"], _ref(job.get("input_file_id")), state.created_at)
    return Candidate(handle, "tag", state.total, state.created_at, state.status)


def parse_state(job: JsonObject) -> BatchState:
    """Read a batch object. A status word nobody knows is `UNKNOWN` with the word kept; an empty file id is no file (case 3)."""
    word = job.get("status")
    word = word if isinstance(word, str) else ""
    found = STATUSES.get(word.lower(), BatchStatus.UNKNOWN)
    counts = job.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    total, done, failed = (_count(counts.get(key)) for key in ("total", "completed", "failed"))
    output, error = _ref(job.get("output_file_id")), _ref(job.get("error_file_id"))
    return BatchState(
        status=found,
        raw_status=word,
        total=total or None,
        succeeded=done,
        failed=failed,
        output_ref=output,
        error_ref=error,
        expires_at=_seconds(job.get("expires_at")),
        created_at=_seconds(job.get("created_at")),
        lagging=_lags(found, done or 0, failed or 0, output, error),
        errors=_errors(job.get("errors")),
        raw=job,
    )


def _lags(found: BatchStatus, done: int, failed: int, output: str | None, error: str | None) -> bool:
    """The job is over and counts answers, but their file is not named yet (case 2). Only an error file is no lag (case 1)."""
    if found not in TERMINAL or found is BatchStatus.FAILED:
        return False
    return (done > 0 and output is None) or (failed > 0 and output is None and error is None)


def _errors(value: Json) -> tuple[JsonObject, ...]:
    """Validation errors of a failed job, each with code, message, line and param (case 5)."""
    data = value.get("data") if isinstance(value, dict) else value
    return tuple(item for item in data if isinstance(item, dict)) if isinstance(data, list) else ()


def _object(reply: Reply, what: str) -> JsonObject:
    if not reply.ok:
        raise parse_error(reply.status, reply.headers, reply.body)
    return obj(decode(reply.body, what=what), what)


def _id(value: JsonObject, what: str) -> str:
    found = value.get("id")
    if not isinstance(found, str) or not found:
        raise WireError(f"the answer names no {what} id", param="id")
    return found


def _ref(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Json) -> int | None:
    return value if type(value) is int and value >= 0 else None


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

    def __init__(self, kind: Literal["output", "error"]) -> None:
        self._kind = kind
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
                rows.append(parse_row(text, self._number))
        return rows


def parse_row(line: bytes, number: int) -> BatchRow:
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
    return BatchRow(_ref(row.custom_id), outcome, number, status_code, body if error is None else None, error, _ref(answer.request_id))


def _outcome(error: JsonObject) -> RowFailure:
    code = error.get("code")
    return _ROW_OUTCOMES.get(code, "errored") if isinstance(code, str) else "errored"


def _unreadable(number: int, message: str, line: bytes) -> BatchRow:
    return BatchRow(None, "errored", number, error=ProviderError(ErrorKind.UNKNOWN, message, code="invalid_json_line", body=line[:4096]))


DIALECT = BatchDialect(
    name=NAME,
    limits=LIMITS,
    submit=submit,
    status=status,
    results=results,
    cancel=cancel,
    find=find,
    row_decoder=Rows,
)
