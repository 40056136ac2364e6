"""S3 objects and AWS errors, as Bedrock's batches need them."""

from __future__ import annotations

import pytest

from headgate.dialects.batch import BatchHandle, BatchStatus
from headgate.dialects.batch_aws import Place, list_objects, parse_error, place_of
from headgate.dialects.batch_bedrock import DIALECT, job_name, parse_state
from headgate.dialects.batch_bedrock_rows import parse_record
from headgate.errors import ErrorKind
from headgate.wire.http import Reply, Send


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("my-bucket", Place("my-bucket")),
        ("s3://my-bucket", Place("my-bucket")),
        ("s3://my-bucket/a/b/", Place("my-bucket", "a/b/")),
        (" my.bucket/a ", Place("my.bucket", "a/")),
        ("", None),
        ("s3://", None),
        ("My_Bucket", None),
        ("https://my-bucket/a", None),
    ],
)
def test_places(uri: str, place: Place | None) -> None:
    assert place_of(uri) == place
    if place is not None:
        assert place_of(place.uri()) == place


def test_the_path_of_an_object_is_encoded_once() -> None:
    assert Place("b", "a b/").under("ü").path("c+d") == "/b/a%20b/%C3%BC/c%2Bd"


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "code"),
    [
        (403, {}, b"<Error><Code>NoSuchBucket</Code><Message>a &amp; b</Message></Error>", ErrorKind.NOT_FOUND, "NoSuchBucket"),
        (403, {}, b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", ErrorKind.PERMISSION, "AccessDenied"),
        (400, {"x-amzn-errortype": "ThrottlingException:http://x/"}, b'{"message":"slow"}', ErrorKind.RATE_LIMIT, "ThrottlingException"),
        (400, {}, b'{"__type":"com.amazon#ServiceQuotaExceededException"}', ErrorKind.RATE_LIMIT, "ServiceQuotaExceededException"),
        (409, {}, b'{"code":"ConflictException","message":"over"}', ErrorKind.BAD_REQUEST, "ConflictException"),
        (403, {}, b'{"__type":"ExpiredTokenException"}', ErrorKind.AUTH, "ExpiredTokenException"),
        (503, {}, b"bad gateway", ErrorKind.OVERLOADED, None),
        (502, {}, b"", ErrorKind.SERVER, None),
        (418, {}, b"[]", ErrorKind.BAD_REQUEST, None),
    ],
)
def test_errors_are_told_by_code_and_status(status: int, headers: dict[str, str], body: bytes, kind: ErrorKind, code: str | None) -> None:
    error = parse_error(status, headers, body)
    assert (error.kind, error.code, error.status, bool(error.message)) == (kind, code, status, True)


def test_a_list_is_read_to_its_end_with_keys_decoded() -> None:
    first = b"<R><IsTruncated>true</IsTruncated><NextContinuationToken>a/b==</NextContinuationToken><Key>p/x%2By</Key></R>"
    flow = list_objects(Place("bucket", "p/"))
    asked = next(flow)
    assert isinstance(asked, Send) and asked.host == "s3" and asked.path == "/bucket?list-type=2&encoding-type=url&prefix=p%2F"
    again = flow.send(Reply(200, {}, first))
    assert isinstance(again, Send) and again.path.endswith("&continuation-token=a%2Fb%3D%3D")
    with pytest.raises(StopIteration) as stop:
        flow.send(Reply(200, {}, b"<R><IsTruncated>false</IsTruncated><Key>p/z</Key><Key>other</Key></R>"))
    assert stop.value.value == ["x+y", "z"]


@pytest.mark.parametrize("key", ["run6-0-1-1", "run_6-0-1-1", "x" * 80, "-", "a--b", "ends-"])
def test_a_key_becomes_a_name_that_bedrock_takes(key: str) -> None:
    name = job_name(key)
    assert len(name) <= 63 and name.replace("-", "a").isalnum() and name[-1] != "-" and name[0] != "-"
    assert name == key or name != job_name(key + "x")


def test_a_job_that_names_no_counts_takes_them_from_the_manifest() -> None:
    config = {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}}
    job = b'{"jobArn":"arn:x/abc","status":"completed","outputDataConfig":{"s3OutputDataConfig":{"s3Uri":"s3://bucket/out/"}},"submitTime":1.5}'
    flow = DIALECT.status(BatchHandle("arn:x/abc"))
    asked = next(flow)
    assert isinstance(asked, Send) and (asked.host, asked.path) == ("control", "/model-invocation-job/abc")
    flow.send(Reply(200, {}, job))
    wanted = flow.send(Reply(200, {}, b"<Key>out/abc/rows.jsonl.out</Key><Key>out/abc/manifest.json.out</Key>"))
    assert isinstance(wanted, Send) and wanted.path == "/bucket/out/abc/manifest.json.out"
    with pytest.raises(StopIteration) as stop:
        flow.send(Reply(200, {}, b'{"totalRecordCount":3,"successRecordCount":2,"errorRecordCount":1}'))
    state = stop.value.value
    assert (state.status, state.total, state.succeeded, state.failed, state.created_at) == (BatchStatus.COMPLETED, 3, 2, 1, 1.5)
    assert parse_state({"jobArn": "x/abc", "status": "Failed", "outputDataConfig": config}).output_ref == "s3://bucket/out/abc/"
    assert parse_state({"jobArn": "x/abc", "status": "Pondering", "outputDataConfig": config}).status is BatchStatus.UNKNOWN


@pytest.mark.parametrize(
    ("line", "outcome", "kind", "custom_id"),
    [
        (b'{"recordId":"aZ2d1","modelInput":{},"modelOutput":{"x":1}}', "succeeded", None, "a-1"),
        (b'{"recordId":"a","error":{"errorCode":429,"errorMessage":"slow"}}', "errored", ErrorKind.RATE_LIMIT, "a"),
        (b'{"recordId":"a","error":{"errorCode":"400","errorMessage":"bad"}}', "errored", ErrorKind.BAD_REQUEST, "a"),
        (b'{"recordId":"a","error":{"errorCode":"ThrottlingException"}}', "errored", ErrorKind.RATE_LIMIT, "a"),
        (b'{"recordId":"a","modelOutput":null}', "errored", ErrorKind.UNKNOWN, "a"),
        (b'{"modelOutput":{}}', "succeeded", None, None),
        (b'{"recordId":', "errored", ErrorKind.UNKNOWN, None),
    ],
)
def test_records(line: bytes, outcome: str, kind: ErrorKind | None, custom_id: str | None) -> None:
    row = parse_record(line, 1)
    assert (row.outcome, row.error and row.error.kind, row.custom_id) == (outcome, kind, custom_id)
