"""Anthropic's message batches: requests inline, results as one JSONL stream (recorded traffic; Anthropic API reference)."""

from __future__ import annotations

import re

from headgate.sim import batches
from headgate.sim.anthropic_wire import error_body, execute, message, parse_message
from headgate.sim.bill import BATCH
from headgate.sim.clock import iso
from headgate.sim.exchange import Answer, Problem, answer_json, need_list, need_object, whole
from headgate.sim.state import BatchRecord, FileRecord
from headgate.sim.world import Call, Moment, World
from headgate.wire.json import JsonObject, decode, encode

POLL_HINT = "10"
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_STATUS = {"cancelling": "canceling", "completed": "ended", "expired": "ended", "cancelled": "ended", "failed": "ended"}
_LEFT_OVER = {"expired": "expired", "cancelled": "canceled"}
_COUNTED = {"succeeded": "completed", "errored": "failed", "canceled": "cancelled", "expired": "expired"}


def create(call: Call) -> Answer:
    """``POST /v1/messages/batches``; each request's params are checked only when it runs."""
    limits = call.world.settings.limits
    if len(call.request.body) > limits.anthropic_bytes:
        raise Problem("too_large", "Request exceeds the maximum size")
    body = call.json()
    if "requests" not in body:
        raise Problem("bad_request", "requests: Field required")
    requests = need_list(body["requests"], "requests")
    if not 1 <= len(requests) <= limits.anthropic_rows:
        raise Problem("bad_request", f"requests: List should have between 1 and {limits.anthropic_rows} items")
    _check(requests)
    first = requests[0]["params"].get("model")
    batch = BatchRecord(
        id=call.world.new_id("msgbatch_01", 22),
        provider="anthropic",
        account=call.account,
        serial=call.world.next_serial(),
        created_at=call.now,
        model=first if isinstance(first, str) else "",
        rows=len(requests),
        script=call.script,
    )
    call.world.batches.put(batch, call.request.body)
    call.world.keeper.note_time(call.now)
    call.entry.rows, call.entry.batch_id, call.entry.model = batch.rows, batch.id, batch.model
    return answer_json(document(call, batch))


def _check(requests: list[JsonObject]) -> None:
    seen: set[str] = set()
    for index, row in enumerate(requests):
        need_object(need_object(row, f"requests.{index}").get("params"), f"requests.{index}.params")
        custom_id = row.get("custom_id")
        if not isinstance(custom_id, str) or _CUSTOM_ID.fullmatch(custom_id) is None:
            raise Problem("bad_request", f"requests.{index}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
        if custom_id in seen:
            raise Problem("bad_request", f"requests.{index}.custom_id: Duplicate custom_id: {custom_id}")
        seen.add(custom_id)


def document(call: Call, batch: BatchRecord) -> JsonObject:
    """A message batch as it stands now; its counts stay at "processing" until the whole batch has ended."""
    world = call.world
    at = batches.look(world, batch)
    timings = world.settings.timings
    archived = batch.created_at + timings.retention
    is_archived = call.now >= archived
    ended = at.ended_at is not None
    counts = batch.counts
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": _STATUS.get(at.phase, "in_progress"),
        "request_counts": {
            "processing": 0 if ended else batch.rows,
            "succeeded": counts.completed,
            "errored": counts.failed,
            "canceled": counts.cancelled,
            "expired": counts.expired,
        },
        "ended_at": None if at.ended_at is None else iso(at.ended_at),
        "created_at": iso(batch.created_at),
        "expires_at": iso(batch.created_at + timings.window),
        "archived_at": iso(archived) if is_archived else None,
        "cancel_initiated_at": None if at.cancelling_at is None else iso(at.cancelling_at),
        "results_url": f"{call.origin}/anthropic/v1/messages/batches/{batch.id}/results" if ended and not is_archived else None,
    }


def find(call: Call) -> BatchRecord:
    """The batch named by the path, or 404."""
    key = call.params["batch"]
    batch = call.world.batches.get(key, "anthropic", call.account)
    if batch is None:
        raise Problem("not_found", f"Message batch {key} not found.")
    call.entry.batch_id = key
    return batch


def get(call: Call) -> Answer:
    """``GET /v1/messages/batches/{batch}``; while it runs, a Retry-After header says when to ask again."""
    body = document(call, find(call))
    running = body["processing_status"] != "ended"
    return answer_json(body, headers=(("retry-after", POLL_HINT),) if running else ())


