"""xAI's batch API: a container that is filled by calls or from a file, counts for a state, results in pages (xAI API reference and guide).

Before its requests are known a batch counts nothing. Requests that are added are worked on at once; the answer to adding them is ``null``.
"""

from __future__ import annotations

import msgspec

from headgate.errors import WireError
from headgate.sim import batches
from headgate.sim.batch_rules import Rules
from headgate.sim.bill import BATCH
from headgate.sim.clock import iso
from headgate.sim.exchange import Answer, Problem, answer_json, need_list, need_object, whole
from headgate.sim.models import is_unknown
from headgate.sim.openai_batches import numbered, scripted_failure
from headgate.sim.state import BatchRecord, FileRecord
from headgate.sim.world import Call, Moment, World
from headgate.wire.json import Json, JsonObject, decode, encode

KEPT_FOR = 30 * 24 * 3600.0
KINDS = ("chat_get_completion",)
_LEFT_OVER = {"expired": (4, "The request was not processed before the batch expired."), "cancelled": (1, "The request was cancelled.")}
_RPC = {
    "auth": 16,
    "permission": 7,
    "not_found": 5,
    "model_not_found": 5,
    "rate_limit": 8,
    "quota": 8,
    "server": 13,
    "unavailable": 14,
    "overloaded": 14,
    "timeout": 4,
    "conflict": 10,
}
"""Error name -> google.rpc.Code; the rest are invalid arguments (3)."""


def create(rules: Rules, call: Call) -> Answer:
    """``POST /v1/batches``: an empty container, or one over an uploaded file of requests."""
    body = call.json()
    name, file = body.get("name"), body.get("input_file_id")
    if not isinstance(name, str) or not name:
        raise Problem("bad_request", "name is required")
    items: list[JsonObject] = []
    errors = scripted_failure(call)
    if file is not None:
        record = call.world.files.get(str(file), call.provider, call.account)
        if record is None:
            raise Problem("not_found", f"File {file} was not found.")
        items, wrong = _file_items(call.world.files.blob(record.id))
        errors = [*wrong, *errors]
    batch = BatchRecord(
        id=f"batch_{call.world.new_uuid()}",
        provider=call.provider,
        account=call.account,
        serial=call.world.next_serial(),
        created_at=call.now,
        model="",
        rows=len(items),
        options={"name": name, "file": file, "created": call.now},
        errors=errors,
        script=call.script,
    )
    call.world.batches.put(batch, _lines(items))
    call.world.keeper.note_time(call.now)
    call.entry.rows, call.entry.batch_id, call.entry.tag = batch.rows, batch.id, name
    return answer_json(document(call.world, batch))


def _lines(items: list[JsonObject]) -> bytes:
    return b"".join(encode(item) + b"\n" for item in items)


def _file_items(data: bytes) -> tuple[list[JsonObject], list[JsonObject]]:
    """The requests of an input file in OpenAI's format, and what is wrong with it."""
    items: list[JsonObject] = []
    for number, line in numbered(data):
        try:
            row = decode(line)
        except WireError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("body"), dict) or not isinstance(row.get("custom_id"), str):
            return [], [{"code": "invalid", "message": f"Line {number} of the input file is not a valid request."}]
        items.append({"batch_request_id": row["custom_id"], "batch_request": {KINDS[0]: row["body"]}})
    return items, [] if items else [{"code": "invalid", "message": "The input file has no requests."}]


def add(rules: Rules, call: Call) -> Answer:
    """``POST /v1/batches/{batch}/requests``: checked as a whole, answered ``null``."""
    batch = find(call)
    limit = call.world.settings.limits.xai_call_bytes
    if len(call.request.body) > limit:
        raise Problem("too_large", f"The request is too large: {limit} bytes can be added in one call.")
    at = batches.look(call.world, batch)
    if batch.cancel_at is not None or batch.settled or at.ended_at is not None:
        raise Problem("bad_request", "The batch takes no more requests.")
    known = {item["batch_request_id"] for item in _items(call.world, batch)}
    added = [_checked(item, known) for item in need_list(call.json().get("batch_requests"), "batch_requests")]
    if not added:
        raise Problem("bad_request", "batch_requests must not be empty.")
    if not batch.rows:
        batch.created_at = call.now
    batch.rows += len(added)
    call.world.batches.put(batch, call.world.batches.blob(batch.id) + _lines(added))
    call.entry.rows, call.entry.batch_id, call.entry.tag = len(added), batch.id, batch.options["name"]
    return answer_json(None)


