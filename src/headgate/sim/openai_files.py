"""OpenAI's file API, and those of the providers who copied it (recorded traffic; OpenAI, Groq, xAI and Together API references)."""

from __future__ import annotations

import re

from headgate.sim import batches
from headgate.sim.batch_rules import Rules
from headgate.sim.exchange import Answer, Problem, answer_json, whole
from headgate.sim.multipart import parse
from headgate.sim.state import FileRecord
from headgate.sim.world import Call, World
from headgate.wire.json import JsonObject

BATCH_FILE_LIFE = 30 * 24 * 3600.0
PAGE = 10_000
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def document(record: FileRecord) -> JsonObject:
    """A file object."""
    return {
        "object": "file",
        "id": record.id,
        "purpose": record.purpose,
        "filename": record.filename,
        "bytes": record.size,
        "created_at": int(record.created_at),
        "expires_at": None if record.expires_at is None else int(record.expires_at),
        "status": "processed",
        "status_details": None,
    }


def store(world: World, provider: str, account: str, filename: str, purpose: str, data: bytes, at: float) -> FileRecord:
    """Keep a new file."""
    record = FileRecord(
        id=world.new_id("file-", 22),
        provider=provider,
        account=account,
        filename=filename,
        purpose=purpose,
        content_type="application/octet-stream",
        created_at=at,
        size=len(data),
        expires_at=at + BATCH_FILE_LIFE if purpose.startswith("batch") else None,
    )
    world.files.put(record, data)
    return record


def upload(rules: Rules, call: Call) -> Answer:
    """``POST /v1/files``."""
    return answer_json(document(receive(rules, call)))


def receive(rules: Rules, call: Call) -> FileRecord:
    """The file that a multipart request brings, kept. Raises `Problem`."""
    request = call.request
    parts = parse(request.headers.get("content-type", ""), request.body)
    if "file" not in parts or parts["file"].filename is None:
        raise Problem("bad_request", "'file' is a required property")
    purpose = parts["purpose"].data.decode("utf-8", "replace") if "purpose" in parts else rules.default_purpose
    if purpose not in rules.purposes:
        raise Problem("bad_request", f"'{purpose}' is not one of {list(rules.purposes)} - 'purpose'", param="purpose")
    data = parts["file"].data
    limit = rules.max_bytes(call.world) if purpose == rules.purpose else call.world.settings.limits.openai_file_bytes
    if len(data) > limit:
        raise Problem("too_large", f"The file is too large: it may have at most {limit // 1_000_000} MB.")
    return store(call.world, call.provider, call.account, parts["file"].filename or "", purpose, data, call.now)


def find(call: Call) -> FileRecord:
    """The file named by the path, or 404."""
    key = call.params["file"]
    batches.settle_all(call.world)
    record = call.world.files.get(key, call.provider, call.account)
    if record is None or (record.expires_at is not None and record.expires_at <= call.now):
        raise Problem("not_found", f"No such File object: {key}", param="id")
    return record


def get(call: Call) -> Answer:
    """``GET /v1/files/{file}``."""
    return answer_json(document(find(call)))


def delete(call: Call) -> Answer:
    """``DELETE /v1/files/{file}``."""
    record = find(call)
    call.world.files.drop(record.id)
    return answer_json({"object": "file", "id": record.id, "deleted": True})


def content(call: Call) -> Answer:
    """``GET /v1/files/{file}/content``, whole or a byte range."""
    data = call.world.files.blob(find(call).id)
    match = _RANGE.fullmatch(call.request.headers.get("range", ""))
    if match is None:
        return Answer(body=data, content_type="application/octet-stream")
    start, end = int(match[1]), int(match[2] or len(data) - 1)
    if start >= len(data):
        return Answer(status=416, content_type="application/octet-stream", headers=(("content-range", f"bytes */{len(data)}"),))
    end = min(end, len(data) - 1)
    return Answer(
        status=206,
        body=data[start : end + 1],
        content_type="application/octet-stream",
        headers=(("content-range", f"bytes {start}-{end}/{len(data)}"),),
    )


def listing(call: Call) -> Answer:
    """``GET /v1/files`` with ``purpose``, ``limit``, ``order`` and ``after``."""
    batches.settle_all(call.world)
    query = call.request.query
    limit = whole(query.get("limit"), PAGE, 1, PAGE, "limit")
    records = [record for record in call.world.files.of(call.provider, call.account) if query.get("purpose") in (None, record.purpose)]
    if query.get("order", "desc") == "desc":
        records.reverse()
    names = [record.id for record in records]
    start = names.index(query["after"]) + 1 if query.get("after") in names else 0
    data = [document(record) for record in records[start : start + limit]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return answer_json({"object": "list", "data": data, **ends, "has_more": start + limit < len(records)})
