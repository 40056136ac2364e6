"""Amazon Bedrock's batch envelope: a JSONL object in S3, a model invocation job over it, JSONL objects with the results.

* Jobs are made on the control plane (host "control"), objects lie in S3 (host "s3"); every call is signed by whoever sends it.
* The provider's variables name the bucket (`batch_bucket`, with or without a prefix) and the role Bedrock works under (`batch_role`).
* ``clientRequestToken`` is our key: creating the same job twice makes it once. Rows are told apart by ``recordId``; their order is free.
* Results lie under the job's own name: one ``.jsonl.out`` for the input, and ``manifest.json.out`` with the counts.
* A job has at least 100 records. Fewer are refused here, before anything is uploaded.

Source: Amazon Bedrock API reference (CreateModelInvocationJob and its neighbours), user guide ("Batch inference").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
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
from headgate.dialects.batch_aws import (
    Place,
    drop_object,
    fetch_object,
    get_object,
    list_objects,
    parse_error,
    place_of,
    put_object,
)
from headgate.dialects.batch_bedrock_rows import Records
from headgate.dialects.batch_check import check_rows
from headgate.dialects.batch_facts import END_OF_TIME
from headgate.dialects.batch_tables import BEDROCK
from headgate.errors import ConfigError, ErrorKind, HeadgateError, WireError
from headgate.wire.http import Flow, Reply, Send, send
from headgate.wire.json import Json, JsonObject, Raw, decode, encode, obj

CONTROL = "control"
"""Key of the provider's control plane address."""
LIMITS = BEDROCK.limits
INPUT = "rows.jsonl"
OUTPUT = ".jsonl.out"
MANIFEST = "manifest.json.out"
TRANSFER_TIMEOUT = 1800.0
PAGE = 100
MAX_PAGES = 1000

_JSON = (("content-type", "application/json"),)
_CHUNK = 256 << 10
_TOKEN = re.compile(r"[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*")
_WITH_OUTPUT = frozenset({BatchStatus.COMPLETED, BatchStatus.PARTIAL})


class _Lines(msgspec.Struct, frozen=True):
    """The input object as a `Body`: one line per row, written anew each time it is read."""

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


def _line(row: BatchRequestRow) -> bytes:
    body = row.body
    if b"\n" in body or b"\r" in body:
        body = encode(decode(body, what=f"row {row.custom_id}", fault="local"))
    return encode({"recordId": BEDROCK.ids.safe(row.custom_id), "modelInput": Raw(body)}) + b"\n"


def job_name(key: str) -> str:
    """Our key as a job's name and token: letters, digits and single hyphens, at most 63. What does not fit is replaced by its digest."""
    if len(key) <= 63 and _TOKEN.fullmatch(key):
        return key
    plain = re.sub(r"[^a-zA-Z0-9]+", "-", key).strip("-")[:46]
    return f"{plain}-{sha256(key.encode()).hexdigest()[:16]}".lstrip("-")


def _home(tag: BatchTag) -> tuple[Place, str]:
    """The folder of a job and the role. Raises `ConfigError` when the provider's variables do not name them."""
    place, role = place_of(tag.variables.get("batch_bucket", "")), tag.variables.get("batch_role", "")
    if place is None or not role:
        what = "an S3 bucket" if place is None else "the ARN of a service role"
        name = "batch_bucket" if place is None else "batch_role"
        raise ConfigError(f"{BEDROCK.label} batches need {what}", hint=f"set {name} in the provider's settings")
    return place.under(tag.key), role


def submit(tag: BatchTag, body: BatchBody) -> Flow[BatchHandle]:
    """Put the rows into the bucket and create the job. Raises `UsageError` before anything is sent when Bedrock would refuse them.

    A job that was certainly refused leaves no object behind.
    """
    home, role = _home(tag)
    hours = BEDROCK.hours(tag.window)
    report = check_rows(body, BEDROCK, lambda row: len(_line(row)))
    report.must_be_clean()
    yield from put_object(home, INPUT, _Lines(body, report.bytes), "application/jsonl", TRANSFER_TIMEOUT)
    reply = yield from send(Send("POST", "/model-invocation-job", encode(_wanted(tag, home, role, hours)), _JSON, once=True, host=CONTROL))
    if not reply.ok:
        yield from _refused(reply, home)
    arn = _object(reply, "the new job").get("jobArn")
    if not isinstance(arn, str) or not arn:
        raise WireError("the answer names no job", param="jobArn")
    return BatchHandle(arn, home.uri(INPUT))


def _wanted(tag: BatchTag, home: Place, role: str, hours: int) -> JsonObject:
    return {
        "jobName": job_name(tag.key),
        "clientRequestToken": job_name(tag.key),
        "roleArn": role,
        "modelId": tag.model,
        "modelInvocationType": "InvokeModel" if tag.endpoint.endswith("/invoke") else "Converse",
        "inputDataConfig": {"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": home.uri(INPUT)}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": home.under("out").uri()}},
        "timeoutDurationInHours": hours,
    }


def _refused(reply: Reply, home: Place) -> Flow[None]:
    """Raise what `reply` says. The object goes when the job certainly does not exist; after a 5xx it may, so the object stays."""
    error = parse_error(reply.status, reply.headers, reply.body)
    if 400 <= reply.status < 500 and reply.status != 408:
        try:
            yield from drop_object(home, INPUT)
        except HeadgateError as failure:
            raise error from failure
    raise error


