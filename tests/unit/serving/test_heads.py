"""Heads seen before: found exactly where the parser would say the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.serving.fields import plain_fields
from headgate.serving.heads import Heads, Known
from headgate.serving.turn import Turn


class Nobody:
    """An endpoint that is never asked."""

    def admit(self, fields: dict[str, bytes]) -> object | None:
        """See `FastEndpoint`."""
        raise AssertionError

    def serve(self, turn: Turn) -> bool:
        """See `FastEndpoint`."""
        raise AssertionError


def head(length: object, name: str = "Content-Length", extra: str = "") -> bytes:
    return f"POST /v1/x HTTP/1.1\r\nHost: a\r\n{name}: {length}\r\nAuthorization: Bearer k\r\n{extra}\r\n".encode()


def known(data: bytes) -> Known:
    """What the parser would have made of a request."""
    lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    fields = plain_fields([(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)])
    assert fields is not None
    return Known(Nobody(), b"/v1/x", fields, True, True)


def learnt(data: bytes) -> Heads:
    heads = Heads()
    heads.learn(data, known(data))
    return heads


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(["Content-Length", "content-length"]))
def test_another_length_is_the_same_head(one: bytes, other: bytes, name: str) -> None:
    heads = learnt(head(len(one), name) + one)
    found = heads.find(head(len(other), name) + other)
    assert found is not None and found[1] == other and found[0].target == b"/v1/x"


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 80))
def test_a_part_of_a_request_or_more_than_one_is_left_to_the_parser(body: bytes, more: bytes, cut: int) -> None:
    heads = learnt(head(4) + b"body")
    whole = head(len(body)) + body
    assert heads.find(whole + b"x" + more) is None
    assert heads.find(whole[: max(0, len(whole) - 1 - cut)]) is None


def test_any_other_byte_is_another_head() -> None:
    data = head(2) + b"{}"
    heads = learnt(data)
    for place in range(len(data) - 2):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert heads.find(changed) is None, changed


def test_lengths_that_are_no_plain_numbers_are_left_to_the_parser() -> None:
    heads = learnt(head(2) + b"{}")
    for length in ("+2", "2 ", " 2", "0x2", "2,2", "", "-2", "00000002"):
        assert heads.find(head(length) + b"{}") is None


def test_a_header_whose_name_only_ends_alike_is_not_the_length() -> None:
    """The body's length comes from the one the parser took, or nothing is remembered."""
    data = b"POST /v1/x HTTP/1.1\r\nX-Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"
    heads = Heads()
    heads.learn(data, known(data))
    assert heads.find(data) is None
