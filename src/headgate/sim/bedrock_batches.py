"""Bedrock's batch inference: jobs on the control plane, records in and out through S3 (Bedrock API reference and user guide).

Jobs live beside the runtime's routes. A job may be named by its ARN or by the twelve characters at its end. Making the same job twice
under one ``clientRequestToken`` makes it once.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from headgate.errors import WireError
from headgate.sim import anthropic_wire, batches, bedrock_invoke, bedrock_wire, s3
from headgate.sim.anthropic_wire import Said
from headgate.sim.bill import BATCH
from headgate.sim.clock import iso
from headgate.sim.dice import BASE36
from headgate.sim.exchange import Answer, Problem, answer_json, need_object, whole
from headgate.sim.models import is_unknown
from headgate.sim.openai_batches import numbered, scripted_failure
from headgate.sim.state import BatchRecord
from headgate.sim.world import Call, Moment, Phase, Route, World
from headgate.wire.json import Json, JsonObject, decode, encode

PROVIDER = "bedrock"
HOUR = 3600.0
OUTPUT = ".out"
MANIFEST = "manifest.json.out"
_ARN = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/"
_NAME = re.compile(r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9+.-]){0,63}")
_TOKEN = re.compile(r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}")
_ROLE = re.compile(r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+")
_URI = re.compile(r"s3://([a-z0-9][-.a-z0-9]{1,61}[a-z0-9])/(.*)")
_STATUS: dict[Phase, str] = {
    "validating": "Submitted",
    "running": "InProgress",
    "finalizing": "InProgress",
    "cancelling": "Stopping",
    "completed": "Completed",
    "failed": "Failed",
    "expired": "Expired",
    "cancelled": "Stopped",
}
_RUNS: dict[str, tuple[Callable[[str, JsonObject], anthropic_wire.Turn], Callable[[Said], JsonObject]]] = {
    "Converse": (bedrock_wire.parse_converse, bedrock_wire.whole),
    "InvokeModel": (bedrock_invoke.parse_invoke, bedrock_invoke.whole),
}
_ROW_STATUS = {"rate_limit": 429, "server": 500, "unavailable": 503, "overloaded": 503, "timeout": 408}


def create(call: Call) -> Answer:
    """``POST /model-invocation-job``; the records are looked at later, while the job is validated."""
    body = call.json()
    name, token = _text(body, "jobName", _NAME), body.get("clientRequestToken")
    if token is not None:
        _text(body, "clientRequestToken", _TOKEN)
        known = next((job for job in call.world.batches.of(PROVIDER, call.account) if job.options["token"] == token), None)
        if known is not None:
            return answer_json({"jobArn": _ARN + known.id})
    _text(body, "roleArn", _ROLE)
    model = _text(body, "modelId", re.compile(".+"))
    if is_unknown(model):
        raise Problem("model_not_found")
    kind = body.get("modelInvocationType", "InvokeModel")
    if kind not in _RUNS:
        raise Problem(
            "bad_request", f"Value '{kind}' at 'modelInvocationType' failed to satisfy constraint: Member must satisfy enum value set"
        )
    source, target = _uri(body, "inputDataConfig", "s3InputDataConfig"), _uri(body, "outputDataConfig", "s3OutputDataConfig")
    hours = body.get("timeoutDurationInHours", 24)
    if type(hours) is not int or not 24 <= hours <= 168:
        raise Problem("bad_request", "timeoutDurationInHours must be between 24 and 168")
    return answer_json({"jobArn": _ARN + _accept(call, body, (name, model, kind, hours), source, target).id})


def _accept(call: Call, body: JsonObject, named: tuple[str, str, str, int], source: str, target: str) -> BatchRecord:
    name, model, kind, hours = named
    data, errors = _input(call, source)
    rows = sum(1 for _ in numbered(data))
    kept = {key: body[key] for key in ("roleArn", "inputDataConfig", "outputDataConfig")}
    own = {"name": name, "token": body.get("clientRequestToken"), "kind": kind, "hours": hours, "source": source, "target": target}
    job = BatchRecord(
        id=call.world.new_id("", 12, BASE36),
        provider=PROVIDER,
        account=call.account,
        serial=call.world.next_serial(),
        created_at=call.now,
        model=model,
        rows=rows,
        options={**kept, **own, **({} if hours == 24 else {"window": hours * HOUR})},
        errors=errors or scripted_failure(call),
        script=call.script,
    )
    call.world.batches.put(job, data)
    call.world.keeper.note_time(call.now)
    call.entry.rows, call.entry.batch_id, call.entry.tag, call.entry.model = rows, job.id, body.get("clientRequestToken"), model
    return job


def _text(body: JsonObject, name: str, pattern: re.Pattern[str]) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Problem("bad_request", f"Value at '{name}' failed to satisfy constraint: Member must satisfy regular expression pattern")
    return value


def _uri(body: JsonObject, outer: str, inner: str) -> str:
    """The S3 URI in a data configuration."""
    value = need_object(need_object(body.get(outer), outer).get(inner), inner).get("s3Uri")
    if not isinstance(value, str) or not _URI.fullmatch(value):
        raise Problem("bad_request", f"{outer}.{inner}.s3Uri is not an S3 URI")
    return value


def _place(uri: str) -> tuple[str, str]:
    """Bucket and key of a URI that was checked."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _input(call: Call, source: str) -> tuple[bytes, list[JsonObject]]:
    """The records of a job, and why it will fail at validation."""
    data = s3.read(call.world, call.account, *_place(source))
    if data is None:
        return b"", [{"message": f"The input at {source} does not exist or is not accessible with the role."}]
    limits = call.world.settings.limits
    rows = 0
    for number, line in numbered(data):
        rows += 1
        if not _is_record(line):
            return data, [{"message": f"Line {number} is not a JSON object with a modelInput."}]
    if rows < limits.bedrock_min_rows:
        return data, [{"message": f"Batch job contains less records ({rows}) than the required minimum of: {limits.bedrock_min_rows}"}]
    if rows > limits.bedrock_rows:
        return data, [{"message": f"Batch job contains more records ({rows}) than the allowed maximum of: {limits.bedrock_rows}"}]
    return data, []


