"""Finding the JSON value in a model's answer."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.answers import AnswerFault, Extracted, extract_json
from headgate.batch.reasons import Reason
from headgate.wire.json import encode_text

FOUND = [
    ('{"a": 1}', {"a": 1}),
    ("42", 42),
    ('"text"', "text"),
    ('  \ufeff {"a": 1}\n', {"a": 1}),
    ('```json\n{"a": 1}\n```', {"a": 1}),
    ('Sure!\n```\n{"a": 1}\n```\nHope it helps {"b": 2}', {"a": 1}),
    ('```python\nx = {1: 2}\n```\n```json\n{"a": 1}\n```', {"a": 1}),
    ('```json\n{"a": 1}', {"a": 1}),
    ('```json\n{"code": "```python\\nx\\n```"}\n```', {"code": "```python\nx\n```"}),
    ('The answer is {"a": {"b": [1, 2]}} as asked.', {"a": {"b": [1, 2]}}),
    ('As [1] says, {"a": 1}', {"a": 1}),
    ("Here: [1, 2]", [1, 2]),
    ('Here: [{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
    ('use {braces} or {"a": 1}', {"a": 1}),
    ('{"a": 1}{"b": 2}', {"a": 1}),
    ('{"a": "} ] , +4 ,}"}tail', {"a": "} ] , +4 ,}"}),
    ('{"a": "x\\"} y"} tail', {"a": 'x"} y'}),
]
REPAIRED = [
    ('{"a": 1,}', {"a": 1}, ("trailing_comma",)),
    ('{"a": [1, 2, ], }', {"a": [1, 2]}, ("trailing_comma",)),
    ('{"a": +4}', {"a": 4}, ("plus_sign",)),
    ('{"a": +4.5, "b": "+4,}",}', {"a": 4.5, "b": "+4,}"}, ("plus_sign", "trailing_comma")),
    ('```json\n{"a": [+1, -2,\n],}\n```', {"a": [1, -2]}, ("plus_sign", "trailing_comma")),
]
FAULTS = [
    ("", Reason.EMPTY),
    (" \n\t ", Reason.EMPTY),
    ("I cannot do that.", Reason.PARSE_ERROR),
    ('{"a": NaN}', Reason.PARSE_ERROR),
    ('{"a": Infinity}', Reason.PARSE_ERROR),
    ('{"a": -Infinity}', Reason.PARSE_ERROR),
    ("{'a': 1}", Reason.PARSE_ERROR),
    ('{"a": 1]', Reason.PARSE_ERROR),
    ('{"a" 1}', Reason.PARSE_ERROR),
    ('{"a": 1,, "b": 2}', Reason.PARSE_ERROR),
    ('{"a": 1', Reason.TRUNCATED),
    ('{"a": "unfinished', Reason.TRUNCATED),
    ('{"a": {"b": 1}, "c": "unfin', Reason.TRUNCATED),
    ('```json\n{"a": [1, 2', Reason.TRUNCATED),
    ("[" * 100, Reason.TRUNCATED),
    ("[" * 200, Reason.PARSE_ERROR),
]


@pytest.mark.parametrize(("text", "value"), FOUND, ids=[text[:30] for text, _ in FOUND])
def test_finds_the_value(text, value):
    assert extract_json(text) == Extracted(value)


@pytest.mark.parametrize(("text", "value", "repairs"), REPAIRED, ids=[text[:30] for text, _, _ in REPAIRED])
def test_repairs_outside_strings_only(text, value, repairs):
    assert extract_json(text) == Extracted(value, repairs)


@pytest.mark.parametrize(("text", "reason"), FAULTS, ids=[text[:30] for text, _ in FAULTS])
def test_names_the_fault(text, reason):
    outcome = extract_json(text)
    assert isinstance(outcome, AnswerFault)
    assert outcome.reason is reason


def test_an_answer_cut_by_its_provider_is_truncated_not_unreadable():
    outcome = extract_json("Let me think about", cut=True)
    assert isinstance(outcome, AnswerFault)
    assert outcome.reason is Reason.TRUNCATED
    assert extract_json('{"a": 1}', cut=True) == Extracted({"a": 1})


def test_size_is_bounded():
    outcome = extract_json("x" * 101, limit=100)
    assert isinstance(outcome, AnswerFault)
    assert outcome.reason is Reason.TOO_LARGE


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


@given(
    OBJECTS,
    st.sampled_from(["", "Sure, here it is: ", "Note!\n```json\n", "```\n"]),
    st.sampled_from(["", "\n```", " Thanks.", "\n```\nbye"]),
)
def test_any_object_survives_prose_and_fences(value, before, after):
    assert extract_json(before + encode_text(value) + after) == Extracted(value)


@given(OBJECTS, st.data())
def test_a_cut_object_is_never_taken_for_whole(value, data):
    text = encode_text(value)
    outcome = extract_json(text[: data.draw(st.integers(1, len(text) - 1))])
    assert isinstance(outcome, AnswerFault)
    assert outcome.reason is Reason.TRUNCATED


@given(st.text(max_size=60))
def test_never_raises(text):
    assert isinstance(extract_json(text), Extracted | AnswerFault)


@pytest.mark.parametrize(
    "text",
    ["{" * 1_000_000, '"' * 1_000_000, "[1," * 300_000, "``` \n" * 200_000, "{a" * 500_000, '{"a\\' * 200_000, '{"a": "' + "x" * 4_000_000],
)
def test_hostile_text_is_quick(text):
    started = time.process_time()
    assert isinstance(extract_json(text), AnswerFault)
    assert time.process_time() - started < 2.0
