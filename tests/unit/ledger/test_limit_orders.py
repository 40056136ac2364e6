"""What may be granted: never more than the limit in any span, for whatever order of draws and returns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.ledger.limit_orders import SHARE, SPANS, Draw, Grant, Hold, decide_grant, decide_hold

EVENTS = st.lists(st.tuples(st.floats(0, 9), st.integers(0, 1), st.integers(1, 80), st.integers(1, 40), st.floats(0, 1)), max_size=60)


@given(EVENTS, st.integers(1, 200))
def test_no_span_of_slots_is_granted_more_than_the_limit(events: list[tuple[float, int, int, int, float]], limit: int) -> None:
    time = 1000.0
    granted: dict[int, int] = {}
    for seconds, ahead, wanted, least, back in events:
        time += seconds
        slot = int(time // 2) + ahead
        before = dict(granted)
        grant = decide_grant(Draw("b", slot, 2.0, limit, wanted, least), granted, time)
        assert grant.granted == 0 or grant.granted >= min(least, wanted, limit)
        granted[slot] = granted.get(slot, 0) + grant.granted
        for end in range(slot - 1, slot + SPANS + 2):
            assert sum(amount for at, amount in granted.items() if end - SPANS <= at <= end) <= limit
        if grant.granted:
            granted[slot] -= int(grant.granted * back)
        elif grant.frees is not None and grant.frees > slot:
            again = Draw("b", grant.frees, 2.0, limit, least, least)
            assert decide_grant(again, before, grant.frees * 2.0).granted == least


def test_a_clock_that_differs_by_a_slot_gets_nothing() -> None:
    for slot, granted in ((498, 0), (499, 0), (500, 5), (501, 5), (502, 0)):
        assert decide_grant(Draw("b", slot, 2.0, 100, 5, 1), {}, 1000.5).granted == granted


def test_one_process_gets_a_part_of_what_is_left_or_what_a_request_needs() -> None:
    assert decide_grant(Draw("b", 0, 2.0, 100, 1000, 1), {}, 0.0) == Grant("b", 0, 100 // SHARE, 75)
    assert decide_grant(Draw("b", 0, 2.0, 100, 1000, 80), {}, 0.0) == Grant("b", 0, 80, 20)
    assert decide_grant(Draw("b", 0, 2.0, 100, 101, 101), {}, 0.0).granted == 0


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 80))
def test_places_are_never_more_than_the_limit(limit: int, wanted: int, others: int) -> None:
    places = decide_hold(Hold("key:a", limit, wanted), others)
    assert 0 <= places <= wanted
    assert places + others <= max(limit, others)
