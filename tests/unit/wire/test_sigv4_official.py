"""Signature Version 4 against the official signer."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from unittest import mock
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.wire.http import Headers
from headgate.wire.sigv4 import UNSIGNED_PAYLOAD, sign

botocore_auth = pytest.importorskip("botocore.auth")
awsrequest = pytest.importorskip("botocore.awsrequest")
credentials = pytest.importorskip("botocore.credentials")


def official(
    kind: str, method: str, host: str, path: str, query: str, headers: Headers, body: bytes, token: str | None, *, unsigned: bool = False
) -> str:
    """The `Authorization` header botocore makes."""
    request = awsrequest.AWSRequest(method, f"https://{host}{path}{'?' + query if query else ''}", dict(headers), body)
    request.context["payload_signing_enabled"] = not unsigned
    if unsigned:
        request.headers["Content-MD5"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    keys = credentials.Credentials("AKID", "secret", token)
    signer = getattr(botocore_auth, kind)(keys, "s3" if kind == "S3SigV4Auth" else "bedrock", "eu-west-1")
    with mock.patch.object(botocore_auth, "get_current_datetime", return_value=datetime.fromtimestamp(1_700_000_000, UTC)):
        signer.add_auth(request)
    return str(request.headers["Authorization"])


segments = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(lambda word: quote(word, safe="-_.~"))
paths = st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))
queries = st.lists(st.tuples(segments, segments), max_size=3).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
header_values = st.text("abc 0=,;/", max_size=12)
header_names = st.sampled_from(["accept", "Content-Type", "anthropic-beta", "X-Amzn-Bedrock-Trace", "user-agent", "X-Amzn-Trace-Id"])
some_headers = st.dictionaries(header_names, header_values, max_size=4).map(lambda found: tuple(found.items()))
tokens = st.none() | st.just("session token/+=")


@given(st.sampled_from(["GET", "post", "PUT"]), paths, queries, some_headers, st.binary(max_size=20), tokens)
@settings(deadline=None)
def test_the_official_signer_agrees(method: str, path: str, query: str, headers: Headers, body: bytes, token: str | None) -> None:
    given_keys = {"access_key": "AKID", "secret_key": "secret", "session_token": token, "region": "eu-west-1", "at": 1_700_000_000.9}
    digest = sha256(body).hexdigest()
    for kind, service in (("SigV4Auth", "bedrock"), ("S3SigV4Auth", "s3")):
        made = sign(method, "h.example", path, query, headers, digest, service=service, **given_keys)
        assert dict(made)["authorization"] == official(kind, method, "h.example", path, query, headers, body, token)


def test_an_unsigned_body() -> None:
    headers = (("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="),)
    given_keys = {"access_key": "AKID", "secret_key": "secret", "session_token": None, "region": "eu-west-1", "at": 1_700_000_000}
    made = sign("PUT", "b.s3.example", "/k", "", headers, UNSIGNED_PAYLOAD, service="s3", **given_keys)
    assert ("x-amz-content-sha256", UNSIGNED_PAYLOAD) in made
    assert dict(made)["authorization"] == official("S3SigV4Auth", "PUT", "b.s3.example", "/k", "", (), b"x", None, unsigned=True)
