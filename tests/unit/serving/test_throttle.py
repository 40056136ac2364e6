"""Wrong keys: how many a peer has, and that memory is bounded (faults H2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.serving.throttle import BURST, RATE, Buckets, Throttle, peer_name


def test_a_burst_then_the_rate() -> None:
    throttle = Throttle()
    tries = 0
    while not throttle.wait("10.0.0.1", f"id{tries}", 0.0):
        throttle.wrong("10.0.0.1", f"id{tries}", 0.0)
        tries += 1
    assert tries == BURST
    assert throttle.wait("10.0.0.1", "another", 0.0) == pytest.approx(1 / RATE)
    assert throttle.wait("10.0.0.1", "another", 1 / RATE) == 0.0
    assert throttle.wait("10.0.0.2", "another", 0.0) == 0.0


def test_guesses_of_one_id_hold_up_those_who_were_wrong_only() -> None:
    throttle = Throttle()
    for n in range(100):
        throttle.wrong(f"10.0.0.{n}", "id", 0.0)
    assert throttle.wait("10.0.0.7", "id", 0.0) > 0
    assert throttle.wait("10.0.0.7", "other", 0.0) == 0.0
    assert throttle.wait("10.9.9.9", "id", 0.0) == 0.0


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(0, 1e6)), max_size=60), st.integers(1, 5))
def test_the_table_is_bounded(wrongs: list[tuple[str, float]], size: int) -> None:
    buckets = Buckets(size)
    now = 0.0
    for name, later in wrongs:
        now += later
        buckets.add(name, now)
        assert len(buckets) <= size
        assert 0.0 < buckets.used(name, now) <= BURST


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("", ""),
        ("somewhere", "somewhere"),
        ("x" * 1000, "x" * 64),
    ],
)
def test_peers(address: str, name: str) -> None:
    assert peer_name(address) == name
