"""Never more than the limit in any span, wherever it begins; what is given back is free again, exactly. Held against a list of it all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.ledger.limit_windows import OPEN, RING, Ceiling, Window
from headgate.ledger.limits import MINUTE, RATES, TOKENS, Rate

TPM = next(rate for rate in RATES if rate.field == "tpm")
STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "take", "give", "pass"]), st.integers(1, 60), st.floats(0.0, 25.0), st.integers(0, 9)), max_size=80
)


class Taken:
    """One taking: when, in which slot, and what of it is still counted."""

    def __init__(self, at: float, slot: int, amount: int) -> None:
        self.at = at
        self.slot = slot
        self.amount = amount


def take(window: Window, amount: int, now: float) -> Taken | None:
    """As admission does."""
    if now >= window.edge:
        window.advance(now)
    if window.used + amount > window.cap:
        return None
    window.used += amount
    window.counts[window.at] += amount
    return Taken(now, window.slot, amount)


def most_in_a_span(log: list[Taken], span: float) -> int:
    """The largest sum in any half-open span; it begins with a taking."""
    return max((sum(one.amount for one in log if first.at <= one.at < first.at + span) for first in log), default=0)


@given(STEPS, st.integers(60, 150), st.floats(0, 1e6))
def test_no_span_holds_more_than_the_limit(steps: list[tuple[str, int, float, int]], limit: int, now: float) -> None:
    window = Window("key:a", TPM, limit, now)
    log: list[Taken] = []
    for step, amount, seconds, which in steps:
        if step == "pass":
            now += seconds
        elif step == "take":
            taken = take(window, amount, now)
            if taken is not None:
                log.append(taken)
        elif log:
            one = log[which % len(log)]
            back = min(amount, one.amount)
            window.give(one.slot, back)
            one.amount -= back
        recent = sum(one.amount for one in log if one.slot > window.slot - RING)
        assert window.used == recent == sum(window.counts)
        assert 0 <= window.left <= limit
        assert min(window.counts) >= 0
        assert most_in_a_span(log, MINUTE) <= limit


@given(STEPS, st.integers(60, 150), st.integers(1, 150))
def test_what_is_told_to_wait_for_fits_then_and_is_needed(steps: list[tuple[str, int, float, int]], limit: int, amount: int) -> None:
    now = 0.0
    window = Window("key:a", TPM, limit, now)
    for _, taken, seconds, _ in steps:
        take(window, taken, now)
        now += seconds / 10
    if now >= window.edge:
        window.advance(now)
    wait = window.wait(amount, now)
    assert (wait is None) == (amount > limit)
    if wait is not None and wait > 0:
        assert take(window, amount, now + wait / 2) is None or wait <= window.width
        assert wait <= MINUTE + window.width
    if wait is not None:
        assert take(window, amount, now + wait + 1e-6) is not None


def test_what_was_used_beyond_the_reservation_counts_and_is_never_told_as_negative() -> None:
    window = Window("key:a", TPM, 100, 0.0)
    taken = take(window, 60, 0.0)
    assert taken is not None
    window.give(taken.slot, -70)
    assert window.used == 130
    room = window.room(0.0)
    assert (room.limit, room.remaining) == (100, 0)
    assert take(window, 1, 59.0) is None
    assert take(window, 100, 62.1) is not None


def test_a_new_limit_keeps_what_is_in_use() -> None:
    window = Window("key:a", TPM, 100, 0.0)
    take(window, 60, 0.0)
    window.resize(50)
    assert take(window, 1, 1.0) is None
    assert window.room(1.0).remaining == 0
    window.resize(70)
    assert take(window, 10, 1.0) is not None


def test_room_says_when_all_is_free() -> None:
    window = Window("key:a", TPM, 100, 0.0)
    assert window.room(0.5).reset == 0.0
    take(window, 1, 0.5)
    assert window.room(0.5).reset == 61.5
    assert window.room(61.9).remaining == 99
    assert window.room(62.0).remaining == 100


def test_a_ceiling_is_open_until_the_provider_says_something_and_after_its_time() -> None:
    ceiling = Ceiling("deployment:d", Rate("upstream tokens", TOKENS, MINUTE, "tokens", "tokens"), 0.0)
    first = take(ceiling, 10**9, 1.0)
    assert first is not None
    ceiling.hear(1000, 30, 10.0)
    assert (ceiling.room(5.0).limit, ceiling.room(5.0).remaining) == (1000, 30)
    second = take(ceiling, 30, 5.0)
    assert second is not None
    assert take(ceiling, 1, 9.9) is None
    assert ceiling.wait(1, 9.0) == 1.0
    ceiling.give(first.slot, 10**9)
    assert take(ceiling, 1, 9.9) is None
    ceiling.give(second.slot, 5)
    assert take(ceiling, 5, 9.9) is not None
    assert take(ceiling, 10**9, 10.0) is not None
    assert ceiling.room(11.0).limit == OPEN
