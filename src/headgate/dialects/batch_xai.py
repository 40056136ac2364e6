"""xAI's batch envelope: a named container is created and filled with requests; results are read page by page.

* The container's `name` carries our key. Requests are added in calls of at most 25 MB, each answered ``null``; the limits keep a job to
  one such call, so that it has all of its rows or none.
* There is no status word, only counts: a job with requests is over when none is pending. An empty container has not begun.
* Results come as JSON pages and are kept as JSON lines. Rows go in with ``chat_get_completion`` (or ``responses``) around the body; answers
  always come back as chat completions.
* In the other form the rows go up as a JSONL file and the job names it, so that one call makes the whole job (see `dialect`).

Sources: xAI API reference and guide ("Batch API"), release notes of March 2026, recorded traffic (the ``null``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Literal, TypeAlias
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
from headgate.dialects.batch_openai_files import UPLOAD_TIMEOUT, Flavour, file_name, json_lines
from headgate.dialects.batch_tables import XAI
from headgate.dialects.batch_xai_rows import ResultLines
from headgate.dialects.openai_chat.errors import parse_error
from headgate.errors import ErrorKind, HeadgateError, WireError
from headgate.wire.http import Flow, Reply, Send, Upload, save, send, upload
from headgate.wire.json import Json, JsonObject, Raw, decode, encode, obj
from headgate.wire.multipart import FilePart, render_multipart

LIMITS = XAI.limits
PAGE = 100
MAX_PAGES = 20_000
SAVED = 8 << 20
"""Bytes of result rows that are gathered before they are put on disk."""
Form: TypeAlias = Literal["requests", "file"]

_JSON = (("content-type", "application/json"),)
_CALL_LIMIT = (LIMITS.max_call_bytes or 25_000_000) - 4096


def submit(form: Form, tag: BatchTag, body: BatchBody) -> Flow[BatchHandle]:
    """Create the job and hand the rows over. Raises `UsageError` before anything is sent when the provider would refuse them.

    A container whose first rows are refused is cancelled. When later rows are refused, the job is kept with the rows it has: they are
    being worked on, and the others come back as missing.
    """
    XAI.hours(tag.window)
    if form == "file":
        return (yield from _submit_file(tag, body))
    check_rows(body, XAI, lambda row: len(_item(row)) + 1, tag.endpoint).must_be_clean()
    handle = yield from _create({"name": tag.key}, None)
    filled = False
    for call in _calls(body):
        reply = yield from send(Send("POST", f"{_path(handle)}/requests", call, _JSON, timeout=UPLOAD_TIMEOUT, once=True))
        if not reply.ok:
            yield from _refused(handle, reply, filled)
            return handle
        filled = True
    return handle


def _refused(handle: BatchHandle, reply: Reply, filled: bool) -> Flow[None]:
    """Raise what `reply` says, unless rows of the job are being worked on and the refusal is certain."""
    error = parse_error(reply.status, reply.headers, reply.body)
    certain = 400 <= reply.status < 500 and reply.status != 408
    if not certain:
        raise error
    if filled:
        return
    try:
        yield from send(Send("POST", f"{_path(handle)}:cancel"))
    except HeadgateError as failure:
        raise error from failure
    raise error


def _create(wanted: JsonObject, file_id: str | None) -> Flow[BatchHandle]:
    job = _object((yield from send(Send("POST", "/batches", encode(wanted), _JSON, once=True))), "the new batch")
    return BatchHandle(_id(job), file_id, _seconds(job.get("create_time")))


def _item(row: BatchRequestRow) -> bytes:
    kind = "responses" if row.endpoint.endswith("/responses") else "chat_get_completion"
    return encode({"batch_request_id": XAI.ids.safe(row.custom_id), "batch_request": {kind: Raw(row.body)}})


def _calls(body: BatchBody) -> Iterator[bytes]:
    """The bodies of the calls that add the rows, each under the limit of one call unless a single row is over it."""
    items: list[bytes] = []
    size = 0
    for row in body:
        item = _item(row)
        if items and size + len(item) + 1 > _CALL_LIMIT:
            yield b'{"batch_requests":[%b]}' % b",".join(items)
            items, size = [], 0
        items.append(item)
        size += len(item) + 1
    yield b'{"batch_requests":[%b]}' % b",".join(items)


def _submit_file(tag: BatchTag, body: BatchBody) -> Flow[BatchHandle]:
    lines = json_lines(body, tag.endpoint, Flavour(facts=XAI))
    form = render_multipart((), FilePart("file", file_name(tag), lines, "application/jsonl"), tag.boundary)
    reply = yield from upload(Upload("POST", "/files", form, (("content-type", form.content_type),), UPLOAD_TIMEOUT))
    file_id = _object(reply, "the uploaded file").get("id")
    if not isinstance(file_id, str) or not file_id:
        raise WireError("the answer names no file id", param="id")
    return (yield from _create({"name": tag.key, "input_file_id": file_id}, file_id))


def status(handle: BatchHandle) -> Flow[BatchState]:
    """One look at the job. A job that is gone raises `ProviderError` of kind not_found."""
    reply = yield from send(Send("GET", _path(handle)))
    return parse_state(_object(reply, "the batch"), _served_at(reply))


def parse_state(job: JsonObject, now: float | None = None) -> BatchState:
    """Read a batch from its counts; `now` is the provider's own time. `raw_status` is the word the counts stand for, see `_word`."""
    state = job.get("state")
    counts = state if isinstance(state, dict) else {}
    total, pending, done, failed, cancelled = (_count(counts.get(f"num_{key}")) for key in _COUNTS)
    rejection = job.get("cancel_by_xai_message") or counts.get("error")
    expires = _seconds(job.get("expire_time"))
    late = expires is not None and now is not None and now >= expires
    word = "rejected" if rejection and not total else _word(total, pending, cancelled, bool(job.get("cancel_time")), late)
    found = XAI.status(word)
    return BatchState(
        status=found,
        raw_status=word,
        total=total or None,
        succeeded=done,
        failed=None if failed is None else failed + (cancelled or 0),
        output_ref=_text(job.get("batch_id")) if found in TERMINAL and total else None,
        expires_at=expires,
        created_at=_seconds(job.get("create_time")),
        errors=({"code": "rejected", "message": rejection},) if isinstance(rejection, str) and rejection else (),
        raw=job,
    )


