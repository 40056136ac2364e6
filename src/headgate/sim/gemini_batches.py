"""Gemini's batch mode: long-running operations over inline requests or a file (recorded traffic; Gemini API reference)."""

from __future__ import annotations

import msgspec

from headgate.errors import WireError
from headgate.sim import batches, gemini_files
from headgate.sim.bill import BATCH
from headgate.sim.clock import iso
from headgate.sim.dice import BASE36
from headgate.sim.exchange import Answer, Problem, answer_json, need_list, need_object, whole
from headgate.sim.faults import BatchEnd
from headgate.sim.gemini_wire import ERRORS, JSON_UTF8, RPC_CODES, execute, field, parse_generate, response
from headgate.sim.models import is_unknown
from headgate.sim.state import BatchRecord
from headgate.sim.world import Call, Moment, Phase, World
from headgate.wire.json import Json, JsonObject, decode, encode

BATCH_TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch"
OUTPUT_TYPE = BATCH_TYPE + "Output"
JSONL = "application/jsonl"
_STATES: dict[Phase, str] = {
    "validating": "BATCH_STATE_PENDING",
    "running": "BATCH_STATE_RUNNING",
    "finalizing": "BATCH_STATE_RUNNING",
    "cancelling": "BATCH_STATE_RUNNING",
    "completed": "BATCH_STATE_SUCCEEDED",
    "failed": "BATCH_STATE_FAILED",
    "cancelled": "BATCH_STATE_CANCELLED",
    "expired": "BATCH_STATE_EXPIRED",
}
_FAILURES: dict[Phase, tuple[int, str]] = {
    "failed": (3, "The batch input is not valid."),
    "cancelled": (1, "The batch was cancelled."),
    "expired": (4, "The batch expired before it was processed."),
}


class Row(msgspec.Struct, frozen=True):
    """One request: its `key` (file) or `metadata` (inline), and its body; None when the line could not be read."""

    name: str
    body: JsonObject | None
    metadata: Json = None


def create(call: Call) -> Answer:
    """``POST /v1beta/models/{model}:batchGenerateContent``."""
    model = call.params["model"]
    if is_unknown(model):
        raise Problem("model_not_found", f"models/{model} is not found for API version v1beta.")
    wanted = need_object(call.json().get("batch"), "batch")
    config = need_object(field(wanted, "inputConfig"), "batch.input_config")
    world = call.world
    active = [batch for batch in world.batches.of("gemini", call.account) if batches.look(world, batch).ended_at is None]
    if len(active) >= world.settings.limits.gemini_active:
        raise Problem("rate_limit", f"Too many concurrent batches; the limit is {world.settings.limits.gemini_active}.")
    file_name = field(config, "fileName")
    data = _file_rows(call, str(file_name)) if file_name else _inline_rows(call, config)
    rows = read_rows(data, inline=not file_name)
    failed = any(isinstance(action, BatchEnd) and action.end == "failed" for action in call.script)
    batch = BatchRecord(
        id=world.new_id("", 36, BASE36),
        provider="gemini",
        account=call.account,
        serial=world.next_serial(),
        created_at=call.now,
        model=model,
        rows=len(rows),
        options={"display_name": field(wanted, "displayName"), "file_name": file_name},
        errors=[{"code": "invalid"}] if failed or not rows or any(row.body is None for row in rows) else [],
        script=call.script,
    )
    world.batches.put(batch, data)
    world.keeper.note_time(call.now)
    call.entry.rows, call.entry.batch_id, call.entry.tag = batch.rows, batch.id, batch.options["display_name"]
    return answer_json(document(world, batch), content_type=JSON_UTF8)


def _file_rows(call: Call, name: str) -> bytes:
    record = call.world.files.get(name.removeprefix("files/"), "gemini", call.account)
    if record is None or record.purpose == gemini_files.HIDDEN:
        raise Problem("not_found", f"File {name} not found.")
    return call.world.files.blob(record.id)


