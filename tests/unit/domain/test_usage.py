"""Usage adds up bucket by bucket, and its totals are sums of disjoint parts."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.usage import BUCKETS, Usage, add_usage, sum_usage

counts = st.integers(0, 10**12)
usages = st.builds(
    Usage,
    **dict.fromkeys(BUCKETS, counts),
    fees=st.dictionaries(st.sampled_from(["web_search", "code"]), st.integers(1, 9)),
    source=st.sampled_from(["provider", "estimated"]),
)


@given(usages, usages, usages)
def test_adding_is_commutative_and_associative_and_zero_is_neutral(one: Usage, two: Usage, three: Usage) -> None:
    assert add_usage(one, two) == add_usage(two, one)
    assert add_usage(add_usage(one, two), three) == add_usage(one, add_usage(two, three))
    assert add_usage(one, Usage()) == one


@given(st.lists(usages, max_size=5))
def test_a_sum_of_many_is_what_adding_one_after_the_other_gives(many: list[Usage]) -> None:
    assert sum_usage(many) == reduce(add_usage, many, Usage())


@given(usages, usages)
def test_totals_add_up(one: Usage, two: Usage) -> None:
    total = add_usage(one, two)
    assert total.total == one.total + two.total == total.input_total + total.output_total
    assert total.total == sum(getattr(total, bucket) for bucket in BUCKETS)
    assert total.cached == one.cache_read + two.cache_read
    assert total.reasoning == one.output_reasoning + two.output_reasoning


@given(usages, usages)
def test_a_sum_is_estimated_as_soon_as_a_part_is(one: Usage, two: Usage) -> None:
    assert (add_usage(one, two).source == "estimated") == ("estimated" in (one.source, two.source))


def test_fees_are_counted_by_name() -> None:
    total = add_usage(Usage(fees={"web_search": 2}), Usage(fees={"web_search": 1, "code": 3}))
    assert total.fees == {"web_search": 3, "code": 3}


def test_adding_leaves_its_parts_alone() -> None:
    one = Usage(fees={"web_search": 2}, native={"n": 1})
    add_usage(one, one)
    assert one == Usage(fees={"web_search": 2}, native={"n": 1})


def test_every_bucket_is_listed() -> None:
    assert set(BUCKETS) == set(Usage.__struct_fields__) - {"fees", "source", "native", "cost"}