_COUNTS = ("requests", "pending", "success", "error", "cancelled")


def _word(total: int | None, pending: int | None, cancelled: int | None, stopped: bool, late: bool) -> str:
    """The state that the counts imply. Before its rows are known a job counts nothing at all, so that zero of zero is no end."""
    if not total:
        return "cancelled" if stopped else "empty"
    if pending == 0:
        return "cancelled" if cancelled else "done"
    if late:
        return "expired"
    return "cancelling" if stopped else "pending"


def results(handle: BatchHandle, state: BatchState) -> Flow[list[ResultFile]]:
    """Read every page of results and keep the rows as JSON lines, whatever the end was. Raises `ProviderError` when they are gone."""
    if state.output_ref is None:
        return []
    files: list[ResultFile] = []
    held = bytearray()
    query = f"?limit={PAGE}"
    for _ in range(MAX_PAGES):
        reply = yield from send(Send("GET", f"{_path(handle)}/results{query}"))
        rows, token = _results_page(reply)
        held += b"".join(_one_line(row) + b"\n" for row in rows)
        if held and (len(held) >= SAVED or not token):
            files.append(ResultFile("output", (yield from save(bytes(held))).path))
            held.clear()
        if not token:
            return files
        query = _following(query, token)
    raise WireError(f"the results did not end within {MAX_PAGES} pages")


class _Page(msgspec.Struct):
    results: list[msgspec.Raw] | None = None
    pagination_token: Json = None


_decode_page = msgspec.json.Decoder(_Page).decode


