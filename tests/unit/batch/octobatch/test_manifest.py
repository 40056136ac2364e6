"""Manifests as values: what may be missing is, what may not be a name is refused, and money is never made up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.octobatch.manifest import MOST_NANOS, Chunk, read_manifest, seconds_of
from headgate.errors import ConfigError


def manifest(**extra: object) -> bytes:
    return json.dumps({"pipeline": ["ask"], "chunks": {}, **extra}).encode()


@pytest.mark.parametrize(
    ("state", "step", "submitted"),
    [
        ("ask_PENDING", "ask", False),
        ("ask_again_SUBMITTED", "ask_again", True),
        ("VALIDATED", None, False),
        ("FAILED", None, False),
        ("ask_FAILED", None, False),
        ("", None, False),
    ],
)
def test_where_a_chunk_stands(state: str, step: str | None, submitted: bool) -> None:
    assert (Chunk(state=state).step, Chunk(state=state).submitted) == (step, submitted)


@pytest.mark.parametrize(
    ("told", "nanos"),
    [(0.5, 500_000_000), (0, 0), (1e-9, 1), ("1.00", None), (True, None), (-1, None), (None, None), ({"usd": 1}, None), (1e300, None)],
)
def test_a_cost_is_an_estimate_or_nothing(told: object, nanos: int | None) -> None:
    assert read_manifest(manifest(metadata={"cost_estimate": told})).estimate_nanos == nanos


@given(st.floats(0, MOST_NANOS / 1e9))
def test_every_estimate_is_whole_nano_dollars(dollars: float) -> None:
    nanos = read_manifest(manifest(metadata={"cost_estimate": dollars})).estimate_nanos
    assert nanos is not None
    assert abs(nanos - dollars * 1e9) <= 1 + dollars


def test_missing_keys_mean_their_default() -> None:
    found = read_manifest(manifest(metadata={"retry_input_tokens": None, "initial_input_tokens": 3, "unheard": [1]}, later="yes"))
    assert (found.status, found.tokens, found.began, found.ended, found.config) == (
        "pending",
        (3, 0, 0, 0),
        None,
        None,
        "config/config.yaml",
    )


@pytest.mark.parametrize("names", [["a", "a"], [], ["a/b"], [""], ["-x"], ["x" * 300]])
def test_steps_that_cannot_be(names: list[str]) -> None:
    with pytest.raises(ConfigError):
        read_manifest(manifest(pipeline=names))


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00", 60.0),
        ("1970-01-01T01:01:00+01:00", 60.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_moments(moment: str | None, seconds: float | None) -> None:
    assert seconds_of(moment) == seconds