def status(handle: BatchHandle) -> Flow[BatchState]:
    """One look at the job; when it has results to show, at their objects too. A job that is gone raises `ProviderError(not_found)`."""
    job = _object((yield from send(Send("GET", _path(handle), host=CONTROL))), "the job")
    state = parse_state(job)
    output = place_of(state.output_ref or "")
    if state.status not in _WITH_OUTPUT or output is None:
        return state
    names = yield from list_objects(output)
    if not any(name.endswith(OUTPUT) for name in names):
        return msgspec.structs.replace(state, lagging=True)
    if state.total is None and MANIFEST in names:
        manifest = decode((yield from get_object(output, MANIFEST)), what="the manifest")
        return msgspec.structs.replace(state, **_counts(obj(manifest, "manifest")))
    return state


def parse_state(job: JsonObject) -> BatchState:
    """Read a job or its summary. The results lie under the job's id; a job that failed may have some as well."""
    word = job.get("status")
    word = word if isinstance(word, str) else ""
    found = BEDROCK.status(word)
    message, counts = job.get("message"), _counts(job)
    return BatchState(
        status=found,
        raw_status=word,
        total=counts["total"],
        succeeded=counts["succeeded"],
        failed=counts["failed"],
        output_ref=_output_of(job) if found in TERMINAL else None,
        expires_at=_seconds(job.get("jobExpirationTime")),
        created_at=_seconds(job.get("submitTime")),
        errors=({"message": message},) if isinstance(message, str) and message else (),
        raw=job,
    )


def _counts(value: JsonObject) -> dict[str, int | None]:
    names = {"total": "totalRecordCount", "succeeded": "successRecordCount", "failed": "errorRecordCount"}
    return {ours: _count(value.get(theirs)) for ours, theirs in names.items()}


def _output_of(job: JsonObject) -> str | None:
    """Where a job's results lie, as an S3 URI."""
    config = job.get("outputDataConfig")
    inner = config.get("s3OutputDataConfig") if isinstance(config, dict) else None
    uri = inner.get("s3Uri") if isinstance(inner, dict) else None
    place = place_of(uri) if isinstance(uri, str) else None
    arn = job.get("jobArn")
    return place.under(_job_id(arn)).uri() if place is not None and isinstance(arn, str) else None


def results(handle: BatchHandle, state: BatchState) -> Flow[list[ResultFile]]:
    """Download every output object that exists, whatever the terminal state."""
    output = place_of(state.output_ref or "")
    if output is None:
        return []
    files: list[ResultFile] = []
    for name in sorted((yield from list_objects(output))):
        if name.endswith(OUTPUT):
            files.append(ResultFile("output", (yield from fetch_object(output, name, TRANSFER_TIMEOUT)).path))
    return files


def cancel(handle: BatchHandle) -> Flow[bool]:
    """Ask for a stop. False when the job was over already."""
    reply = yield from send(Send("POST", f"{_path(handle)}/stop", host=CONTROL))
    if reply.ok:
        return True
    error = parse_error(reply.status, reply.headers, reply.body)
    if error.kind is not ErrorKind.BAD_REQUEST:
        raise error
    job = _object((yield from send(Send("GET", _path(handle), host=CONTROL))), "the job")
    if parse_state(job).status not in TERMINAL:
        raise error
    return False


def find(tag: BatchTag, since: float) -> Flow[list[Candidate]]:
    """Jobs submitted at or after `since` under our token, newest first."""
    name = job_name(tag.key)
    after = datetime.fromtimestamp(int(since), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    query = f"?maxResults={PAGE}&sortBy=CreationTime&sortOrder=Descending&nameContains={name}&submitTimeAfter={quote(after, safe='')}"
    found: list[Candidate] = []
    token = ""
    for _ in range(MAX_PAGES):
        following = f"&nextToken={quote(token, safe='')}" if token else ""
        page = _object((yield from send(Send("GET", f"/model-invocation-jobs{query}{following}", host=CONTROL))), "the list of jobs")
        listed = page.get("invocationJobSummaries")
        jobs = [job for job in listed if isinstance(job, dict)] if isinstance(listed, list) else []
        ours = [job for job in jobs if name in (job.get("clientRequestToken"), job.get("jobName")) and isinstance(job.get("jobArn"), str)]
        found += [one for one in map(_candidate, ours) if one.created_at is None or one.created_at >= since]
        following_token = page.get("nextToken")
        if not isinstance(following_token, str) or following_token in ("", token):
            return found
        token = following_token
    raise WireError(f"the list of jobs did not end within {MAX_PAGES} pages")


def _candidate(job: JsonObject) -> Candidate:
    state = parse_state(job)
    config = job.get("inputDataConfig")
    inner = config.get("s3InputDataConfig") if isinstance(config, dict) else None
    uri = inner.get("s3Uri") if isinstance(inner, dict) else None
    handle = BatchHandle(job["jobArn"], uri if isinstance(uri, str) else None, state.created_at)
    return Candidate(handle, "tag", state.total, state.created_at, state.status)


def _job_id(arn: str) -> str:
    return arn.rpartition("/")[2]


def _path(handle: BatchHandle) -> str:
    return f"/model-invocation-job/{quote(_job_id(handle.id), safe='')}"


def _object(reply: Reply, what: str) -> JsonObject:
    if not reply.ok:
        raise parse_error(reply.status, reply.headers, reply.body)
    return obj(decode(reply.body, what=what), what)


def _count(value: Json) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _seconds(value: Json) -> float | None:
    """Epoch seconds, from a number or an ISO 8601 time with its zone."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return moment.timestamp() if moment.tzinfo is not None else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < END_OF_TIME else None


def row_decoder(kind: Literal["output", "error"]) -> Records:
    """A decoder of an output object; this wire has one kind."""
    return Records()


DIALECT = BatchDialect(
    name=BEDROCK.name,
    limits=LIMITS,
    submit=submit,
    status=status,
    results=results,
    cancel=cancel,
    find=find,
    row_decoder=row_decoder,
)
