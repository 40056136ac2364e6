"""Breakers, pauses, figures and retry budgets, each at given times."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import ErrorKind
from headgate.router.health import FAULTS, HEALTH, QUARANTINE, Breaker, Pause, Window, clamped_wait, ramp_at
from headgate.router.live import NO_LIMIT, WELL, Credential, Flight, Live, Report
from headgate.router.measures import Sketch
from headgate.router.retry_budget import MINIMUM, RetryBudget
from headgate.testing.routes import deployment


def failed(times: int, now: float = 0.0) -> Breaker:
    """A breaker after a run of failures."""
    breaker = Breaker()
    for _ in range(times):
        breaker.fail(now)
    return breaker


def test_a_run_of_failures_opens() -> None:
    assert failed(HEALTH.run - 1).state == "closed"
    breaker = failed(HEALTH.run)
    assert (breaker.state, breaker.soft, breaker.until) == ("open", False, HEALTH.first)
    assert breaker.claim(0.1) == "no"


def test_one_probe_at_a_time_and_its_first_event_closes() -> None:
    breaker = failed(HEALTH.run)
    assert [breaker.claim(1.0), breaker.claim(1.0), breaker.claim(20.0)] == ["probe", "no", "no"]
    breaker.succeed(2.0)
    assert (breaker.state, breaker.claim(2.0)) == ("closed", "call")


def test_a_probe_that_says_nothing_is_given_up_after_its_time() -> None:
    breaker = failed(HEALTH.run)
    assert breaker.claim(1.0) == "probe"
    assert breaker.claim(1.0 + HEALTH.probe) == "probe"


def test_a_probe_whose_client_left_frees_the_place() -> None:
    breaker = failed(HEALTH.run)
    breaker.claim(1.0)
    breaker.release(1.5)
    assert breaker.claim(1.5) == "probe"


def test_it_stays_open_for_longer_each_time_up_to_a_bound() -> None:
    breaker, now, opens = failed(HEALTH.run), 0.0, [HEALTH.first]
    for _ in range(6):
        now = breaker.until
        assert breaker.claim(now) == "probe"
        breaker.fail(now)
        opens.append(breaker.until - now)
    assert opens == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]


def test_flapping_counts_as_going_on_and_calm_as_a_new_beginning() -> None:
    breaker = failed(HEALTH.run)
    breaker.claim(1.0)
    breaker.succeed(1.0)
    for _ in range(HEALTH.run):
        breaker.fail(2.0)
    assert breaker.until == 3.0
    breaker.claim(3.0)
    breaker.succeed(3.0)
    for _ in range(HEALTH.run):
        breaker.fail(3.0 + HEALTH.steady)
    assert breaker.until == 3.0 + HEALTH.steady + HEALTH.first


def test_partial_failure_ejects_softly() -> None:
    breaker = Breaker()
    for n in range(10):
        breaker.fail(n / 10) if n % 2 else breaker.succeed(n / 10)
    assert (breaker.state, breaker.soft) == ("open", True)
    assert breaker.claim(1.0) == "call"
    for _ in range(HEALTH.run):
        breaker.fail(1.1)
    assert not breaker.soft
    assert breaker.claim(1.2) == "no"


def test_few_samples_say_little() -> None:
    breaker = Breaker()
    for n in range(8):
        breaker.fail(0.0) if n % 2 else breaker.succeed(0.0)
    assert breaker.state == "closed"


def test_the_way_back_is_a_ramp() -> None:
    breaker = failed(HEALTH.run)
    breaker.claim(1.0)
    breaker.succeed(1.0)
    assert [breaker.ramp(1.0), breaker.ramp(6.0), breaker.ramp(11.0)] == [0.1, 0.5, 1.0]
    assert Breaker().ramp(0.0) == 1.0
    assert breaker.back_at == 1.0 + HEALTH.ramp


def test_failures_of_long_ago_do_not_count() -> None:
    window = Window(10.0)
    for at in (0.0, 1.0, 4.0, 6.0):
        window.add(True, at)
    assert (window.calls, window.rate) == (4, 1.0)
    window.add(False, 12.0)
    assert (window.calls, window.rate) == (2, 0.5)
    window.add(False, 30.0)
    assert (window.calls, window.rate) == (1, 0.0)


EVENTS = st.lists(st.tuples(st.sampled_from(["claim", "early", "fail", "succeed", "release"]), st.floats(0, 5)), max_size=60)


@given(EVENTS)
def test_whatever_happens_there_is_at_most_one_probe(events: list[tuple[str, float]]) -> None:
    breaker, now, probes = Breaker(), 0.0, []
    for event, later in events:
        now += later
        before = breaker.state
        if event in ("claim", "early"):
            if breaker.claim(now, early=event == "early") == "probe":
                assert before != "half_open" or now >= probes[-1] + HEALTH.probe
                probes.append(now)
                assert breaker.state == "half_open"
        else:
            getattr(breaker, event)(*(() if event == "x" else (now,)))
        assert breaker.until <= now + max(HEALTH.probe, HEALTH.longest)
        assert breaker.state in ("closed", "open", "half_open")


def test_pauses_double_by_lot_and_end_with_one_probe() -> None:
    pause = Pause()
    pause.escalate(10.0, 35.0, 0.0, 1.0)
    assert pause.until == 10.0
    assert pause.claim(9.9, 30.0) == "no"
    assert [pause.claim(10.0, 30.0), pause.claim(10.0, 30.0), pause.claim(40.0, 30.0)] == ["probe", "no", "probe"]
    pause.escalate(10.0, 35.0, 50.0, 1.0)
    pause.escalate(10.0, 35.0, 50.0, 1.0)
    assert pause.until == 85.0
    pause.end()
    assert (pause.claim(85.0, 30.0), pause.repeated) == ("call", False)


def test_a_wait_is_never_shortened() -> None:
    pause = Pause()
    pause.wait(60.0, 0.0)
    pause.wait(1.0, 10.0)
    assert pause.until == 60.0


@pytest.mark.parametrize(("hint", "wanted"), [(7.0, 7.0), (-3.0, 0.0), (1e9, 120.0), (math.inf, 120.0), (math.nan, 0.0)])
def test_what_is_believed_of_a_wait(hint: float, wanted: float) -> None:
    assert clamped_wait(hint, 0.0) == wanted
    assert clamped_wait(hint, 0.999) <= wanted * 1.1


@given(st.floats(), st.floats(0, 1))
def test_every_wait_is_bounded(hint: float, draw: float) -> None:
    assert 0 <= clamped_wait(hint, draw) <= 132


def test_ramps() -> None:
    assert ramp_at(-math.inf, 0.0, 10.0) == 1.0
    assert ramp_at(5.0, 5.0, 10.0) == 0.1


# Figures


def test_the_sketch_finds_percentiles_in_bounded_memory() -> None:
    lots, sketch, seen = random.Random(1), Sketch(), []
    for _ in range(5000):
        seconds = lots.lognormvariate(0, 0.5)
        sketch.add(seconds)
        seen.append(seconds)
    recent = sorted(seen)
    assert sketch.quantile(0.95) == pytest.approx(recent[4750], rel=0.2)
    assert sketch.quantile(0.5) == pytest.approx(recent[2500], rel=0.2)


def test_the_sketch_forgets() -> None:
    sketch = Sketch()
    for seconds in [10.0] * 2000 + [0.1] * 2000:
        sketch.add(seconds)
    assert sketch.quantile(0.95) == pytest.approx(0.1, rel=0.2)


@given(st.lists(st.floats(0, allow_nan=False), max_size=50))
def test_any_duration_can_be_counted(times: list[float]) -> None:
    sketch = Sketch()
    for seconds in times:
        sketch.add(seconds)
    found = sketch.quantile(0.95)
    assert (found is None) == (not times)


# The retry budget


def test_a_quiet_upstream_can_be_retried_at_all() -> None:
    budget = RetryBudget(0.2)
    assert [budget.withdraw(0.0) for _ in range(4)] == [True, True, True, False]


def test_a_fifth_of_the_requests_may_be_retries() -> None:
    budget, granted = RetryBudget(0.2), 0
    for _ in range(1000):
        budget.deposit(10)
        granted += budget.withdraw(0.0)
    assert granted <= 200 + MINIMUM


def test_it_holds_a_fifth_of_what_is_under_way() -> None:
    budget = RetryBudget(0.2)
    for _ in range(1000):
        budget.deposit(100)
    assert budget.left(0.0) == pytest.approx(20.0)


def test_it_recovers_with_time_but_not_without_a_ratio() -> None:
    budget = RetryBudget(0.2)
    while budget.withdraw(0.0):
        pass
    assert not budget.withdraw(19.0 - 1e-6)
    assert budget.withdraw(40.0)
    assert not RetryBudget(0.0).withdraw(0.0)


# One deployment


def live(credential: Credential | None = None, id: str = "a/m") -> Live:
    return Live(deployment(id), credential or Credential(), HEALTH, 0.2)


def call(one: Live, now: float, kind: ErrorKind | None = None, retry_after: float | None = None, draw: float = 0.0) -> bool:
    """A call that ends at once; whether it could go."""
    flight = one.begin(now)
    if flight is not None:
        flight.ended(Report(kind=kind, retry_after=retry_after), now, draw)
    return flight is not None


@pytest.mark.parametrize("kind", sorted(set(ErrorKind) - FAULTS))
def test_only_faults_of_the_provider_open_its_breaker(kind: ErrorKind) -> None:
    one = live()
    for n in range(50):
        call(one, n * 1000.0, kind)
    assert one.breaker.state == "closed"
    assert one.error_rate == 0.0


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_faults_of_the_provider_do(kind: ErrorKind) -> None:
    one = live()
    calls = sum(call(one, n / 100, kind) for n in range(50))
    assert calls <= 10
    assert one.standing(0.5).blocked == "circuit_open"


@pytest.mark.parametrize("kind", sorted(QUARANTINE))
def test_a_refused_key_rests_with_all_its_models(kind: ErrorKind) -> None:
    key = Credential()
    one, other, elsewhere = live(key), live(key, "a/n"), live(id="a/m#two")
    assert call(one, 0.0, kind)
    assert [call(it, 1.0) for it in (one, other, elsewhere)] == [False, False, True]
    assert other.standing(1.0).blocked == "quarantined"
    later = QUARANTINE[kind][0] + 1
    flight = other.begin(later)
    assert flight is not None
    assert not call(one, later)
    flight.first_byte(later)
    assert call(one, later)


def test_a_model_that_a_key_may_not_use_rests_alone() -> None:
    key = Credential()
    one, other = live(key), live(key, "a/n")
    call(one, 0.0, ErrorKind.PERMISSION)
    assert (call(one, 1.0), call(other, 1.0)) == (False, True)


def test_a_provider_that_asks_to_wait_is_left_alone_and_comes_back_slowly() -> None:
    one = live()
    call(one, 0.0, ErrorKind.RATE_LIMIT, retry_after=7.0)
    assert not call(one, 6.9)
    standing = one.standing(6.9)
    assert (standing.blocked, standing.available_at) == ("cooling_down", 7.0)
    assert call(one, 7.0)
    assert one.standing(8.0).ramp == pytest.approx(0.1)
    assert one.standing(17.0).ramp == 1.0


def test_why_it_is_left_alone_is_the_providers_last_word() -> None:
    one = live()
    call(one, 0.0, ErrorKind.OVERLOADED, retry_after=7.0)
    assert one.standing(1.0).blocked == "overloaded"
    one.failed(Report(kind=ErrorKind.RATE_LIMIT, retry_after=9.0), 1.0, 0.0)
    assert (one.standing(2.0).blocked, one.standing(2.0).available_at) == ("cooling_down", 10.0)


def test_a_limit_without_a_hint_backs_off_and_takes_fewer_calls_at_once() -> None:
    one = live()
    flights = [one.begin(0.0) for _ in range(10)]
    assert isinstance(flights[0], Flight)
    flights[0].ended(Report(kind=ErrorKind.RATE_LIMIT), 0.0, 0.0)
    assert one.limit == pytest.approx(7.0)
    assert one.standing(0.1).blocked == "cooling_down"
    for flight in flights[1:]:
        assert flight is not None
        flight.ended(WELL, 0.1, 0.0)
    for n in range(200):
        call(one, 1.0 + n)
    assert one.limit == NO_LIMIT


def test_nothing_is_counted_twice() -> None:
    one = live()
    flight = one.begin(0.0)
    assert flight is not None
    flight.first_byte(0.5)
    flight.first_byte(9.0)
    flight.ended(Report(output_tokens=100, seconds=2.0), 2.5, 0.0)
    flight.ended(Report(kind=ErrorKind.SERVER), 3.0, 0.0)
    assert (one.in_flight, one.first_byte, one.samples, one.tokens_per_second, one.error_rate) == (0, 0.5, 1, 50.0, 0.0)


def test_a_probe_that_met_another_trouble_frees_the_place() -> None:
    one = live()
    for _ in range(HEALTH.run):
        call(one, 0.0, ErrorKind.SERVER)
    assert call(one, 1.0, ErrorKind.BAD_REQUEST)
    assert call(one, 1.0, ErrorKind.CANCELLED)
    assert call(one, 1.0)
    assert one.breaker.state == "closed"


MIX = st.lists(
    st.tuples(
        st.floats(0, 3),
        st.none() | st.sampled_from(list(ErrorKind)),
        st.none() | st.floats(),
        st.booleans(),
        st.integers(0, 5),
    ),
    max_size=40,
)


@given(MIX)
def test_whatever_happens_it_recovers(events: list[tuple[float, ErrorKind | None, float | None, bool, int]]) -> None:
    one, now, flights = live(), 0.0, []
    for later, kind, hint, answered, which in events:
        now += later
        flight = one.begin(now)
        if flight is not None:
            flights.append(flight)
        if flights:
            ending = flights.pop(which % len(flights))
            if answered:
                ending.first_byte(now)
            ending.ended(Report(kind=kind, retry_after=hint), now, 0.5)
        assert one.in_flight == len(flights)
        clear = now >= one.clear_after
        assert not (clear and one.standing(now).blocked)
    for flight in flights:
        flight.ended(Report(kind=ErrorKind.CANCELLED), now, 0.5)
    end = now + 4000.0
    assert call(one, end)
    assert call(one, end)
    assert one.standing(end + 60).blocked == ""
    assert one.standing(end + 60).ramp == 1.0
