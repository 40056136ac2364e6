"""OpenAI's batch envelope: a JSONL file is uploaded, a job names it, results come as an output file and an error file.

Groq, Azure, Together and others speak it too, each with its `Flavour` (see `batch_flavours`). Paths are relative to a base URL that ends
in /v1. Our tag travels in the job's metadata, or in the name of its input file (OpenAI API reference, "Batch"; recorded traffic; OCT-25
to OCT-28).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
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
    BatchState,
    BatchStatus,
    BatchTag,
    Candidate,
    ResultFile,
)
from headgate.dialects.batch_check import check_rows
from headgate.dialects.batch_facts import END_OF_TIME, BatchFacts
from headgate.dialects.batch_openai_rows import Rows
from headgate.dialects.batch_tables import OPENAI
from headgate.dialects.openai_chat.errors import parse_error
from headgate.errors import ErrorKind, HeadgateError, WireError
from headgate.wire.http import Download, Flow, Reply, Send, Upload, download, send, upload
from headgate.wire.json import Json, JsonObject, Raw, decode, encode, obj
from headgate.wire.multipart import FilePart, render_multipart

NAME = OPENAI.name
LIMITS = OPENAI.limits
STATUSES = OPENAI.statuses

TAG_KEY = "headgate"
CROWDED = "token_limit_exceeded"
"""The error of a job that would take what is enqueued for its model over the limit (recorded by users of OpenAI and of Azure)."""
PAGE = 100
MAX_PAGES = 1000
UPLOAD_TIMEOUT = 1800.0
_CHUNK = 256 << 10


class Flavour(msgspec.Struct, frozen=True, kw_only=True):
    """How one provider speaks this envelope.

    `purpose` and `upload_path` are what its file API wants; `named_form` adds the fields `file_name` and `file_type`. `bare_lines` hold
    ``custom_id`` and ``body`` alone. Jobs without `metadata` are found again by the name of their input file.
    """

    facts: BatchFacts
    purpose: str = "batch"
    upload_path: str = "/files"
    named_form: bool = False
    bare_lines: bool = False
    metadata: bool = True


class JsonLines(msgspec.Struct, frozen=True):
    """The input file as a `Body`: one line per row, written anew each time it is read, never held whole."""

    rows: BatchBody
    length: int
    flavour: Flavour

    def __iter__(self) -> Iterator[bytes]:
        pending = bytearray()
        for row in self.rows:
            pending += _line(self.flavour, row)
            if len(pending) >= _CHUNK:
                yield bytes(pending)
                pending.clear()
        if pending:
            yield bytes(pending)


def json_lines(rows: BatchBody, endpoint: str, flavour: Flavour) -> JsonLines:
    """The body over `rows`, checked and measured by reading them once. Raises `UsageError` for what the provider would refuse."""
    report = check_rows(rows, flavour.facts, lambda row: len(_line(flavour, row)), endpoint)
    report.must_be_clean()
    return JsonLines(rows, report.bytes, flavour)


def _line(flavour: Flavour, row: BatchRequestRow) -> bytes:
    body = row.body
    if b"\n" in body or b"\r" in body:
        body = encode(decode(body, what=f"row {row.custom_id}", fault="local"))
    named: JsonObject = {"custom_id": flavour.facts.ids.safe(row.custom_id)}
    if not flavour.bare_lines:
        named |= {"method": "POST", "url": row.endpoint}
    return encode({**named, "body": Raw(body)}) + b"\n"


def submit(flavour: Flavour, tag: BatchTag, body: BatchBody) -> Flow[BatchHandle]:
    """Upload the rows, then create the job. Raises `UsageError` before anything is sent when the provider would refuse them.

    A job that was certainly refused leaves no file behind.
    """
    flavour.facts.hours(tag.window)
    lines = json_lines(body, tag.endpoint, flavour)
    file_id = yield from _upload(flavour, tag, lines)
    wanted: JsonObject = {"input_file_id": file_id, "endpoint": tag.endpoint, "completion_window": tag.window}
    if flavour.metadata:
        wanted["metadata"] = {TAG_KEY: tag.key}
    reply = yield from send(Send("POST", "/batches", encode(wanted), (("content-type", "application/json"),), once=True))
    if not reply.ok:
        yield from _refused(reply, file_id)
    job = _job(decode(reply.body, what="the new batch"))
    return BatchHandle(_id(job, "batch"), file_id, _seconds(job.get("created_at")))


def _job(value: Json) -> JsonObject:
    """A batch object, bare or as the `job` of an answer."""
    answer = obj(value, "batch")
    return answer["job"] if isinstance(answer.get("job"), dict) else answer


def file_name(tag: BatchTag) -> str:
    """The name of a job's input file, which carries our key."""
    return f"{tag.key}.jsonl"


