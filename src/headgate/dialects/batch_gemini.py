"""The Gemini batch envelope: a JSONL file of keyed requests, uploaded resumably, run as a long-running operation.

* Rows go up as ``{"key": custom_id, "request": {…}}``; results come back as ``{"key", "response"}`` or ``{"key", "error"}``.
* A small job can carry its rows inline, each with its key as metadata; its results are part of the operation (see `dialect`).
* The job's `displayName` carries our key, by which `find` recognises it; creation itself is not idempotent.
* State words come as ``BATCH_STATE_*`` or ``JOB_STATE_*``. `PAUSED` counts as failed (BPS-25); an unknown word stays `unknown`.

Sources: Gemini API reference ("Batch API", "Files"), recorded traffic, google.rpc.Status, OCT-25, batch design §5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Literal
from urllib.parse import quote

import msgspec

from headgate.dialects.batch import (
    TERMINAL,
    BatchBody,
    BatchDialect,
    BatchHandle,
    BatchRequestRow,
    BatchRow,
    BatchState,
    BatchStatus,
    BatchTag,
    Candidate,
    ResultFile,
)
from headgate.dialects.batch_check import check_rows
from headgate.dialects.batch_tables import GEMINI
from headgate.dialects.gemini_generate.errors import classify, parse_error
from headgate.dialects.gemini_generate.names import VERSION, quoted_resource
from headgate.dialects.gemini_generate.response import parse_moment
from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.wire.http import Download, Flow, Reply, Send, Upload, download, send, upload
from headgate.wire.json import Json, JsonObject, Raw, decode, encode, obj, text
from headgate.wire.ndjson import MAX_LINE, LineDecoder

NAME = GEMINI.name
LIMITS = GEMINI.limits

UPLOAD_ATTEMPTS = 3
"""An upload is answered `400 INVALID_ARGUMENT` now and then for no reason and succeeds when repeated (OCT-25)."""

PAGE_SIZE = 100
MAX_PAGES = 1000
CLOCK_SKEW = 300.0
"""Seconds our clock and the provider's may differ."""

_CHUNK = 256 << 10
_ENVELOPE = 256
"""Bytes that are allowed for around each inline row."""
_JSON = (("content-type", "application/json"),)
_NAME = re.compile(r"(?:batches|files)/[0-9A-Za-z_-]{1,200}")
_WITH_OUTPUT = frozenset({BatchStatus.COMPLETED, BatchStatus.PARTIAL})


class _Rows(msgspec.Struct, frozen=True):
    """The upload's body: rows as JSON lines, in chunks of about 256 kB, counted once beforehand."""

    rows: BatchBody
    length: int

    def __iter__(self) -> Iterator[bytes]:
        chunk = bytearray()
        for row in self.rows:
            chunk += _line(row)
            if len(chunk) >= _CHUNK:
                yield bytes(chunk)
                chunk.clear()
        if chunk:
            yield bytes(chunk)


def _line(row: BatchRequestRow) -> bytes:
    body = encode(decode(row.body, fault="local")) if b"\n" in row.body else row.body
    return b'{"key":%b,"request":%b}\n' % (encode(row.custom_id), body)


def submit(inline_rows: int, tag: BatchTag, body: BatchBody) -> Flow[BatchHandle]:
    """Hand the rows over, in a file or inline, and create the job.

    Raises `UsageError` for rows over the limits before anything is sent, `ProviderError` afterwards; then `find` tells whether the job
    exists.
    """
    report = check_rows(body, GEMINI, lambda row: len(_line(row)))
    report.must_be_clean()
    name: str | None = None
    if report.rows <= inline_rows and report.bytes + _ENVELOPE * (report.rows + 1) < (LIMITS.max_call_bytes or 0):
        config: JsonObject = {"requests": {"requests": [_inline(row) for row in body]}}
    else:
        name = yield from _upload(tag, _Rows(body, report.bytes))
        config = {"file_name": name}
    payload = {"batch": {"display_name": tag.key, "input_config": config}}
    path = f"/{VERSION}/{quoted_resource(tag.model)}:batchGenerateContent"
    created = _operation((yield from send(Send("POST", path, encode(payload), _JSON, once=True))))
    return BatchHandle(_checked(created.get("name"), "name"), name, parse_moment(_metadata(created).get("createTime")))