def _inline_rows(call: Call, config: JsonObject) -> bytes:
    if len(call.request.body) > call.world.settings.limits.gemini_inline_bytes:
        raise Problem("bad_request", "Request payload size exceeds the limit: 20971520 bytes.")
    outer = need_object(config.get("requests"), "batch.input_config.requests")
    listed = need_list(outer.get("requests"), "batch.input_config.requests.requests")
    for index, item in enumerate(listed):
        need_object(need_object(item, f"requests[{index}]").get("request"), f"requests[{index}].request")
    if not listed:
        raise Problem("bad_request", "* BatchGenerateContentRequest.batch.input_config: requests must not be empty.")
    return encode(listed)


def read_rows(data: bytes, *, inline: bool) -> list[Row]:
    """The requests of a batch in their order."""
    if inline:
        return [Row(f"{index}", item["request"], item.get("metadata")) for index, item in enumerate(decode(data))]
    return [_file_row(index, line) for index, line in enumerate(data.split(b"\n")) if line.strip()]


def _file_row(index: int, line: bytes) -> Row:
    try:
        item = decode(line)
    except WireError:
        return Row(f"{index}", None)
    body = item.get("request") if isinstance(item, dict) else None
    return Row(str(item.get("key", "")) if isinstance(item, dict) else "", body if isinstance(body, dict) else None)


def document(world: World, batch: BatchRecord) -> JsonObject:
    """The long-running operation as it stands now."""
    at = batches.look(world, batch)
    output = _output(world, batch, at)
    name = f"batches/{batch.id}"
    ended = at.ended_at
    metadata: JsonObject = {"@type": BATCH_TYPE, "model": f"models/{batch.model}"}
    if batch.options["display_name"] is not None:
        metadata["displayName"] = batch.options["display_name"]
    if batch.options["file_name"]:
        metadata["inputConfig"] = {"fileName": batch.options["file_name"]}
    if output is not None:
        metadata["output"] = output
    metadata["createTime"] = iso(batch.created_at, "Z")
    if ended is not None:
        metadata["endTime"] = iso(ended, "Z")
    metadata |= {
        "updateTime": iso(ended or batch.created_at, "Z"),
        "batchStats": _stats(batch, at),
        "state": _STATES[at.phase],
        "name": name,
    }
    operation: JsonObject = {"name": name, "metadata": metadata}
    return operation if ended is None else {**operation, "done": True, **_outcome(at, output)}


def _outcome(at: Moment, output: JsonObject | None) -> JsonObject:
    made: JsonObject = {} if output is None else {"response": {"@type": OUTPUT_TYPE, **output}}
    if at.phase in _FAILURES and output is None:
        code, message = _FAILURES[at.phase]
        made["error"] = {"code": code, "message": message}
    return made


def _output(world: World, batch: BatchRecord, at: Moment) -> JsonObject | None:
    if at.ended_at is None or "output" not in batch.result or _lags(batch):
        return None
    key = batch.result["output"]
    if batch.options["file_name"]:
        return {"responsesFile": f"files/{key}"}
    return {"inlinedResponses": {"inlinedResponses": [_item(line) for line in world.files.blob(key).split(b"\n") if line]}}


def _item(line: bytes) -> Json:
    """One inline result; a torn one is but a piece of text."""
    try:
        return decode(line)
    except WireError:
        return line.decode("utf-8", "replace")


def _lags(batch: BatchRecord) -> bool:
    end = batches.scripted_end(batch)
    return end is not None and end.end == "output_lag" and batch.polls_after_end < end.polls


def _stats(batch: BatchRecord, at: Moment) -> JsonObject:
    """Counts as strings; those that are zero are left out."""
    counts = {"requestCount": batch.rows}
    if at.ended_at is None:
        counts["pendingRequestCount"] = batch.rows
    else:
        counts |= {"successfulRequestCount": batch.counts.completed, "failedRequestCount": batch.counts.failed}
    return {name: str(value) for name, value in counts.items() if value}


def find(call: Call) -> BatchRecord:
    """The batch named by the path, or 404."""
    batch = call.world.batches.get(call.params["batch"], "gemini", call.account)
    if batch is None:
        raise Problem("not_found")
    call.entry.batch_id = batch.id
    return batch


def get(call: Call) -> Answer:
    """``GET /v1beta/batches/{batch}``."""
    batch = find(call)
    answer = answer_json(document(call.world, batch), content_type=JSON_UTF8)
    if batch.settled:
        batch.polls_after_end += 1
        call.world.batches.put(batch)
    return answer