def _checked(item: Json, known: set[str]) -> JsonObject:
    """A request that can be added; its id joins the known ones."""
    request = need_object(need_object(item, "batch_requests[]").get("batch_request"), "batch_request")
    name, body = item.get("batch_request_id"), request.get(KINDS[0])
    if not isinstance(name, str) or not name or name in known:
        raise Problem("bad_request", f"batch_request_id {name!r} is missing or not unique in the batch.")
    if not isinstance(body, dict):
        raise Problem("bad_request", f"batch_request must have one of: {', '.join(KINDS)}.")
    if is_unknown(str(body.get("model", "unknown"))):
        raise Problem("bad_request", f"Model {body.get('model')} is not supported for batch processing")
    known.add(name)
    return {"batch_request_id": name, "batch_request": {KINDS[0]: body}}


def _items(world: World, batch: BatchRecord) -> list[JsonObject]:
    return [decode(line) for line in world.batches.blob(batch.id).split(b"\n") if line]


def document(world: World, batch: BatchRecord) -> JsonObject:
    """A batch as it stands now."""
    at = look(world, batch)
    rejected = at is not None and at.phase == "failed"
    expired = at is not None and at.phase == "expired"
    created = batch.options["created"]
    ended = created + KEPT_FOR if not expired or batch.ended_at is None else batch.ended_at
    return {
        "batch_id": batch.id,
        "name": batch.options["name"],
        "create_time": iso(created, "Z"),
        "expire_time": iso(ended, "Z"),
        "create_api_key_id": "sim",
        "cancel_time": _cancelled_at(batch, at),
        "cancel_by_xai_message": batch.errors[0]["message"] if rejected else None,
        "state": _state(batch, at),
        "cost_breakdown": None,
        "input_file_id": batch.options["file"],
    }


def look(world: World, batch: BatchRecord) -> Moment | None:
    """Where a batch stands; None while it has no requests."""
    return batches.look(world, batch) if batch.rows or batch.errors else None


def _cancelled_at(batch: BatchRecord, at: Moment | None) -> str | None:
    if batch.cancel_at is not None:
        return iso(batch.cancel_at, "Z")
    if at is None or at.ended_at is None or at.phase not in ("failed", "cancelled"):
        return None
    return iso(at.ended_at, "Z")


def _state(batch: BatchRecord, at: Moment | None) -> JsonObject:
    """The counts. A script that lets results lag keeps one request pending for some more reads."""
    if at is None or at.phase == "failed" or (at.phase == "validating" and batch.options["file"] is not None):
        total = pending = done = failed = cancelled = 0
    elif not batch.settled:
        total, done, failed, cancelled = batch.rows, at.done, 0, 0
        pending = total - done
    else:
        counts = batch.counts
        total, done, failed, cancelled, pending = batch.rows, counts.completed, counts.failed, counts.cancelled, counts.expired
        end = batches.scripted_end(batch)
        if end is not None and end.end == "output_lag" and batch.polls_after_end < end.polls:
            done, pending = done - 1, pending + 1
    return {"num_requests": total, "num_pending": pending, "num_success": done, "num_error": failed, "num_cancelled": cancelled}


def find(call: Call) -> BatchRecord:
    """The batch named by the path, or 404."""
    key = call.params["batch"]
    batch = call.world.batches.get(key, call.provider, call.account)
    if batch is None:
        raise Problem("not_found", f"Batch {key} was not found.")
    call.entry.batch_id = key
    return batch


def get(call: Call) -> Answer:
    """``GET /v1/batches/{batch}``."""
    batch = find(call)
    answer = answer_json(document(call.world, batch))
    if batch.settled:
        batch.polls_after_end += 1
        call.world.batches.put(batch)
    return answer