def _results_page(reply: Reply) -> tuple[list[msgspec.Raw], str | None]:
    """The rows of a page, unread, and the token of the next one."""
    if not reply.ok:
        raise parse_error(reply.status, reply.headers, reply.body)
    try:
        page = _decode_page(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"a page of results cannot be read: {error}") from error
    return page.results or [], _text(page.pagination_token)


def _one_line(row: msgspec.Raw) -> bytes:
    data = bytes(row)
    return encode(decode(data, what="a result")) if b"\n" in data or b"\r" in data else data


def cancel(handle: BatchHandle) -> Flow[bool]:
    """Ask for cancellation of what is pending. False when the job was over already."""
    reply = yield from send(Send("POST", f"{_path(handle)}:cancel"))
    if reply.ok:
        state = parse_state(_object(reply, "the batch"), _served_at(reply))
        return state.status is BatchStatus.CANCELLED or state.status not in TERMINAL
    error = parse_error(reply.status, reply.headers, reply.body)
    if error.kind is not ErrorKind.BAD_REQUEST:
        raise error
    now = yield from status(handle)
    if now.status not in TERMINAL:
        raise error
    return False


def find(form: Form, tag: BatchTag, since: float) -> Flow[list[Candidate]]:
    """Jobs named by our key that were created at or after `since`, from all pages, whose order is not documented.

    A container that was never filled is not ours to wait for: nobody will fill it any more.
    """
    found: list[Candidate] = []
    query = f"?limit={PAGE}"
    for _ in range(MAX_PAGES):
        reply = yield from send(Send("GET", f"/batches{query}"))
        page = _object(reply, "the list of batches")
        listed = page.get("batches")
        jobs = [job for job in listed if isinstance(job, dict)] if isinstance(listed, list) else []
        ours = [_candidate(job, _served_at(reply)) for job in jobs if job.get("name") == tag.key and _text(job.get("batch_id"))]
        found += [one for one in ours if (one.total or form == "file") and (one.created_at is None or one.created_at >= since)]
        token = _text(page.get("pagination_token"))
        if not token:
            return found
        query = _following(query, token)
    raise WireError(f"the list of batches did not end within {MAX_PAGES} pages")


def _following(query: str, token: str) -> str:
    """The query of the next page. Raises `WireError` when that is the page that was just read."""
    following = f"?limit={PAGE}&pagination_token={quote(token, safe='')}"
    if following == query:
        raise WireError("a page names itself as the next one", param="pagination_token")
    return following


def _candidate(job: JsonObject, now: float | None) -> Candidate:
    state = parse_state(job, now)
    handle = BatchHandle(_id(job), _text(job.get("input_file_id")), state.created_at)
    return Candidate(handle, "tag", state.total, state.created_at, state.status)


def _path(handle: BatchHandle) -> str:
    return f"/batches/{quote(handle.id, safe='')}"


def _object(reply: Reply, what: str) -> JsonObject:
    if not reply.ok:
        raise parse_error(reply.status, reply.headers, reply.body)
    return obj(decode(reply.body, what=what), what)


def _id(job: JsonObject) -> str:
    found = _text(job.get("batch_id"))
    if found is None:
        raise WireError("the answer names no batch id", param="batch_id")
    return found


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Json) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _seconds(value: Json) -> float | None:
    """An RFC 3339 time as epoch seconds; a time without a zone is one in UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _served_at(reply: Reply) -> float | None:
    """The provider's time, from the Date header."""
    try:
        return parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None


def row_decoder(kind: Literal["output", "error"]) -> ResultLines:
    """A decoder of kept results; this wire has one kind."""
    return ResultLines()


def dialect(form: Form) -> BatchDialect:
    """The envelope: rows added by calls ("requests"), or in one uploaded file ("file")."""
    return BatchDialect(
        name=XAI.name,
        limits=LIMITS,
        submit=partial(submit, form),
        status=status,
        results=results,
        cancel=cancel,
        find=partial(find, form),
        row_decoder=row_decoder,
    )


DIALECT = dialect("requests")
BY_FILE = dialect("file")