def _refused(reply: Reply, file_id: str) -> Flow[None]:
    """Raise what `reply` says. The file goes when the job certainly does not exist; after a 5xx it may, so the file stays."""
    error = parse_error(reply.status, reply.headers, reply.body)
    if 400 <= reply.status < 500 and reply.status != 408:
        try:
            yield from send(Send("DELETE", _file(file_id)))
        except HeadgateError as failure:
            raise error from failure
    raise error


def _upload(flavour: Flavour, tag: BatchTag, lines: JsonLines) -> Flow[str]:
    name = file_name(tag)
    fields = (("purpose", flavour.purpose), *((("file_name", name), ("file_type", "jsonl")) if flavour.named_form else ()))
    form = render_multipart(fields, FilePart("file", name, lines, "application/jsonl"), tag.boundary)
    reply = yield from upload(Upload("POST", flavour.upload_path, form, (("content-type", form.content_type),), UPLOAD_TIMEOUT))
    return _id(_object(reply, "the uploaded file"), "file")


def status(flavour: Flavour, handle: BatchHandle) -> Flow[BatchState]:
    """One look at the job. A job that is gone raises `ProviderError` of kind not_found."""
    reply = yield from send(Send("GET", _path(handle)))
    return parse_state(_object(reply, "the batch"), flavour.facts)


def results(handle: BatchHandle, state: BatchState) -> Flow[list[ResultFile]]:
    """Download what exists, output and error file, whatever the terminal state: an expired job keeps what was done (case 4)."""
    files: list[ResultFile] = []
    if state.output_ref is not None:
        files.append((yield from _download("output", state.output_ref)))
    if state.error_ref is not None:
        files.append((yield from _download("error", state.error_ref)))
    return files


def _download(kind: Literal["output", "error"], file_id: str) -> Flow[ResultFile]:
    stored = yield from download(Download("GET", f"{_file(file_id)}/content", timeout=UPLOAD_TIMEOUT))
    if not 200 <= stored.status < 300:
        raise parse_error(stored.status, stored.headers, b"")
    return ResultFile(kind, stored.path)


def cancel(flavour: Flavour, handle: BatchHandle) -> Flow[bool]:
    """Ask for cancellation. False when the job was over already (case 19: a cancellation races with completion)."""
    reply = yield from send(Send("POST", f"{_path(handle)}/cancel"))
    if reply.ok:
        state = parse_state(_job(decode(reply.body, what="the batch")), flavour.facts)
        return state.status is BatchStatus.CANCELLED or state.status not in TERMINAL
    error = parse_error(reply.status, reply.headers, reply.body)
    if error.kind is not ErrorKind.BAD_REQUEST:
        raise error
    now = yield from status(flavour, handle)
    if now.status not in TERMINAL:
        raise error
    return False


def delete(handle: BatchHandle, state: BatchState) -> Flow[None]:
    """Delete the files of a job that is over; the job itself stays in the list, without them."""
    for file in (handle.input_file, state.output_ref, state.error_ref):
        if file is not None:
            reply = yield from send(Send("DELETE", _file(file)))
            if not reply.ok and reply.status != 404:
                raise parse_error(reply.status, reply.headers, reply.body)


def find(flavour: Flavour, tag: BatchTag, since: float) -> Flow[list[Candidate]]:
    """Jobs created at or after `since` that carry our tag, newest first. The list is paged until it is older than that."""
    files = frozenset() if flavour.metadata else (yield from _files_named(file_name(tag)))
    if not flavour.metadata and not files:
        return []
    found: list[Candidate] = []
    after = ""
    for _ in range(MAX_PAGES):
        cursor = f"&after={quote(after, safe='')}" if after else ""
        reply = yield from send(Send("GET", f"/batches?limit={PAGE}{cursor}"))
        jobs, more = _page(reply, "the list of batches")
        ours = [job for job in jobs if (_tagged(job, tag) if flavour.metadata else _ref(job.get("input_file_id")) in files)]
        found += [_candidate(job, flavour.facts) for job in ours if _since(job, since)]
        last = jobs[-1] if jobs else None
        oldest = None if last is None else _seconds(last.get("created_at"))
        if last is None or not more or last["id"] == after or (oldest is not None and oldest < since):
            return found
        after = last["id"]
    raise WireError(f"the list of batches did not end within {MAX_PAGES} pages")


