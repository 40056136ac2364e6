"""Gemini's file API: resumable uploads, metadata, downloads (recorded traffic; Gemini API reference)."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from headgate.sim import batches
from headgate.sim.clock import iso
from headgate.sim.dice import BASE36
from headgate.sim.exchange import Answer, Headers, Problem, answer_json, whole
from headgate.sim.gemini_wire import JSON_UTF8, field
from headgate.sim.state import FileRecord
from headgate.sim.world import Call, World
from headgate.wire.json import JsonObject

LIFE = 48 * 3600.0
GRANULARITY = 262_144
OUTPUT = "batch_output"
HIDDEN = "batch_inline"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def document(call: Call, record: FileRecord) -> JsonObject:
    """A file object. The hash is the base64 of its hexadecimal text, as the service writes it."""
    body: JsonObject = {
        "name": f"files/{record.id}",
        "displayName": record.filename,
        "mimeType": record.content_type,
        "sizeBytes": str(record.size),
        "createTime": iso(record.created_at, "Z"),
        "updateTime": iso(record.created_at, "Z"),
        "expirationTime": iso(record.expires_at or record.created_at + LIFE, "Z"),
        "sha256Hash": record.sha256,
        "uri": f"{call.origin}/gemini/v1beta/files/{record.id}",
        "state": "ACTIVE",
        "source": "GENERATED" if record.purpose == OUTPUT else "UPLOADED",
    }
    if record.purpose == OUTPUT:
        body["downloadUri"] = f"{call.origin}/gemini/download/v1beta/files/{record.id}:download?alt=media"
    return body


def store(world: World, account: str, key: str, name: str, kind: str, data: bytes, at: float, purpose: str = "upload") -> FileRecord:
    """Keep a new file."""
    record = FileRecord(
        id=key,
        provider="gemini",
        account=account,
        filename=name,
        purpose=purpose,
        content_type=kind,
        created_at=at,
        size=len(data),
        expires_at=at + LIFE,
        sha256=b64encode(sha256(data).hexdigest().encode()).decode(),
    )
    world.files.put(record, data)
    return record


def upload(call: Call) -> Answer:
    """``POST|PUT /upload/v1beta/files``: the resumable protocol's start, upload, query and finalize commands."""
    headers = call.request.headers
    commands = {word.strip() for word in headers.get("x-goog-upload-command", "").split(",")}
    if "start" in commands:
        return _start(call)
    key = call.request.query.get("upload_id", "")
    session = call.world.uploads.get(key)
    if session is None or session["account"] != call.account:
        raise Problem("not_found", "Upload session not found.")
    if commands & {"upload", "finalize"}:
        _receive(call, session)
    if "cancel" in commands:
        del call.world.uploads[key]
        return Answer(headers=(("x-goog-upload-status", "cancelled"),))
    if "finalize" not in commands:
        received = ("x-goog-upload-size-received", str(len(session["data"])))
        return Answer(headers=(("x-goog-upload-status", "active"), received))
    del call.world.uploads[key]
    name = session["name"] or call.world.new_id("", 12, BASE36)
    record = store(call.world, call.account, name, session["display"], session["type"], bytes(session["data"]), call.now)
    call.world.keeper.note_time(call.now)
    final: Headers = (("x-goog-upload-status", "final"),)
    return answer_json({"file": document(call, record)}, content_type=JSON_UTF8, headers=final)


def _start(call: Call) -> Answer:
    headers = call.request.headers
    length = headers.get("x-goog-upload-header-content-length", "0")
    if not length.isdigit() or int(length) > call.world.settings.limits.gemini_file_bytes:
        raise Problem("bad_request", "The file size is not valid or exceeds the limit.")
    described = call.body.get("file") if isinstance(call.body, dict) else None
    file = described if isinstance(described, dict) else {}
    name = str(file.get("name") or "").removeprefix("files/")
    if name and _NAME.fullmatch(name) is None:
        raise Problem("bad_request", "The file name may only contain lower-case letters, digits and dashes.")
    if name and call.world.files.holds(name):
        raise Problem("conflict", f"The file {name} already exists.")
    key = call.world.new_id("", 60)
    call.world.uploads[key] = {
        "account": call.account,
        "name": name,
        "display": str(field(file, "displayName") or ""),
        "type": headers.get("x-goog-upload-header-content-type") or str(field(file, "mimeType") or "application/octet-stream"),
        "length": int(length),
        "data": bytearray(),
    }
    url = f"{call.origin}/gemini/upload/v1beta/files?upload_id={key}&upload_protocol=resumable"
    return Answer(
        content_type=JSON_UTF8,
        headers=(
            ("x-goog-upload-url", url),
            ("x-goog-upload-status", "active"),
            ("x-goog-upload-chunk-granularity", str(GRANULARITY)),
        ),
    )


def _receive(call: Call, session: JsonObject) -> None:
    offset = call.request.headers.get("x-goog-upload-offset", "0")
    if not offset.isdigit() or int(offset) != len(session["data"]):
        raise Problem("bad_request", f"The upload offset is not the number of bytes received ({len(session['data'])}).")
    session["data"] += call.request.body
    if session["length"] and len(session["data"]) > session["length"]:
        raise Problem("bad_request", "More bytes were uploaded than announced.")


def find(call: Call) -> FileRecord:
    """The file named by the path; a missing one is 403, as the service answers."""
    batches.settle_all(call.world)
    key = call.params["file"]
    record = call.world.files.get(key, "gemini", call.account)
    if record is None or record.purpose == HIDDEN or (record.expires_at is not None and record.expires_at <= call.now):
        raise Problem("permission", f"You do not have permission to access the File {key} or it may not exist.")
    return record


def get(call: Call) -> Answer:
    """``GET /v1beta/files/{file}``; with ``alt=media`` the content."""
    if call.request.query.get("alt") == "media":
        return download(call)
    return answer_json(document(call, find(call)), content_type=JSON_UTF8)


def download(call: Call) -> Answer:
    """``GET /download/v1beta/files/{file}:download?alt=media``; only generated files can be downloaded."""
    record = find(call)
    if record.purpose != OUTPUT:
        raise Problem("bad_request", "Only generated files can be downloaded.")
    return Answer(body=call.world.files.blob(record.id), content_type=record.content_type)


def delete(call: Call) -> Answer:
    """``DELETE /v1beta/files/{file}``."""
    call.world.files.drop(find(call).id)
    return answer_json({}, content_type=JSON_UTF8)


def listing(call: Call) -> Answer:
    """``GET /v1beta/files`` with ``pageSize`` and ``pageToken``."""
    query = call.request.query
    size = whole(query.get("pageSize"), 10, 1, 100, "pageSize")
    start = whole(query.get("pageToken"), 0, 0, 1_000_000, "pageToken")
    records = [record for record in call.world.files.of("gemini", call.account) if record.purpose != HIDDEN]
    body: JsonObject = {"files": [document(call, record) for record in records[start : start + size]]}
    if start + size < len(records):
        body["nextPageToken"] = str(start + size)
    return answer_json(body if body["files"] else {}, content_type=JSON_UTF8)
