"""Secrets stay secret."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config.secret import Secret, mask, redact

CANARY = "sk-canary-0123456789abcdefXYZ"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "***"),
        ("1234567", "***"),
        ("12345678", "12…"),
        ("12345678901234567", "12…"),
        ("123456789012345678", "123456…678"),
        (CANARY, "sk-can…XYZ"),
    ],
)
def test_masks(text: str, shown: str) -> None:
    assert mask(text) == shown


@given(st.text(max_size=60))
def test_a_mask_hides_at_least_half(text: str) -> None:
    assert sum(map(len, mask(text).split("…"))) <= max(3, len(text) / 2)


def test_no_way_of_printing_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(CANARY)
    logging.getLogger("test").warning("key %s %r", secret, [secret])
    try:
        raise ValueError(secret)
    except ValueError as error:
        trace = traceback.format_exc() + repr(error)
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>40}",
        str({"key": secret}),
        caplog.text,
        trace,
        json.dumps({"k": secret}, default=str),
    ]
    assert all(CANARY not in text for text in shown)
    assert secret.reveal() == CANARY


def test_it_cannot_be_encoded_pickled_or_copied() -> None:
    secret = Secret(CANARY)
    attempts = (
        lambda: json.dumps(secret),
        lambda: msgspec.json.encode({"key": secret}),
        lambda: msgspec.to_builtins(secret),
        lambda: pickle.dumps(secret),
        lambda: copy.copy(secret),
        lambda: copy.deepcopy([secret]),
        lambda: vars(secret),
        lambda: hash(secret),
    )
    for attempt in attempts:
        with pytest.raises(TypeError) as caught:
            attempt()
        assert CANARY not in str(caught.value)


def test_equality_is_between_secrets_only() -> None:
    assert Secret("ä" * 9) == Secret("ä" * 9)
    assert Secret("a") != Secret("b")
    assert Secret(CANARY) != CANARY


def test_redaction_of_foreign_text() -> None:
    own = Secret("my-own-gateway-password")
    text = f"Incorrect API key {CANARY}; tried my-own-gateway-password and AIzaSyA1234567890abcdefgh, not sk-short"
    shown = redact(text, [own, Secret("not")])
    assert shown == "Incorrect API key sk-can…XYZ; tried my-own…ord and AIzaSy…fgh, not sk-short"
