"""Heads and forms: what they keep of an item's spelling, and what happens when the blocks they describe have changed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from headgate.dialects.openai_responses import DIALECT
from headgate.dialects.openai_responses.items import read_reasoning, write_reasoning
from headgate.dialects.openai_responses.render_turns import head_in, heads_of
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Text, Thinking
from headgate.domain.request import Request
from headgate.wire.json import Json, JsonObject, encode


def summary(*texts: str) -> list[JsonObject]:
    return [{"type": "summary_text", "text": text} for text in texts]


def content(*texts: str) -> list[JsonObject]:
    return [{"type": "reasoning_text", "text": text} for text in texts]


REASONING: dict[str, tuple[JsonObject, Thinking]] = {
    "summary": ({"summary": summary("a")}, Thinking("a")),
    "paragraphs": ({"summary": summary("a", "", "b")}, Thinking("a\n\n\n\nb")),
    "empty text": ({"summary": summary("")}, Thinking("")),
    "encrypted": ({"summary": summary("a"), "encrypted_content": "e"}, Thinking("a")),
    "only-encrypted": ({"summary": [], "encrypted_content": "e"}, Thinking()),
    "signed-elsewhere": ({"summary": summary("a"), "encrypted_content": "headgate:signature:e"}, Thinking("a", "e")),
    "signed-and-hidden": ({"summary": [], "encrypted_content": "headgate:signature:e"}, Thinking("", "e")),
    "redacted-elsewhere": ({"summary": [], "encrypted_content": "headgate:redacted:e"}, Thinking(redacted="e")),
    "null": ({"summary": [], "encrypted_content": None, "content": None}, Thinking()),
    "content": ({"summary": [], "content": content("a", "b")}, Thinking("a\n\nb")),
    "both alike": ({"summary": summary("a"), "content": content("a")}, Thinking("a")),
    "both": ({"summary": summary("s"), "content": content("a")}, Thinking("a")),
    "no summary": ({"id": "rs_1", "status": "completed"}, Thinking()),
}


@pytest.mark.parametrize(("fields", "block"), REASONING.values(), ids=REASONING)
def test_reasoning_is_read_and_written_back(fields: JsonObject, block: Thinking) -> None:
    item = {"type": "reasoning", **fields}
    found = read_reasoning(item)
    assert found is not None
    assert found[0] == block
    assert write_reasoning(*found) == item


ODD: list[Json] = [{"summary": None}, {"summary": "x"}, {"summary": [{"type": "x"}]}, {"summary": [], "encrypted_content": 5}]


@pytest.mark.parametrize("fields", ODD)
def test_reasoning_of_another_shape_is_not_read(fields: JsonObject) -> None:
    assert read_reasoning({"type": "reasoning", **fields}) is None


def test_changed_thoughts_are_written_as_one_paragraph() -> None:
    found = read_reasoning({"type": "reasoning", "summary": summary("a", "b")})
    assert found is not None
    block, head, more = found
    assert write_reasoning(replace(block, text="changed"), head, more)["summary"] == summary("changed")


def test_forms_of_another_make_hold_no_heads() -> None:
    assert heads_of("") == heads_of("list") == heads_of("[") == heads_of("[1]") == []
    assert head_in("") == head_in("{") == {}
    assert head_in('{"id":"x"}') == {"id": "x"}


def test_blocks_changed_by_somebody_are_written_as_they_are_now() -> None:
    items: list[JsonObject] = [
        {"type": "reasoning", "id": "rs_1", "summary": summary("a")},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "one", "annotations": []},
                {"type": "output_text", "text": "two", "annotations": []},
            ],
        },
    ]
    request = DIALECT.parse_request(encode({"model": "m", "input": items}), "")
    (turn,) = request.messages
    cut = replace(turn, content=(*turn.content[:1], Text("new")))
    assert written(request, cut)[1]["content"] == [{"type": "output_text", "text": "new", "annotations": []}]
    assert written(request, replace(turn, content=(Text("alone"),))) == [{"role": "assistant", "content": "alone"}]


def written(request: Request, turn: Json) -> Json:
    return DIALECT.render_request(replace(request, messages=(turn,)), ANY_MODEL).payload["input"]
