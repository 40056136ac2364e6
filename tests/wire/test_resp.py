"""RESP: commands written, replies read whole, byte by byte and at every split; what is no reply is an error of the tree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import WireError
from headgate.wire.resp import MAX_BULK, RespError, RespReader, RespValue, render_command

REPLIES: list[tuple[bytes, RespValue]] = [
    (b":42\r\n", 42),
    (b":-7\r\n", -7),
    (b"+OK\r\n", "OK"),
    (b"-NOAUTH Authentication required.\r\n", RespError("NOAUTH Authentication required.")),
    (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*3\r\n:1\r\n$2\r\nab\r\n*1\r\n+x\r\n", [1, b"ab", ["x"]]),
]


@given(st.lists(st.sampled_from(REPLIES), max_size=6), st.lists(st.integers(1, 9), max_size=40))
def test_replies_come_whole_at_any_split(replies: list[tuple[bytes, RespValue]], sizes: list[int]) -> None:
    data = b"".join(raw for raw, _ in replies)
    reader = RespReader()
    found: list[RespValue] = []
    for size in sizes:
        found += reader.feed(data[:size])
        data = data[size:]
    found += reader.feed(data)
    assert found == [value for _, value in replies]


def test_an_error_says_its_code() -> None:
    assert RespError("LOADING Redis is loading").code == "LOADING"


def test_commands_are_arrays_of_strings() -> None:
    assert render_command(("SET", b"k\r\n", 12)) == b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$2\r\n12\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b":\r\n",
        b":1x\r\n",
        b":" + b"9" * 30 + b"\r\n",
        b"$x\r\n",
        b"$-2\r\n",
        b"$%d\r\n" % (MAX_BULK + 1),
        b"$2\r\nabcd",
        b"*99999999\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        b"+" + b"x" * 5000,
    ],
)
def test_what_is_no_reply_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        RespReader().feed(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_replies_or_a_wire_error(data: bytes) -> None:
    reader = RespReader()
    try:
        for place in range(len(data)):
            reader.feed(data[place : place + 1])
    except WireError:
        return
