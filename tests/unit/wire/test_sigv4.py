"""Signature Version 4: published examples and the rules behind them. `test_sigv4_official` compares it with the official signer."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest

from headgate.errors import WireError
from headgate.wire.http import Headers
from headgate.wire.sigv4 import EMPTY_SHA256, canonical_path, canonical_query, sign

SUITE = {
    "access_key": "AKIDEXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "session_token": None,
    "region": "us-east-1",
    "service": "service",
    "at": 1440938160.0,
}
"""The credentials and moment of AWS's signature test suite."""

S3 = SUITE | {
    "access_key": "AKIAIOSFODNN7EXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "service": "s3",
    "at": 1369353600.0,
}
"""Those of the examples in the S3 documentation."""

SUITE_HOST, S3_HOST = "example.amazonaws.com", "examplebucket.s3.amazonaws.com"


def signature(headers: Headers) -> str:
    return dict(headers)["authorization"].rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "/", "Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("GET", "/./", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", "/example/..", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", "//", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ],
)
def test_examples_of_the_test_suite(method: str, path: str, query: str, expected: str) -> None:
    made = sign(method, SUITE_HOST, path, query, (), EMPTY_SHA256, **SUITE)
    assert made[0] == ("x-amz-date", "20150830T123600Z") and [name for name, _ in made] == ["x-amz-date", "authorization"]
    assert signature(made) == expected


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "expected"),
    [
        ("GET", "/test.txt", "", (("Range", "bytes=0-9"),), b"", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("GET", "/", "lifecycle", (), b"", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("GET", "/", "max-keys=2&prefix=J", (), b"", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        (
            "PUT",
            "/test%24file.text",
            "",
            (("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")),
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    ],
)
def test_examples_of_the_s3_documentation(method: str, path: str, query: str, headers: Headers, body: bytes, expected: str) -> None:
    digest = sha256(body).hexdigest()
    made = sign(method, S3_HOST, path, query, headers, digest, **S3)
    assert ("x-amz-content-sha256", digest) in made
    assert signature(made) == expected


def test_a_path_is_encoded_twice_and_a_query_once() -> None:
    assert canonical_path("/model/arn%3Aaws%2Fx/converse") == "/model/arn%253Aaws%252Fx/converse"
    assert canonical_path("") == canonical_path("/..") == "/"
    assert canonical_query("b=2&a=%7e&a=!&flag") == "a=%21&a=~&b=2&flag="


def test_headers_are_trimmed_joined_and_sorted() -> None:
    one = sign("GET", SUITE_HOST, "/", "", (("My-Header1", "  value4   value1 "), ("my-header1", "b")), EMPTY_SHA256, **SUITE)
    other = sign("GET", SUITE_HOST, "/", "", (("my-header1", "value4 value1,b"),), EMPTY_SHA256, **SUITE)
    assert one == other
    assert re.search("SignedHeaders=host;my-header1;x-amz-date,", dict(one)["authorization"])


def test_an_own_header_given_by_the_caller_is_replaced() -> None:
    given_headers = (("Host", "other"), ("Authorization", "Bearer x"), ("X-Amz-Date", "20200101T000000Z"))
    assert sign("GET", SUITE_HOST, "/", "", given_headers, EMPTY_SHA256, **SUITE) == sign(
        "GET", SUITE_HOST, "/", "", (), EMPTY_SHA256, **SUITE
    )


def test_a_header_with_a_line_end_is_refused() -> None:
    with pytest.raises(WireError, match="line end") as caught:
        sign("GET", SUITE_HOST, "/", "", (("a", "b\nc:d"),), EMPTY_SHA256, **SUITE)
    assert caught.value.fault == "local"