def listing(call: Call) -> Answer:
    """``GET /v1beta/batches`` with ``pageSize`` and ``pageToken``, newest first."""
    query = call.request.query
    size = whole(query.get("pageSize"), 50, 1, 1000, "pageSize")
    start = whole(query.get("pageToken"), 0, 0, 1_000_000, "pageToken")
    items = batches.newest_first(call.world, "gemini", call.account)
    body: JsonObject = {"operations": [document(call.world, batch) for batch in items[start : start + size]]}
    if start + size < len(items):
        body["nextPageToken"] = str(start + size)
    return answer_json(body if body["operations"] else {}, content_type=JSON_UTF8)


def cancel(call: Call) -> Answer:
    """``POST /v1beta/batches/{batch}:cancel``: best effort, answers an empty object even when it comes too late."""
    batches.cancel(call.world, find(call))
    return answer_json({}, content_type=JSON_UTF8)


def delete(call: Call) -> Answer:
    """``DELETE /v1beta/batches/{batch}``."""
    call.world.batches.drop(find(call).id)
    return answer_json({}, content_type=JSON_UTF8)


def settle(world: World, batch: BatchRecord, at: Moment) -> None:
    """Execute the rows of a batch that has ended, bill them, and write its results.

    A cancelled or expired batch has no results and costs nothing, unless its script says that part of it was done.
    """
    scripted = batches.scripted_end(batch)
    partial = at.phase in ("expired", "cancelled") and scripted is not None and scripted.end == at.phase
    if at.phase != "completed" and not partial:
        return
    inline = not batch.options["file_name"]
    rows = read_rows(world.batches.blob(batch.id), inline=inline)
    executed, left = batches.split(world, batch, at.done)
    lines = {index: _execute_row(world, batch, rows[index]) for index in executed}
    lines |= {index: [_failed(batch, rows[index], 4 if at.phase == "expired" else 1, f"The batch {at.phase}.")] for index in left}
    order = sorted(lines) if inline else [*executed, *left]
    data = b"".join(line + b"\n" for index in order for line in lines[index])
    key = f"batch-{batch.id}"
    purpose = gemini_files.HIDDEN if inline else gemini_files.OUTPUT
    ended = at.ended_at or world.clock.now()
    gemini_files.store(world, batch.account, key, key, JSONL, data, ended, purpose)
    batch.result["output"] = key


def _named(row: Row, inline: bool, fields: JsonObject) -> bytes:
    if not inline:
        return encode({"key": row.name, **fields})
    return encode(fields if row.metadata is None else {**fields, "metadata": row.metadata})


def _failed(batch: BatchRecord, row: Row, code: int, message: str) -> bytes:
    batch.counts.failed += 1
    return _named(row, not batch.options["file_name"], {"error": {"code": code, "message": message}})


def _fault_key(row: Row) -> str:
    """What chooses a row for a fault: its key, or the key its metadata carries."""
    named = row.metadata.get("key", row.metadata.get("custom_id")) if isinstance(row.metadata, dict) else None
    return row.name if named is None else str(named)


def _execute_row(world: World, batch: BatchRecord, row: Row) -> list[bytes]:
    name = _fault_key(row)
    fate = batches.fate(world, batch, name)
    if fate.kind == "expired":
        return [_failed(batch, row, 4, "The request expired.")]
    try:
        if fate.kind == "error" or row.body is None:
            raise Problem(fate.error)
        call = batches.row_call(world, batch, fate.twist, "")
        made = execute(call, parse_generate(batch.model, row.body))
    except Problem as problem:
        _, status, message = ERRORS[problem.name]
        return [_failed(batch, row, RPC_CODES[status], problem.message or message)]
    batch.counts.completed += 1
    if fate.billed:
        world.bill.add(
            "gemini",
            batch.account,
            made.model,
            made.tokens,
            request_id=made.id,
            response_id=made.id,
            lane=BATCH,
            batch_id=batch.id,
            custom_id=name,
        )
    line = _named(row, not batch.options["file_name"], {"response": response(made)})
    return batches.spoilt(world, line, fate.kind, name)
