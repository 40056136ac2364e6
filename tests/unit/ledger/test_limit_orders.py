"""What may be granted: never more than the limit in any span, for whatever order of draws and returns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.ledger.limit_orders import SHARE, SPANS, TURN, Draw, Grant, Held, Hold, decide_grant, decide_hold, fair_share

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


WANTED = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 20), min_size=1)


@given(st.integers(0, 40), WANTED, st.integers(0, 9))
def test_shares_are_fair(limit: int, wanted: dict[str, int], turn: int) -> None:
    shares = {name: fair_share(limit, wanted, name, turn) for name in wanted}
    assert sum(shares.values()) == min(limit, sum(wanted.values()))
    for name, share in shares.items():
        assert share <= wanted[name]
        if share < wanted[name]:
            assert all(other <= share + 1 for other in shares.values())


def test_what_cannot_be_divided_goes_to_each_in_turn() -> None:
    wanted = dict.fromkeys("abc", 5)
    assert [sum(fair_share(1, wanted, name, turn) for turn in range(3)) for name in "abc"] == [1, 1, 1]


@given(
    st.integers(1, 12), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 15), st.integers(0, 15), st.floats(0, 9)), max_size=50)
)
def test_places_are_never_more_than_the_limit(limit: int, events: list[tuple[str, int, int, float]]) -> None:
    """Each keeps to what it was told last: it fills at most `cap`, and never gives up what is in use."""
    time = 0.0
    noted: dict[str, Held] = {}
    active = dict.fromkeys("abc", 0)
    for who, wanted, use, seconds in events:
        time += seconds
        mine = noted.get(who, Held(0, 0))
        others = {name: held for name, held in noted.items() if name != who}
        noted[who] = decide_hold(Hold("key:a", limit, wanted, max(active[who], min(mine.cap, wanted))), who, others, time)
        active[who] = min(active[who], use) if active[who] >= noted[who].cap else min(use, noted[who].cap)
        assert sum(active.values()) <= sum(held.held for held in noted.values()) <= limit


def test_who_holds_everything_gives_others_their_share_as_it_becomes_free() -> None:
    busy = decide_hold(Hold("key:a", 6, 9, 6), "a", {}, 0.0)
    assert busy == Held(6, 9, 6)
    late = decide_hold(Hold("key:a", 6, 9, 0), "b", {"a": busy}, 0.0)
    assert late == Held(0, 9, 0)
    busy = decide_hold(Hold("key:a", 6, 9, 6), "a", {"b": late}, TURN)
    assert busy == Held(6, 9, 3)
    busy = decide_hold(Hold("key:a", 6, 9, 3), "a", {"b": late}, TURN)
    assert decide_hold(Hold("key:a", 6, 9, 0), "b", {"a": busy}, TURN) == Held(3, 9, 3)
