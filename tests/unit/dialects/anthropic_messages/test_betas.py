"""Betas travel in a header to Anthropic and in the body to Bedrock, whichever way they came (translation case 113)."""

from __future__ import annotations

import msgspec
import pytest

from headgate.dialects import anthropic_messages, bedrock_anthropic, openai_chat
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.request import Request
from headgate.testing import samples
from headgate.wire.json import Json


def with_betas(value: Json) -> Request:
    own = anthropic_messages.DIALECT.parse_request(
        b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}', "/v1/messages"
    )
    return msgspec.structs.replace(own, extra={"anthropic_beta": value})


def test_to_anthropic_they_go_in_a_header() -> None:
    rendered = anthropic_messages.DIALECT.render_request(with_betas(["a-1", "b-2"]), ANY_MODEL)
    assert rendered.headers == (("anthropic-beta", "a-1,b-2"),)
    assert "anthropic_beta" not in rendered.payload


def test_to_bedrock_they_go_in_the_body() -> None:
    rendered = bedrock_anthropic.DIALECT.render_request(with_betas(["a-1", "b-2"]), ANY_MODEL)
    assert rendered.payload["anthropic_beta"] == ["a-1", "b-2"]
    assert rendered.headers == ()


def test_elsewhere_they_are_reported() -> None:
    rendered = openai_chat.DIALECT.render_request(with_betas(["a-1"]), ANY_MODEL)
    assert [(note.field, note.action) for note in rendered.notes] == [("anthropic_beta", "dropped")]


@pytest.mark.parametrize("value", ["a", [1], ["x\r\ny: z"], ["a b"], {"a": 1}, [["a"]]])
def test_what_is_no_list_of_names_never_becomes_a_header(value: Json) -> None:
    assert anthropic_messages.DIALECT.render_request(with_betas(value), ANY_MODEL).headers == ()


def test_a_plain_request_has_no_such_header() -> None:
    assert anthropic_messages.DIALECT.render_request(samples.PLAIN, ANY_MODEL).headers == ()
