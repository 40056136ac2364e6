"""Counts, their bounds, and their text."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.observe.counters import MOST_SAMPLES, MOST_SERIES, MOST_WORDS, Counters, Known
from headgate.observe.exposition import render
from headgate.observe.families import BOUNDS, EVENTS, GAUGES
from headgate.observe.snapshot import Snapshot, merge
from headgate.wire.json import Json

CHAT = "/v1/chat/completions"
KNOWN = Known(frozenset({CHAT}), frozenset({"openai", "groq"}), frozenset({"gpt-4o-mini", "llama"}))
Reader = Callable[[bytes], Json]


def one(counters: Counters, model: str = "gpt-4o-mini", **changes: Json) -> None:
    """Count a request."""
    values = {"status": 200, "seconds": 0.3, "first_byte": 0.02, "input_tokens": 7, "output_tokens": 5, "cost_nanos": 1_500} | changes
    counters.request(CHAT, "openai", model, **values)


def test_what_is_counted_is_told(exposed: Reader) -> None:
    counters = Counters(KNOWN)
    one(counters)
    one(counters, status=502, seconds=400.0, first_byte=None, cost_nanos=None)
    counters.event("cache", "hit")
    counters.event("cache_saved_nanos", amount=250_000_000)
    counters.gauge("breaker", lambda: {("openai/gpt-4o-mini",): 2})
    text = exposed(render(counters.snapshot(1.0), "1.2.3"))
    target = {"provider": "openai", "model": "gpt-4o-mini"}
    assert text.value("headgate_requests_total", route=CHAT, status="200", **target) == 1
    assert text.value("headgate_request_seconds_bucket", route=CHAT, le="0.5", **target) == 1
    assert text.value("headgate_request_seconds_bucket", route=CHAT, le="0.25", **target) == 0
    assert text.value("headgate_request_seconds_sum", route=CHAT, **target) == 400.3
    assert text.value("headgate_first_byte_seconds_count", route=CHAT, **target) == 1
    assert text.value("headgate_tokens_total", direction="input", **target) == 14
    assert text.value("headgate_cost_usd_total", **target) == 0.0000015
    assert text.value("headgate_unpriced_requests_total", **target) == 1
    assert text.value("headgate_cache_lookups_total", result="hit") == 1
    assert text.value("headgate_cache_lookups_total", result="miss") == 0
    assert text.value("headgate_cache_saved_usd_total") == 0.25
    assert text.value("headgate_breaker_state", deployment="openai/gpt-4o-mini") == 2
    assert text.value("headgate_build_info", version="1.2.3") == 1


@given(st.tuples(st.text(), st.text(), st.text()), st.integers(-(10**6), 10**6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_text_is_valid_whatever_a_label_says(exposed: Reader, names: tuple[str, str, str], status: int) -> None:
    route, provider, model = names
    counters = Counters(Known(frozenset({route}), frozenset({provider}), frozenset({model})))
    counters.request(route, provider, model, status, 0.1, 0.1, 1, 1, 1)
    text = exposed(render(counters.snapshot(0.0), ""))
    shown = str(status) if 100 <= status < 600 else "other"
    assert text.value("headgate_requests_total", route=route, provider=provider, model=model, status=shown) == 1


def test_a_client_cannot_make_series(exposed: Reader) -> None:
    """Names that the settings do not know are one series, however many there are."""
    counters = Counters(KNOWN)
    for n in range(5_000):
        counters.request(f"/{n}", f"p{n}", f"m{n}", 1000 + n, 0.1, None, 1, 1, None)
        counters.event("refused", f"Bad word {n}\n")
        counters.event("cache", f"made-up {n}")
    snapshot = counters.snapshot(0.0)
    assert [labels for labels, _ in snapshot.requests] == [("other", "other", "other", "other")]
    assert {label for _, label, _ in snapshot.events} == {"other"}
    text = exposed(render(snapshot, ""))
    assert text.value("headgate_refused_total", code="other") == 5_000


def test_even_known_names_are_bounded() -> None:
    names = frozenset(f"m{n}" for n in range(MOST_SERIES + 500))
    counters = Counters(Known(frozenset({CHAT}), frozenset({"openai"}), names))
    for name in names:
        one(counters, name)
    for n in range(MOST_WORDS * 3):
        counters.event("refused", f"code_{n}")
    counters.gauge("budget_used", lambda: {(f"key:{n}",): 0.5 for n in range(10_000)})
    snapshot = counters.snapshot(0.0)
    assert len(snapshot.requests) <= MOST_SERIES + 1
    assert sum(numbers[0] for _, numbers in snapshot.requests) == len(names)
    assert len(snapshot.events) <= MOST_WORDS + 1
    assert len(snapshot.gauges) == MOST_SAMPLES


def test_counting_is_cheap() -> None:
    """About 0.8 µs a request; the bound here only catches another order of magnitude."""
    counters = Counters(KNOWN)
    one(counters)
    count = counters.request
    best = 1.0
    for _ in range(5):
        start = time.process_time()
        for _ in range(10_000):
            count(CHAT, "openai", "gpt-4o-mini", 200, 0.3, 0.02, 7, 5, 1_500)
        best = min(best, (time.process_time() - start) / 10_000)
    assert best < 10e-6


def test_an_unknown_gauge_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no gauge"):
        Counters().gauge("made_up", dict)


figures = st.tuples(
    st.sampled_from(["gpt-4o-mini", "llama", "else"]), st.floats(0, 1000), st.integers(0, 10**6), st.none() | st.integers(0, 10**12)
)


@given(st.lists(st.lists(figures, max_size=5), min_size=1, max_size=4))
def test_processes_add_up(processes: list[list[tuple[str, float, int, int | None]]]) -> None:
    """Counts of several processes together are those of one that served everything."""
    alone, parts = Counters(KNOWN), []
    for requests in processes:
        counters = Counters(KNOWN)
        for model, seconds, tokens, cost in requests:
            for each in (alone, counters):
                one(each, model, seconds=seconds, input_tokens=tokens, cost_nanos=cost)
        parts.append(counters.snapshot(5.0))
    merged, whole = dict(merge(parts, 5.0, 10.0).requests), dict(alone.snapshot(5.0).requests)
    assert merged.keys() == whole.keys()
    for labels, numbers in whole.items():
        assert merged[labels] == pytest.approx(numbers)


def test_gauges_of_processes_that_are_gone_do_not_count() -> None:
    old = Snapshot(0.0, gauges=(("in_flight", (), 100),), events=(("cache", "hit", 3),))
    new = Snapshot(99.0, gauges=(("in_flight", (), 2), ("breaker", ("a",), 1)), events=(("cache", "hit", 4),))
    newer = Snapshot(100.0, gauges=(("in_flight", (), 3), ("breaker", ("a",), 2)))
    merged = merge([old, new, newer], 100.0, 10.0)
    assert {(family, labels): value for family, labels, value in merged.gauges} == {("in_flight", ()): 5, ("breaker", ("a",)): 2}
    assert merged.events == (("cache", "hit", 7),)


def test_a_process_goes_on_from_the_counts_of_the_one_before() -> None:
    first = Counters(KNOWN)
    one(first)
    one(first, status=0)
    first.event("reload", "ok")
    second = Counters()
    second.restore(first.snapshot(0.0))
    assert second.snapshot(0.0) == first.snapshot(0.0)


def test_names_follow_the_conventions() -> None:
    assert all(family.name.startswith("headgate_") and family.name.endswith("_total") for family in EVENTS.values())
    assert all(family.name.startswith("headgate_") and not family.name.endswith("_total") for family in GAUGES.values())
    assert list(BOUNDS) == sorted(BOUNDS)
