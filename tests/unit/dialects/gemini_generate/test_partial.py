"""Function calls in pieces."""

from __future__ import annotations

import pytest

from headgate.dialects.gemini_generate.partial import PartialCall
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject


def joined(*pieces: JsonObject) -> Json:
    call = PartialCall("f", "id", "S")
    for piece in pieces:
        call.add({"partialArgs": [piece], "willContinue": True}, "p")
    return call.whole()["functionCall"]["args"]


def test_strings_grow_and_other_values_come_whole() -> None:
    assert joined(
        {"jsonPath": "$.a.b[1].c", "stringValue": "x", "willContinue": True},
        {"jsonPath": "$.a.b[1].c", "stringValue": "y"},
        {"jsonPath": "$.n", "numberValue": 1.5},
        {"jsonPath": '$[\'a b\']["q\\""]', "boolValue": False},
        {"jsonPath": "$.z", "nullValue": "NULL_VALUE"},
    ) == {"a": {"b": [None, {"c": "xy"}]}, "n": 1.5, "a b": {'q"': False}, "z": None}


def test_the_head_is_kept() -> None:
    call = PartialCall("f", None, None)
    call.add({"args": {"a": 1}}, "p")
    assert call.whole() == {"functionCall": {"name": "f", "args": {"a": 1}}}


@pytest.mark.parametrize(
    "pieces",
    [
        [{"jsonPath": "a", "stringValue": "x"}],
        [{"jsonPath": "$", "stringValue": "x"}],
        [{"jsonPath": "$[0]", "stringValue": "x"}],
        [{"jsonPath": "$.a[99999999]", "stringValue": "x"}],
        [{"jsonPath": "$.a..b", "stringValue": "x"}],
        [{"jsonPath": 5}],
        [{"jsonPath": "$.a", "stringValue": "x"}, {"jsonPath": "$.a.b", "stringValue": "x"}],
        [{"jsonPath": "$.a[0]", "stringValue": "x"}, {"jsonPath": "$.a.b", "stringValue": "x"}],
    ],
)
def test_pieces_that_do_not_fit(pieces: list[JsonObject]) -> None:
    with pytest.raises(WireError):
        joined(*pieces)
