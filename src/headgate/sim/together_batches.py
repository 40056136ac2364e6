"""Together's batch API: OpenAI's files and results around jobs of its own shape (Together API reference).

Words are in capitals, progress is a percentage, times are ISO 8601; there are no counts and no metadata, and the list is a bare array.
"""

from __future__ import annotations

import math

from headgate.sim import batches, openai_files
from headgate.sim.batch_rules import Rules
from headgate.sim.clock import iso
from headgate.sim.exchange import Answer, Problem, answer_json
from headgate.sim.openai_batches import accept, file_ids, find
from headgate.sim.state import BatchRecord, FileRecord
from headgate.sim.world import Call, Phase, World
from headgate.wire.json import JsonObject

_STATUS: dict[Phase, str] = {
    "validating": "VALIDATING",
    "running": "IN_PROGRESS",
    "finalizing": "IN_PROGRESS",
    "cancelling": "IN_PROGRESS",
    "completed": "COMPLETED",
    "failed": "FAILED",
    "expired": "EXPIRED",
    "cancelled": "CANCELLED",
}


def file_document(record: FileRecord) -> JsonObject:
    """A file object."""
    return {
        "id": record.id,
        "object": "file",
        "created_at": int(record.created_at),
        "filename": record.filename,
        "bytes": record.size,
        "purpose": record.purpose,
        "Processed": True,
        "FileType": "jsonl",
        "LineCount": 0,
    }


def upload(rules: Rules, call: Call) -> Answer:
    """``POST /v1/files/upload``."""
    return answer_json(file_document(openai_files.receive(rules, call)))


def files(call: Call) -> Answer:
    """``GET /v1/files``: every file at once."""
    batches.settle_all(call.world)
    return answer_json({"data": [file_document(record) for record in call.world.files.of(call.provider, call.account)]})


def file(call: Call) -> Answer:
    """``GET /v1/files/{file}``."""
    return answer_json(file_document(openai_files.find(call)))


def create(rules: Rules, call: Call) -> Answer:
    """``POST /v1/batches``: the job comes inside the answer."""
    body = call.json()
    if body.get("metadata") is not None:
        raise Problem("bad_request", "unknown field: metadata", param="metadata")
    batch = accept(rules, call, call.world.new_uuid())
    return answer_json({"job": document(call.world, batch)}, status=201)


def document(world: World, batch: BatchRecord) -> JsonObject:
    """A job as it stands now; fields without a value are left out."""
    at = batches.look(world, batch)
    output, error = file_ids(batch, at)
    deadline = batches.deadline(batch, world.settings.timings)
    fields: JsonObject = {
        "id": batch.id,
        "user_id": "user-sim",
        "input_file_id": batch.options["input_file_id"],
        "file_size_bytes": batch.options["bytes"],
        "status": _STATUS[at.phase],
        "job_deadline": None if deadline == math.inf else iso(deadline, "Z"),
        "created_at": iso(batch.created_at, "Z"),
        "endpoint": batch.options["endpoint"],
        "progress": 100.0 * at.done / batch.rows if batch.rows and not batch.errors else 0.0,
        "model_id": batch.model or None,
        "output_file_id": output,
        "error_file_id": error,
        "error": batch.errors[0]["message"] if at.phase == "failed" else None,
        "completed_at": iso(at.ended_at, "Z") if at.ended_at is not None and at.phase == "completed" else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def get(call: Call) -> Answer:
    """``GET /v1/batches/{batch}``."""
    batch = find(call)
    answer = answer_json(document(call.world, batch))
    if batch.settled:
        batch.polls_after_end += 1
        call.world.batches.put(batch)
    return answer


def listing(call: Call) -> Answer:
    """``GET /v1/batches``, newest first."""
    return answer_json([document(call.world, batch) for batch in batches.newest_first(call.world, call.provider, call.account)])


def cancel(call: Call) -> Answer:
    """``POST /v1/batches/{batch}/cancel``."""
    batch = find(call)
    if not batches.cancel(call.world, batch) and batches.look(call.world, batch).ended_at is not None:
        raise Problem("bad_request", f"Cannot cancel a batch with status '{document(call.world, batch)['status']}'.")
    return answer_json(document(call.world, batch))