def _inline(row: BatchRequestRow) -> JsonObject:
    return {"request": Raw(row.body), "metadata": {"key": row.custom_id}}


def _upload(tag: BatchTag, rows: _Rows) -> Flow[str]:
    """Upload, again from the start a bounded number of times when the refusal is the transient one. Returns the file's name."""
    for attempt in range(1, UPLOAD_ATTEMPTS + 1):
        reply = yield from _start_upload(tag, rows.length)
        if reply.ok:
            headers = (
                ("content-type", "application/jsonl"),
                ("x-goog-upload-offset", "0"),
                ("x-goog-upload-command", "upload, finalize"),
            )
            reply = yield from upload(Upload("POST", _upload_url(reply), rows, headers))
        if reply.ok:
            file = obj(decode(reply.body, what="upload reply"), "upload reply").get("file")
            return _checked(obj(file, "file").get("name"), "file.name")
        error = parse_error(reply.status, reply.headers, reply.body)
        if attempt == UPLOAD_ATTEMPTS or error.code != "INVALID_ARGUMENT":
            raise error
    raise AssertionError("unreachable: the last attempt returns or raises")


def _start_upload(tag: BatchTag, length: int) -> Flow[Reply]:
    headers = (
        *_JSON,
        ("x-goog-upload-protocol", "resumable"),
        ("x-goog-upload-command", "start"),
        ("x-goog-upload-header-content-length", str(length)),
        ("x-goog-upload-header-content-type", "application/jsonl"),
    )
    return (yield from send(Send("POST", f"/upload/{VERSION}/files", encode({"file": {"display_name": tag.key}}), headers)))


def _upload_url(reply: Reply) -> str:
    """Where the bytes go: absolute, and held to the provider's own origin by whoever sends it."""
    url = reply.headers.get("x-goog-upload-url", "")
    if not url.startswith(("https://", "http://", "/")):
        raise WireError("the upload was started, but the reply names no x-goog-upload-url", param="x-goog-upload-url")
    return url


def status(handle: BatchHandle) -> Flow[BatchState]:
    """One poll. A job the provider no longer knows raises `ProviderError(not_found)`."""
    reply = yield from send(Send("GET", f"/{VERSION}/{_checked(handle.id, 'handle')}"))
    return parse_operation(_operation(reply))


def parse_operation(operation: JsonObject) -> BatchState:
    """The state in a long-running operation; counts are strings on this wire (int64 in proto JSON)."""
    metadata = _metadata(operation)
    raw = metadata.get("state")
    word = raw if isinstance(raw, str) else ""
    found = GEMINI.status(word)
    error = operation.get("error")
    if not word and operation.get("done") is True:
        found = BatchStatus.FAILED if isinstance(error, dict) else BatchStatus.COMPLETED
    stats = metadata.get("batchStats")
    counts = stats if isinstance(stats, dict) else {}
    output = _output_ref(operation, metadata)
    total = _count(counts, "requestCount")
    return BatchState(
        status=found,
        raw_status=word or ("done" if operation.get("done") is True else ""),
        total=total,
        succeeded=_count(counts, "successfulRequestCount", total),
        failed=_count(counts, "failedRequestCount", total),
        output_ref=output,
        created_at=parse_moment(metadata.get("createTime")),
        lagging=found in _WITH_OUTPUT and output is None,
        errors=(error,) if isinstance(error, dict) else (),
        raw=operation,
    )


def _output_ref(operation: JsonObject, metadata: JsonObject) -> str | None:
    """The results' file, or the job's own name when they are given inline."""
    for home in (metadata.get("output"), metadata.get("dest"), operation.get("response")):
        if isinstance(home, dict):
            file = home.get("responsesFile")
            if isinstance(file, str) and file:
                return file
            if home.get("inlinedResponses"):
                return _checked(operation.get("name") or metadata.get("name"), "name")
    return None