def _files_named(name: str) -> Flow[frozenset[str]]:
    """The ids of uploaded files that have this name."""
    files, _ = _page((yield from send(Send("GET", "/files"))), "the list of files")
    return frozenset(file["id"] for file in files if file.get("filename") == name)


def _page(reply: Reply, what: str) -> tuple[list[JsonObject], bool]:
    """The objects of a list, which is an array or has one as its `data`, and whether there are more."""
    if not reply.ok:
        raise parse_error(reply.status, reply.headers, reply.body)
    page = decode(reply.body, what=what)
    listed = page if isinstance(page, list) else obj(page, what).get("data")
    found = [item for item in listed if isinstance(item, dict) and isinstance(item.get("id"), str)] if isinstance(listed, list) else []
    return found, isinstance(page, dict) and bool(page.get("has_more"))


def _tagged(job: JsonObject, tag: BatchTag) -> bool:
    metadata = job.get("metadata")
    return isinstance(metadata, dict) and metadata.get(TAG_KEY) == tag.key


def _since(job: JsonObject, since: float) -> bool:
    created = _seconds(job.get("created_at"))
    return created is None or created >= since


def _candidate(job: JsonObject, facts: BatchFacts) -> Candidate:
    state = parse_state(job, facts)
    handle = BatchHandle(job["id"], _ref(job.get("input_file_id")), state.created_at)
    return Candidate(handle, "tag", state.total, state.created_at, state.status)


def parse_state(job: JsonObject, facts: BatchFacts = OPENAI) -> BatchState:
    """Read a batch object. A status word nobody knows is `UNKNOWN` with the word kept; an empty file id is no file (case 3).

    Providers without `request_counts` tell no counts; their `job_deadline` and `error` are read like `expires_at` and `errors`.
    """
    word = job.get("status")
    word = word if isinstance(word, str) else ""
    found = facts.status(word)
    counts = job.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    total, done, failed = (_count(counts.get(key)) for key in ("total", "completed", "failed"))
    output, error = _ref(job.get("output_file_id")), _ref(job.get("error_file_id"))
    errors = _errors(job.get("errors") or job.get("error"))
    return BatchState(
        status=found,
        raw_status=word,
        total=total or None,
        succeeded=done,
        failed=failed,
        output_ref=output,
        error_ref=error,
        expires_at=_seconds(job.get("expires_at") or job.get("job_deadline")),
        created_at=_seconds(job.get("created_at")),
        lagging=_lags(found, done, failed, output, error),
        crowded=found is BatchStatus.FAILED and output is None and any(item.get("code") == CROWDED for item in errors),
        errors=errors,
        raw=job,
    )


def _lags(found: BatchStatus, done: int | None, failed: int | None, output: str | None, error: str | None) -> bool:
    """The job is over and counts answers, but their file is not named yet (case 2). Only an error file is no lag (case 1)."""
    if found not in TERMINAL or found is BatchStatus.FAILED:
        return False
    if done is None and failed is None:
        return found is BatchStatus.COMPLETED and output is None and error is None
    return ((done or 0) > 0 and output is None) or ((failed or 0) > 0 and output is None and error is None)


def _errors(value: Json) -> tuple[JsonObject, ...]:
    """Validation errors of a failed job, each with code, message, line and param (case 5)."""
    if isinstance(value, str) and value:
        return ({"message": value},)
    data = value.get("data") if isinstance(value, dict) else value
    return tuple(item for item in data if isinstance(item, dict)) if isinstance(data, list) else ()


def _path(handle: BatchHandle) -> str:
    return f"/batches/{quote(handle.id, safe='')}"


def _file(file_id: str) -> str:
    return f"/files/{quote(file_id, safe='')}"


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
    """Epoch seconds, from a number or an RFC 3339 time with its zone."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return moment.timestamp() if moment.tzinfo is not None else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < END_OF_TIME else None


def _count(value: Json) -> int | None:
    return value if type(value) is int and value >= 0 else None


def files_dialect(flavour: Flavour) -> BatchDialect:
    """The envelope as one provider speaks it."""
    return BatchDialect(
        name=flavour.facts.name,
        limits=flavour.facts.limits,
        submit=partial(submit, flavour),
        status=partial(status, flavour),
        results=results,
        cancel=partial(cancel, flavour),
        find=partial(find, flavour),
        row_decoder=partial(Rows, ids=flavour.facts.ids),
        delete=delete,
    )


FLAVOUR = Flavour(facts=OPENAI)
DIALECT = files_dialect(FLAVOUR)