def _is_record(line: bytes) -> bool:
    try:
        record = decode(line)
    except WireError:
        return False
    return isinstance(record, dict) and isinstance(record.get("modelInput"), dict)


def document(world: World, job: BatchRecord) -> JsonObject:
    """A job as it stands now."""
    at = batches.look(world, job)
    options = job.options
    known = at.phase != "validating" and not job.errors
    done = job.counts.completed + job.counts.failed if job.settled else at.done
    fields: JsonObject = {
        "jobArn": _ARN + job.id,
        "jobName": options["name"],
        "modelId": job.model,
        "clientRequestToken": options["token"],
        "roleArn": options["roleArn"],
        "status": _status(job, at),
        "message": job.errors[0]["message"] if at.phase == "failed" else None,
        "submitTime": iso(job.created_at, "Z"),
        "lastModifiedTime": iso(at.ended_at or at.running_at or job.created_at, "Z"),
        "endTime": iso(at.ended_at, "Z") if at.ended_at is not None else None,
        "inputDataConfig": options["inputDataConfig"],
        "outputDataConfig": options["outputDataConfig"],
        "timeoutDurationInHours": options["hours"],
        "jobExpirationTime": iso(job.created_at + options["hours"] * HOUR, "Z"),
        "modelInvocationType": options["kind"],
        "totalRecordCount": job.rows if known else None,
        "processedRecordCount": done if known else None,
        "successRecordCount": done - job.counts.failed if known else None,
        "errorRecordCount": job.counts.failed if known else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _status(job: BatchRecord, at: Moment) -> str:
    """The word for a moment. A job that ran out of time after it began is only partly completed."""
    return "PartiallyCompleted" if at.phase == "expired" and at.done else _STATUS[at.phase]


def find(call: Call) -> BatchRecord:
    """The job named by the path, by its ARN or its last part, or 404."""
    key = call.params["job"].rpartition("/")[2]
    job = call.world.batches.get(key, PROVIDER, call.account)
    if job is None:
        raise Problem("not_found", f"Could not find the model invocation job {key}.", code="ResourceNotFoundException")
    call.entry.batch_id = key
    return job


def get(call: Call) -> Answer:
    """``GET /model-invocation-job/{job}``. Output that lags turns up after some more reads."""
    job = find(call)
    answer = answer_json(document(call.world, job))
    if job.settled:
        job.polls_after_end += 1
        call.world.batches.put(job)
        _publish(call.world, job)
    return answer


def stop(call: Call) -> Answer:
    """``POST /model-invocation-job/{job}/stop``."""
    job = find(call)
    if not batches.cancel(call.world, job) and batches.look(call.world, job).ended_at is not None:
        raise Problem("conflict", f"The job cannot be stopped: its status is {document(call.world, job)['status']}.")
    return answer_json({})


def listing(call: Call) -> Answer:
    """``GET /model-invocation-jobs`` with ``nameContains``, ``submitTimeAfter``, ``statusEquals``, ``maxResults`` and ``nextToken``."""
    query = call.request.query
    size = whole(query.get("maxResults"), 100, 1, 1000, "maxResults")
    start = whole(query.get("nextToken"), 0, 0, 1_000_000, "nextToken")
    jobs = [document(call.world, job) for job in batches.newest_first(call.world, PROVIDER, call.account)]
    if query.get("sortOrder") == "Ascending":
        jobs.reverse()
    found = [job for job in jobs if _matches(job, query)]
    page: JsonObject = {"invocationJobSummaries": found[start : start + size]}
    return answer_json({**page, "nextToken": str(start + size)} if start + size < len(found) else page)


def _matches(job: JsonObject, query: dict[str, str]) -> bool:
    after = query.get("submitTimeAfter", "").replace("Z", "")
    return (
        query.get("nameContains", "") in job["jobName"]
        and job["submitTime"].replace("Z", "") > after
        and query.get("statusEquals") in (None, job["status"])
    )


def settle(world: World, job: BatchRecord, at: Moment) -> None:
    """Execute the records of a job that has ended, bill them, and write its output and its manifest.

    Records that were never worked on do not come back at all.
    """
    if at.phase == "failed":
        return
    records = [decode(line) for _, line in numbered(world.batches.blob(job.id))]
    executed, _ = batches.split(world, job, at.done)
    lines: list[bytes] = []
    totals = {"inputTokenCount": 0, "outputTokenCount": 0}
    for index in executed:
        lines += _execute(world, job, index, records[index], totals)
    counts = job.counts
    manifest = {
        "totalRecordCount": job.rows,
        "processedRecordCount": len(executed),
        "successRecordCount": counts.completed,
        "errorRecordCount": counts.failed,
        **totals,
    }
    job.result = {"output": b"".join(line + b"\n" for line in lines).decode("utf-8", "replace"), "manifest": encode(manifest).decode()}
    _publish(world, job)


def _publish(world: World, job: BatchRecord) -> None:
    """Write the output where the job was told to, once its script lets it be seen."""
    end = batches.scripted_end(job)
    if not job.result or (end is not None and end.end == "output_lag" and job.polls_after_end < end.polls):
        return
    bucket, prefix = _place(job.options["target"])
    folder = f"{prefix.rstrip('/')}/{job.id}/".lstrip("/")
    name = job.options["source"].rpartition("/")[2] + OUTPUT
    at = job.ended_at or world.clock.now()
    s3.write(world, job.account, bucket, folder + name, job.result["output"].encode(), at)
    s3.write(world, job.account, bucket, folder + MANIFEST, job.result["manifest"].encode(), at)
    job.result = {}
    world.batches.put(job)


def _execute(world: World, job: BatchRecord, index: int, record: JsonObject, totals: dict[str, int]) -> list[bytes]:
    name = str(record.get("recordId") or f"{index:011d}")
    fate = batches.fate(world, job, name)
    request_id = world.new_uuid()
    parse, render = _RUNS[job.options["kind"]]
    try:
        if fate.kind in ("error", "expired"):
            raise Problem("timeout" if fate.kind == "expired" else fate.error)
        call = batches.row_call(world, job, fate.twist, request_id)
        said = anthropic_wire.execute(call, parse(job.model, record["modelInput"]), use_cache=False)
    except Problem as problem:
        job.counts.failed += 1
        status = _ROW_STATUS.get(problem.name, 400)
        message = problem.message or bedrock_wire.BEDROCK_ERRORS[problem.name][2]
        return [_line(name, record["modelInput"], "error", {"errorCode": status, "errorMessage": message})]
    job.counts.completed += 1
    totals["inputTokenCount"] += said.tokens.input
    totals["outputTokenCount"] += said.tokens.output + said.tokens.reasoning
    if fate.billed:
        world.bill.add(
            PROVIDER,
            job.account,
            said.model,
            said.tokens,
            request_id=request_id,
            response_id=said.id,
            lane=BATCH,
            batch_id=job.id,
            custom_id=name,
        )
    return batches.spoilt(world, _line(name, record["modelInput"], "modelOutput", render(said)), fate.kind, name)


def _line(name: str, given: JsonObject, field: str, value: Json) -> bytes:
    return encode({"modelInput": given, field: value, "recordId": name})


ROUTES = (
    Route("POST", "/model-invocation-job", "batch_create", create),
    Route("GET", "/model-invocation-jobs", "batch_list", listing),
    Route("POST", "/model-invocation-job/{job...}/stop", "batch_cancel", stop),
    Route("GET", "/model-invocation-job/{job...}", "batch_get", get),
)