def _count(stats: JsonObject, key: str, total: int | None = None) -> int | None:
    """A count; one that is left out is zero once the total is known."""
    value = stats.get(key)
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None if total is None else 0


def results(handle: BatchHandle, state: BatchState) -> Flow[list[ResultFile]]:
    """Download whatever exists, in any terminal state; successes and errors share one file. Raises `ProviderError` when it is gone."""
    if state.output_ref is None:
        return []
    ref = _checked(state.output_ref, "output")
    path = f"/download/{VERSION}/{ref}:download?alt=media" if ref.startswith("files/") else f"/{VERSION}/{ref}"
    stored = yield from download(Download("GET", path))
    if not 200 <= stored.status < 300:
        raise parse_error(stored.status, stored.headers, b"")
    return [ResultFile("output", stored.path)]


def cancel(handle: BatchHandle) -> Flow[bool]:
    """Ask for cancellation. A refusal is looked into: False when the job was already over, else raised."""
    reply = yield from send(Send("POST", f"/{VERSION}/{_checked(handle.id, 'handle')}:cancel", b"{}", _JSON))
    if reply.ok:
        return True
    error = parse_error(reply.status, reply.headers, reply.body)
    if error.kind is not ErrorKind.BAD_REQUEST:
        raise error
    state = yield from status(handle)
    if state.status in TERMINAL:
        return False
    raise error


def delete(handle: BatchHandle, state: BatchState) -> Flow[None]:
    """Delete the files of a job that is over, then the job."""
    files = [name for name in (handle.input_file, state.output_ref) if name is not None and name.startswith("files/")]
    for name in (*files, handle.id):
        reply = yield from send(Send("DELETE", f"/{VERSION}/{_checked(name, 'name')}"))
        if not reply.ok and reply.status != 404:
            raise parse_error(reply.status, reply.headers, reply.body)


def find(tag: BatchTag, since: float) -> Flow[list[Candidate]]:
    """Jobs whose display name is our key, page by page until a whole page is older than `since` (epoch seconds)."""
    found: list[Candidate] = []
    token = ""
    for _ in range(MAX_PAGES):
        query = f"?pageSize={PAGE_SIZE}" + (f"&pageToken={quote(token, safe='')}" if token else "")
        page = _operation((yield from send(Send("GET", f"/{VERSION}/batches{query}"))))
        listed = page.get("operations")
        operations = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        ages = [parse_moment(_metadata(item).get("createTime")) for item in operations]
        found += [_candidate(item) for item in operations if _metadata(item).get("displayName") == tag.key]
        following = page.get("nextPageToken")
        old = bool(ages) and all(age is not None and age < since - CLOCK_SKEW for age in ages)
        if old or not isinstance(following, str) or following in ("", token):
            return found
        token = following
    raise WireError(f"the list of batches did not end within {MAX_PAGES} pages")


def _candidate(operation: JsonObject) -> Candidate:
    state = parse_operation(operation)
    source = _metadata(operation).get("inputConfig")
    file = source.get("fileName") if isinstance(source, dict) else None
    handle = BatchHandle(_checked(operation.get("name"), "name"), file if isinstance(file, str) else None, state.created_at)
    return Candidate(handle, "tag", state.total, state.created_at, state.status)


def _operation(reply: Reply) -> JsonObject:
    """The object in a reply. Raises `ProviderError` for a refusal."""
    if not reply.ok:
        raise parse_error(reply.status, reply.headers, reply.body)
    return obj(decode(reply.body, what="batch reply"), "batch reply")


def _metadata(operation: JsonObject) -> JsonObject:
    metadata = operation.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _checked(name: Json, path: str) -> str:
    """A resource name, safe to stand in a path."""
    if not _NAME.fullmatch(text(name, path)):
        raise WireError(f"{path}: {name!r} is not the name of a batch or file", param=path)
    return str(name)


class _Line(msgspec.Struct):
    """One result line; the answer stays bytes."""

    key: Json = None
    response: msgspec.Raw = msgspec.Raw()
    error: Json = None
    metadata: Json = None
    name: Json = None


_line_decoder = msgspec.json.Decoder(_Line)


