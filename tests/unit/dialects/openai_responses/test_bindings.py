"""What ties a request to an account, and the request without it (translation case 75)."""

from __future__ import annotations

import pytest

from headgate.dialects import anthropic_messages, gemini_generate, openai_chat
from headgate.dialects.base import ChatDialect
from headgate.dialects.openai_responses import DIALECT
from headgate.dialects.openai_responses.bindings import bound_to_account, without_bindings
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.request import Request, user_message
from headgate.errors import Unsupported
from headgate.wire.json import JsonObject, encode

HI: JsonObject = {"role": "user", "content": "hi"}
THOUGHT: JsonObject = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
SAID: JsonObject = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "yes", "annotations": []}],
}
CALL: JsonObject = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}", "status": "completed"}
RESULT: JsonObject = {"type": "function_call_output", "call_id": "c1", "output": "done"}


def parsed(**fields: object) -> Request:
    return DIALECT.parse_request(encode({"model": "gpt-5", "input": [HI], **fields}), "/responses")


def test_a_plain_request_is_bound_to_nothing() -> None:
    request = parsed(input=[HI, SAID, CALL, RESULT], tools=[{"type": "code_interpreter", "container": {"type": "auto"}}])
    assert request.bound == ()
    assert bound_to_account(request) == ()


def test_every_binding_is_named_by_its_path() -> None:
    request = parsed(
        previous_response_id="resp_1",
        input=[
            HI,
            THOUGHT,
            {"type": "item_reference", "id": "msg_0"},
            {"role": "user", "content": [{"type": "input_file", "file_id": "f"}]},
        ],
        tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}],
    )
    assert bound_to_account(request) == (
        "previous_response_id",
        "input[1].encrypted_content",
        "input[2]",
        "input[3].content[0].file_id",
        "tools[0].vector_store_ids",
    )


def test_stripping_leaves_what_says_itself_and_notes_the_rest() -> None:
    request = parsed(conversation="conv_1", store=True, input=[HI, THOUGHT, SAID, CALL, RESULT, {"id": "msg_0"}])
    stripped, notes = without_bindings(request)
    assert [note.field for note in notes] == ["conversation", "input[1]", "input[5]"]
    assert {note.action for note in notes} == {"dropped"}
    said = {key: value for key, value in SAID.items() if key != "id"}
    call = {key: value for key, value in CALL.items() if key != "id"}
    assert DIALECT.render_request(stripped, ANY_MODEL).payload == {"model": "gpt-5", "store": True, "input": [HI, said, call, RESULT]}
    assert bound_to_account(stripped) == ()
    assert stripped.bound == ()


def test_requests_of_another_wire_are_not_touched() -> None:
    request = Request(model="m", messages=(user_message("hi"),), dialect="openai_chat")
    assert bound_to_account(request) == ()
    assert without_bindings(request) == (request, ())


REFERRING = {
    "previous_response_id": {"previous_response_id": "resp_1"},
    "conversation": {"conversation": {"id": "conv_1"}},
    "prompt": {"prompt": {"id": "pmpt_1"}},
    "input[1]": {"input": [HI, {"type": "item_reference", "id": "msg_0"}]},
}


@pytest.mark.parametrize("param", REFERRING)
@pytest.mark.parametrize("target", [openai_chat.DIALECT, anthropic_messages.DIALECT, gemini_generate.DIALECT], ids=lambda d: d.name)
def test_other_wires_refuse_what_stands_for_kept_content(target: ChatDialect, param: str) -> None:
    with pytest.raises(Unsupported) as caught:
        target.render_request(parsed(**REFERRING[param]), ANY_MODEL)
    assert caught.value.param == param


@pytest.mark.parametrize("target", [openai_chat.DIALECT, anthropic_messages.DIALECT, gemini_generate.DIALECT], ids=lambda d: d.name)
def test_a_reference_that_is_null_is_none(target: ChatDialect) -> None:
    rendered = target.render_request(parsed(previous_response_id=None, max_output_tokens=9), ANY_MODEL)
    assert rendered.notes == ()
