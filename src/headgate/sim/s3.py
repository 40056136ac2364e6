"""As much of Amazon S3 as batch jobs need, below ``/s3``: objects by path, put, read, listed and deleted (Amazon S3 API reference).

Every bucket exists and belongs to whoever asks. Requests are signed for the service "s3"; a simulator key as bearer does as well.
"""

from __future__ import annotations

from hashlib import sha256
from html import escape
from urllib.parse import quote

from headgate.sim import sigv4
from headgate.sim.clock import iso
from headgate.sim.exchange import Answer, Problem, Request, whole
from headgate.sim.state import FileRecord
from headgate.sim.world import Call, Route, Wire, World

XML = "application/xml"
PROVIDER = "s3"
PAGE = 1000
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

S3_ERRORS: dict[str, tuple[int, str, str]] = {
    "auth": (403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."),
    "permission": (403, "AccessDenied", "Access Denied"),
    "not_found": (404, "NoSuchKey", "The specified key does not exist."),
    "model_not_found": (404, "NoSuchKey", "The specified key does not exist."),
    "rate_limit": (503, "SlowDown", "Please reduce your request rate."),
    "quota": (403, "AccessDenied", "Access Denied"),
    "server": (500, "InternalError", "We encountered an internal error. Please try again."),
    "unavailable": (503, "ServiceUnavailable", "Service is unable to handle request."),
    "overloaded": (503, "SlowDown", "Please reduce your request rate."),
    "timeout": (400, "RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period."),
    "context_length": (400, "InvalidRequest", "The request is not valid."),
    "bad_request": (400, "InvalidRequest", "The request is not valid."),
    "too_large": (400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."),
    "conflict": (409, "OperationAborted", "A conflicting conditional operation is currently in progress against this resource."),
}
"""Error name -> status, code, message."""


def authenticate(request: Request) -> str:
    """The account of a request: the access key of a sound signature, or a simulator key."""
    if sigv4.is_signed(request):
        return sigv4.check(request, "s3")
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.startswith("sim-"):
        raise Problem("permission")
    return key


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """A problem as S3's XML."""
    status, code, message = S3_ERRORS[problem.name]
    text = (
        f"{_HEAD}<Error><Code>{code}</Code><Message>{escape(problem.message or message)}</Message>"
        f"<Resource>{escape(request.path)}</Resource><RequestId>{request_id}</RequestId></Error>"
    )
    return Answer(status=problem.status or status, body=text.encode(), content_type=XML)


def stream_error(problem: Problem, request_id: str) -> bytes:
    """S3 streams no events."""
    return refuse(problem, request_id, Request("GET", "", {}, {}, b"")).body


def object_id(account: str, bucket: str, key: str) -> str:
    """The name under which an object is kept."""
    return "s3-" + sha256(f"{account}\n{bucket}\n{key}".encode()).hexdigest()[:40]


def write(world: World, account: str, bucket: str, key: str, data: bytes, at: float) -> FileRecord:
    """Keep an object, in place of an older one."""
    record = FileRecord(
        id=object_id(account, bucket, key),
        provider=PROVIDER,
        account=account,
        filename=f"{bucket}/{key}",
        purpose="object",
        content_type="application/octet-stream",
        created_at=at,
        size=len(data),
        sha256=sha256(data).hexdigest(),
    )
    world.files.put(record, data)
    return record


def read(world: World, account: str, bucket: str, key: str) -> bytes | None:
    """An object's bytes, None when there is no such object."""
    record = world.files.get(object_id(account, bucket, key), PROVIDER, account)
    return None if record is None else world.files.blob(record.id)


def put(call: Call) -> Answer:
    """``PUT /{bucket}/{key}``."""
    record = write(call.world, call.account, call.params["bucket"], call.params["key"], call.request.body, call.now)
    return Answer(content_type=XML, headers=(("etag", f'"{record.sha256[:32]}"'),))


def get(call: Call) -> Answer:
    """``GET /{bucket}/{key}``."""
    data = read(call.world, call.account, call.params["bucket"], call.params["key"])
    if data is None:
        raise Problem("not_found")
    return Answer(body=data, content_type="application/octet-stream")


def delete(call: Call) -> Answer:
    """``DELETE /{bucket}/{key}``: 204 whether it was there or not."""
    key = object_id(call.account, call.params["bucket"], call.params["key"])
    if call.world.files.get(key, PROVIDER, call.account) is not None:
        call.world.files.drop(key)
    return Answer(status=204, content_type=XML)


def listing(call: Call) -> Answer:
    """``GET /{bucket}?list-type=2`` with ``prefix``, ``max-keys``, ``encoding-type`` and ``continuation-token``."""
    query, bucket = call.request.query, call.params["bucket"]
    limit = whole(query.get("max-keys"), PAGE, 1, PAGE, "max-keys")
    start = whole(query.get("continuation-token"), 0, 0, 100_000_000, "continuation-token")
    wanted = f"{bucket}/{query.get('prefix', '')}"
    found = [record for record in call.world.files.of(PROVIDER, call.account) if record.filename.startswith(wanted)]
    found.sort(key=lambda record: record.filename)
    page = found[start : start + limit]
    more = start + limit < len(found)
    encoded = query.get("encoding-type") == "url"
    items = "".join(_item(record, record.filename.removeprefix(f"{bucket}/"), encoded) for record in page)
    token = f"<NextContinuationToken>{start + limit}</NextContinuationToken>" if more else ""
    text = (
        f'{_HEAD}<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{escape(bucket)}</Name>'
        f"<KeyCount>{len(page)}</KeyCount><MaxKeys>{limit}</MaxKeys><IsTruncated>{'true' if more else 'false'}</IsTruncated>"
        f"{token}{items}</ListBucketResult>"
    )
    return Answer(body=text.encode(), content_type=XML)


def _item(record: FileRecord, key: str, encoded: bool) -> str:
    name = quote(key, safe="/") if encoded else escape(key)
    return (
        f"<Contents><Key>{name}</Key><LastModified>{iso(record.created_at, 'Z')}</LastModified>"
        f"<ETag>&quot;{record.sha256[:32]}&quot;</ETag><Size>{record.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


WIRE = Wire(
    name="s3",
    routes=(
        Route("PUT", "/{bucket}/{key...}", "file_upload", put),
        Route("GET", "/{bucket}", "file_list", listing),
        Route("GET", "/{bucket}/{key...}", "results", get),
        Route("DELETE", "/{bucket}/{key...}", "file_delete", delete),
    ),
    authenticate=authenticate,
    refuse=refuse,
    stream_error=stream_error,
    request_id_header="x-amz-request-id",
    request_id_prefix="",
    uuids=True,
)
