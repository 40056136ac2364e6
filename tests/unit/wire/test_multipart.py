from __future__ import annotations

from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import WireError
from headgate.wire.http import BytesBody
from headgate.wire.multipart import FilePart, render_multipart

BOUNDARY = "hg-0123456789abcdef0123456789abcdef"
FILE = FilePart("file", "in.jsonl", BytesBody((b"{}\n", b"[]\n")), "application/jsonl")


def test_the_bytes_are_those_of_the_standard() -> None:
    body = render_multipart((("purpose", "batch"),), FILE, BOUNDARY)
    assert (
        b"".join(body)
        == (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n'
            f"Content-Type: application/jsonl\r\n\r\n{{}}\n[]\n\r\n--{BOUNDARY}--\r\n"
        ).encode()
    )
    assert body.content_type == f"multipart/form-data; boundary={BOUNDARY}"


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=3), st.lists(st.binary(max_size=40), max_size=4))
def test_length_is_exact_and_reading_again_gives_the_same(fields: list[tuple[str, str]], chunks: list[bytes]) -> None:
    body = render_multipart(tuple(fields), FilePart("file", 'a"\r\nb', BytesBody(tuple(chunks))), BOUNDARY)
    first = b"".join(body)
    assert len(first) == body.length
    assert b"".join(body) == first
    assert first.count(f"--{BOUNDARY}\r\n".encode()) == len(fields) + 1


def test_an_independent_parser_reads_it() -> None:
    body = render_multipart((("purpose", "batch"), ("x", "a=b")), FILE, BOUNDARY)
    message = message_from_bytes(f"Content-Type: {body.content_type}\r\n\r\n".encode() + b"".join(body), policy=policy.HTTP)
    parts = list(message.iter_parts())
    assert [part.get_param("name", header="content-disposition") for part in parts] == ["purpose", "x", "file"]
    assert parts[2].get_filename() == "in.jsonl"
    assert parts[2].get_payload(decode=True) == b"{}\n[]\n"


@pytest.mark.parametrize(
    ("fields", "file", "boundary"),
    [
        ((), FILE, "a b\r\n"),
        ((), FILE, ""),
        ((), FILE, "x" * 71),
        ((("a", f"x{BOUNDARY}"),), FILE, BOUNDARY),
        ((), FilePart("f", "f", BytesBody(()), "text/plain\r\nX: y"), BOUNDARY),
    ],
)
def test_what_would_break_the_framing_is_refused(fields: tuple[tuple[str, str], ...], file: FilePart, boundary: str) -> None:
    with pytest.raises(WireError) as caught:
        render_multipart(fields, file, boundary)
    assert caught.value.fault == "local"
