"""Passing events on byte for byte, whatever the reads look like, and leaving out whole ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.gateway.relay import LONGEST_HELD, EventRelay, is_usage_only

USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1}}\n\n'
PLAIN = b'data: {"choices":[{"index":0,"delta":{"content":"\\"usage\\" \xc3\xa4"}}],"usage":null}\n\n'
EVENTS = (
    PLAIN,
    USAGE,
    b": ping\n\n",
    b"event: x\r\ndata: 1\r\n\r\n",
    b"data:[DONE]\n\n",
    b'data: {"choices": [], "usage": null}\n\n',
    b"data: {bad\n\n",
)

streams = st.lists(st.sampled_from(EVENTS), max_size=8)


@st.composite
def split_streams(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Events, and their bytes in pieces."""
    events = draw(streams)
    data = b"".join(events)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=10)))
    return events, [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(split_streams())
def test_nothing_changes(case: tuple[list[bytes], list[bytes]]) -> None:
    events, pieces = case
    relay = EventRelay()
    out = [relay.feed(piece) for piece in pieces]
    assert b"".join(out) + relay.rest() == b"".join(events)
    assert all(piece.endswith((b"\n\n", b"\r\n\r\n")) for piece in out if piece)


@given(split_streams())
def test_usage_events_are_left_out_whole(case: tuple[list[bytes], list[bytes]]) -> None:
    events, pieces = case
    relay = EventRelay(is_usage_only)
    out = b"".join([relay.feed(piece) for piece in pieces]) + relay.rest()
    assert out == b"".join(event for event in events if event != USAGE)


def test_an_event_is_passed_on_as_soon_as_it_is_whole() -> None:
    relay = EventRelay()
    assert relay.feed(PLAIN[:-1]) == b""
    assert relay.feed(PLAIN[-1:] + b"da") == PLAIN
    assert relay.rest() == b"da"


def test_a_usage_event_whose_blank_line_never_came() -> None:
    relay = EventRelay(is_usage_only)
    assert relay.feed(PLAIN + USAGE[:-1]) == PLAIN
    assert relay.rest() == b""


def test_nothing_is_held_for_ever() -> None:
    relay = EventRelay()
    assert len(relay.feed(b"x" * (LONGEST_HELD + 1))) == LONGEST_HELD + 1


def test_an_event_of_our_own_is_never_glued_to_half_of_one() -> None:
    relay = EventRelay()
    relay.feed(PLAIN + b"data: half")
    assert relay.gap == b""
    relay.feed(b"x" * LONGEST_HELD)
    assert relay.gap == b"\n\n"
    relay.feed(b"\n\n")
    assert relay.gap == b""