class GeminiRowDecoder:
    """Reads a result file: JSON lines, or one operation document with `inlinedResponses` (told apart by its first line)."""

    def __init__(self) -> None:
        self._lines = LineDecoder()
        self._number = 0
        self._document: bytearray | None = None

    def feed(self, data: bytes) -> list[BatchRow]:
        """Rows completed by these bytes. Raises `TooLarge` for a line over 64 MB."""
        if self._document is not None:
            return self._keep(data)
        return self._rows(self._lines.feed(data))

    def close(self) -> list[BatchRow]:
        """The last row, or all rows of a document."""
        rows = self._rows(self._lines.close())
        return rows if self._document is None else _inline_rows(bytes(self._document))

    def _keep(self, data: bytes) -> list[BatchRow]:
        assert self._document is not None
        self._document += data
        if len(self._document) > MAX_LINE:
            raise WireError(f"an inline result is longer than {MAX_LINE} bytes")
        return []

    def _rows(self, lines: list[bytes]) -> list[BatchRow]:
        rows = []
        for line in lines:
            self._number += 1
            if self._document is not None:
                self._document += line + b"\n"
            elif self._number == 1 and _is_document(line):
                self._document = bytearray(line + b"\n")
            elif line.strip():
                rows.append(_row(line, self._number))
        if self._document is not None:
            self._document += b"".join(self._lines.close())
        return rows


def _is_document(first: bytes) -> bool:
    """A result row is one whole object with a key; an operation is spread over lines, or has a name and metadata."""
    if first.strip() == b"{":
        return True
    try:
        line = _line_decoder.decode(first)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return line.key is None and isinstance(line.name, str) and isinstance(line.metadata, dict)


def _inline_rows(document: bytes) -> list[BatchRow]:
    """Rows of an operation document, numbered from 1, in the order given. Raises `WireError` for a broken document."""
    operation = obj(decode(document, what="inline results"), "inline results")
    for home in (_metadata(operation).get("output"), operation.get("response")):
        inlined: Json = home.get("inlinedResponses") if isinstance(home, dict) else None
        items = inlined.get("inlinedResponses") if isinstance(inlined, dict) else inlined
        if isinstance(items, list):
            return [_row(encode(item), number) for number, item in enumerate(items, 1)]
    return []


def _row(raw: bytes, number: int) -> BatchRow:
    """One result. A line that cannot be read becomes a row without id; what a succeeded body says is for the chat dialect to judge."""
    try:
        line = _line_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        return BatchRow(None, "errored", number, error=ProviderError(ErrorKind.UNKNOWN, f"line {number} cannot be read: {problem}"))
    key = _key(line)
    if isinstance(line.error, dict):
        error = classify(line.error)
        return BatchRow(key, "cancelled" if error.kind is ErrorKind.CANCELLED else "errored", number, error.status, error=error)
    body = bytes(line.response)
    if body[:1] == b"{":
        return BatchRow(key, "succeeded", number, 200, body)
    missing = ProviderError(ErrorKind.UNKNOWN, f"line {number} has neither a response nor an error")
    return BatchRow(key, "errored", number, error=missing)


def _key(line: _Line) -> str | None:
    """The row's id: `key` in files, `metadata.key` (or a client's `custom_id`) inline."""
    metadata = line.metadata if isinstance(line.metadata, dict) else {}
    for value in (line.key, metadata.get("key"), metadata.get("custom_id")):
        if isinstance(value, str):
            return value
    return None


def row_decoder(kind: Literal["output", "error"]) -> GeminiRowDecoder:
    """A decoder for one result file; this wire has no separate error file."""
    return GeminiRowDecoder()


def dialect(inline_rows: int = 0) -> BatchDialect:
    """The envelope. Jobs of at most `inline_rows` rows that fit one call (20 MB) carry them inline, the others in a file."""
    return BatchDialect(
        name=NAME,
        limits=LIMITS,
        submit=partial(submit, inline_rows),
        status=status,
        results=results,
        cancel=cancel,
        find=find,
        row_decoder=row_decoder,
        delete=delete,
    )


DIALECT = dialect()
INLINE = dialect(inline_rows=1000)
"""Small jobs inline: one call instead of three, no file left behind."""