def cancel(call: Call) -> Answer:
    """``POST /v1/batches/{batch}:cancel``: what is pending is not worked on any more."""
    batch = find(call)
    if not batch.rows and not batch.errors:
        batch.cancel_at = batch.cancel_at or call.now
        call.world.batches.put(batch)
    elif not batches.cancel(call.world, batch) and batches.look(call.world, batch).ended_at is not None:
        raise Problem("bad_request", "The batch has no pending requests to cancel.")
    return answer_json(document(call.world, batch))


def listing(call: Call) -> Answer:
    """``GET /v1/batches``, newest first, with ``limit`` and ``pagination_token``."""
    query = call.request.query
    limit = whole(query.get("limit"), 100, 1, 1000, "limit")
    items = batches.newest_first(call.world, call.provider, call.account)
    found, more = batches.page(items, limit, query.get("pagination_token"))
    token = found[-1].id if more and found else None
    return answer_json({"batches": [document(call.world, batch) for batch in found], "pagination_token": token})


def results(call: Call) -> Answer:
    """``GET /v1/batches/{batch}/results`` with ``limit`` and ``pagination_token``; empty until the batch is over."""
    batch = find(call)
    look(call.world, batch)
    query = call.request.query
    limit = whole(query.get("limit"), 100, 1, 1000, "limit")
    start = whole(query.get("pagination_token"), 0, 0, 100_000_000, "pagination_token")
    lines = call.world.files.blob(results_id(batch.id)).split(b"\n")[:-1] if batch.settled else []
    following = str(start + limit) if start + limit < len(lines) else None
    return answer_json({"results": [msgspec.Raw(line) for line in lines[start : start + limit]], "pagination_token": following})


def results_id(batch_id: str) -> str:
    """The name under which a batch's results are kept."""
    return f"{batch_id}-results"


def settle(rules: Rules, world: World, batch: BatchRecord, at: Moment) -> None:
    """Execute the requests of a batch that has ended, bill them, and write its results."""
    if at.phase == "failed":
        return
    items = _items(world, batch)
    executed, left = batches.split(world, batch, at.done)
    lines: list[bytes] = []
    for index in executed:
        lines += _execute(rules, world, batch, items[index])
    batch.counts.cancelled = len(left) if at.phase == "cancelled" else 0
    batch.counts.expired = len(left) if at.phase == "expired" else 0
    for index in left if at.phase == "cancelled" else []:
        lines.append(_failed(items[index]["batch_request_id"], *_LEFT_OVER["cancelled"]))
    data = b"".join(line + b"\n" for line in lines)
    record = FileRecord(
        id=results_id(batch.id),
        provider=f"{batch.provider}-results",
        account=batch.account,
        filename="results",
        purpose="batch_results",
        content_type="application/jsonl",
        created_at=at.ended_at or world.clock.now(),
        size=len(data),
    )
    world.files.put(record, data)


def _failed(name: str, code: int, message: str) -> bytes:
    return encode({"batch_request_id": name, "batch_result": {"error": {"code": code, "message": message}}, "error_message": message})


def _execute(rules: Rules, world: World, batch: BatchRecord, item: JsonObject) -> list[bytes]:
    name = item["batch_request_id"]
    fate = batches.fate(world, batch, name)
    if fate.kind == "expired":
        batch.counts.failed += 1
        return [_failed(name, *_LEFT_OVER["expired"])]
    request_id = world.new_uuid()
    try:
        if fate.kind == "error":
            raise Problem(fate.error)
        done, answer = rules.run(batches.row_call(world, batch, fate.twist, request_id), item["batch_request"][KINDS[0]])
    except Problem as problem:
        batch.counts.failed += 1
        return [_failed(name, _RPC.get(problem.name, 3), rules.error_body(problem)["error"])]
    batch.counts.completed += 1
    if fate.billed:
        world.bill.add(
            batch.provider,
            batch.account,
            done.model,
            done.tokens,
            request_id=request_id,
            response_id=done.id,
            lane=BATCH,
            batch_id=batch.id,
            custom_id=name,
        )
    line = encode({"batch_request_id": name, "batch_result": {"response": {KINDS[0]: answer}}, "error_message": None})
    made = batches.spoilt(world, line, fate.kind, name)
    return [encode(torn.decode("utf-8", "replace")) for torn in made] if fate.kind == "bad_json" else made
