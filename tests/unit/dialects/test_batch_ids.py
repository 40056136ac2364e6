"""Custom ids as providers take them, and back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.batch_ids import ANY_TEXT, CustomIds
from headgate.dialects.batch_tables import ALL
from headgate.errors import UsageError

PLAIN = CustomIds("", 4096)
UNDERLINED = CustomIds("_-", 4096)
DASHED = CustomIds("-.", 4096)
RULES = (PLAIN, UNDERLINED, DASHED)
lookalikes = st.text(alphabet="Z_ab09-.é ", max_size=24)


@pytest.mark.parametrize("rule", RULES)
@given(custom_id=st.one_of(st.text(min_size=1, max_size=40), lookalikes.filter(bool)))
def test_an_id_comes_back_as_it_was_and_only_allowed_characters_are_sent(rule: CustomIds, custom_id: str) -> None:
    made = rule.safe(custom_id)
    assert rule.original(made) == custom_id
    assert re.fullmatch(f"[A-Za-z0-9{re.escape(rule.extra or '')}]+", made)


@pytest.mark.parametrize("rule", RULES)
@given(one=lookalikes.filter(bool), other=lookalikes.filter(bool))
def test_two_ids_stay_two(rule: CustomIds, one: str, other: str) -> None:
    assert (rule.safe(one) == rule.safe(other)) is (one == other)


@given(text=st.text(max_size=40))
def test_an_id_of_somebody_else_never_raises(text: str) -> None:
    for rule in RULES:
        assert isinstance(rule.original(text), str)


def test_our_own_ids_are_readable_where_they_are_allowed() -> None:
    assert UNDERLINED.safe("run6-2-1-0") == "run6-2-1-0" == ANY_TEXT.safe("run6-2-1-0")
    assert PLAIN.safe("run6-2-1-0") == "run6Z2d2Z2d1Z2d0"
    assert UNDERLINED.safe("a_12") == "a_5f12" and UNDERLINED.safe("a_x") == "a_x"


@pytest.mark.parametrize(("rule", "custom_id"), [(CustomIds(None, 64), "x" * 65), (CustomIds("", 11), "abc-def-ghi"), (PLAIN, "")])
def test_an_id_that_does_not_fit_is_refused_with_its_length(rule: CustomIds, custom_id: str) -> None:
    with pytest.raises(UsageError, match=f"1 to {rule.max_length} characters") as caught:
        rule.safe(custom_id)
    assert caught.value.hint


def test_every_wire_takes_the_longest_of_our_ids() -> None:
    longest = "0123456789abcdef-123456-123-123456789012"
    for facts in ALL:
        assert facts.ids.original(facts.ids.safe(longest)) == longest, facts.name