def cancel(call: Call) -> Answer:
    """``POST /v1/messages/batches/{batch}/cancel``."""
    batch = find(call)
    if not batches.cancel(call.world, batch) and batches.look(call.world, batch).ended_at is not None:
        raise Problem("bad_request", f"Message batch {batch.id} cannot be canceled because it has already ended.")
    return answer_json(document(call, batch))


def delete(call: Call) -> Answer:
    """``DELETE /v1/messages/batches/{batch}``, once it has ended."""
    batch = find(call)
    if batches.look(call.world, batch).ended_at is None:
        raise Problem("bad_request", f"Message batch {batch.id} cannot be deleted while it is being processed. Cancel it first.")
    call.world.batches.drop(batch.id)
    call.world.files.drop(results_id(batch.id))
    return answer_json({"id": batch.id, "type": "message_batch_deleted"})


def listing(call: Call) -> Answer:
    """``GET /v1/messages/batches``, newest first, with ``limit``, ``after_id`` and ``before_id``."""
    query = call.request.query
    limit = whole(query.get("limit"), 20, 1, 1000, "limit")
    items = batches.newest_first(call.world, "anthropic", call.account)
    found, more = batches.page(items, limit, query.get("after_id"), query.get("before_id"))
    ends = {"first_id": found[0].id, "last_id": found[-1].id} if found else {"first_id": None, "last_id": None}
    return answer_json({"data": [document(call, batch) for batch in found], "has_more": more, **ends})


def results_id(batch_id: str) -> str:
    """The name under which a batch's results are kept."""
    return f"{batch_id}-results"


def results(call: Call) -> Answer:
    """``GET /v1/messages/batches/{batch}/results``, once it has ended and before it is archived."""
    batch = find(call)
    at = batches.look(call.world, batch)
    if at.ended_at is None:
        raise Problem("not_found", f"Message batch {batch.id} has no available results: it is still being processed.")
    if call.now >= batch.created_at + call.world.settings.timings.retention:
        raise Problem("not_found", f"Message batch {batch.id} has been archived; its results are no longer available.")
    return Answer(body=call.world.files.blob(results_id(batch.id)), content_type="application/x-jsonl")


def settle(world: World, batch: BatchRecord, at: Moment) -> None:
    """Execute the rows of a batch that has ended, bill them, and write its results."""
    rows = decode(world.batches.blob(batch.id))["requests"]
    executed, left = batches.split(world, batch, at.done)
    lines: list[bytes] = []
    for index in executed:
        lines.extend(_execute_row(world, batch, rows[index]))
    for index in left:
        lines.append(_line(batch, rows[index]["custom_id"], {"type": _LEFT_OVER[at.phase]}))
    data = b"".join(line + b"\n" for line in lines)
    record = FileRecord(
        id=results_id(batch.id),
        provider="anthropic",
        account=batch.account,
        filename="results.jsonl",
        purpose="batch_results",
        content_type="application/x-jsonl",
        created_at=batch.created_at,
        size=len(data),
    )
    world.files.put(record, data)


def _line(batch: BatchRecord, custom_id: str, result: JsonObject) -> bytes:
    """One result line; counts it."""
    field = _COUNTED[result["type"]]
    setattr(batch.counts, field, getattr(batch.counts, field) + 1)
    return encode({"custom_id": custom_id, "result": result})


def _execute_row(world: World, batch: BatchRecord, row: JsonObject) -> list[bytes]:
    custom_id = row["custom_id"]
    fate = batches.fate(world, batch, custom_id)
    if fate.kind == "expired":
        return [_line(batch, custom_id, {"type": "expired"})]
    request_id = world.new_id("req_01", 22)
    try:
        if fate.kind == "error":
            raise Problem(fate.error)
        call = batches.row_call(world, batch, fate.twist, request_id)
        said = execute(call, parse_message(row["params"]), tier="batch", use_cache=False)
    except Problem as problem:
        return [_line(batch, custom_id, {"type": "errored", "error": error_body(problem, request_id)})]
    if fate.billed:
        world.bill.add(
            "anthropic",
            batch.account,
            said.model,
            said.tokens,
            request_id=request_id,
            response_id=said.id,
            lane=BATCH,
            batch_id=batch.id,
            custom_id=custom_id,
        )
    line = _line(batch, custom_id, {"type": "succeeded", "message": message(said)})
    return batches.spoilt(world, line, fate.kind, custom_id)
