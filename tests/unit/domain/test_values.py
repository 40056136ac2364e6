"""Values of the domain: what they derive, and that they cannot be changed."""

from __future__ import annotations

import msgspec
import pytest

from headgate.domain.content import Media, Refusal, Text, Thinking, ToolCall, text_of
from headgate.domain.events import SEMANTIC, BlockStart, Delta, Finished, Ping, Signature, Start, UsageSeen
from headgate.domain.request import Message, Request, system_message, user_message
from headgate.domain.response import Choice, Finish, Response


def test_text_leaves_thoughts_refusals_and_pictures_out() -> None:
    blocks = (Thinking("hm"), Text("a"), Media("image", url="u"), Refusal("no"), Text("b"))
    assert text_of(blocks) == "ab"


def test_an_answer_without_choices_has_no_text() -> None:
    assert (Response().text, Response().tool_calls, Response().finish) == ("", (), None)


def test_an_answer_speaks_with_its_first_choice() -> None:
    call = ToolCall("c", "f")
    response = Response(choices=(Choice(0, (Text("a"), call), Finish.TOOL_CALLS), Choice(1, (Text("b"),), Finish.STOP)))
    assert (response.text, response.tool_calls, response.finish) == ("a", (call,), Finish.TOOL_CALLS)


def test_messages_made_by_hand() -> None:
    assert user_message("a") == Message("user", (Text("a"),))
    assert system_message("a") == Message("system", (Text("a"),))


@pytest.mark.parametrize("value", [Request(model="m", messages=()), Response(), Text("a"), Message("user")])
def test_values_are_frozen(value: msgspec.Struct) -> None:
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], "b")


def test_blocks_survive_being_stored() -> None:
    message = Message("assistant", (Thinking("a", "s"), Text("b"), ToolCall("c", "f", "{}"), Refusal("no")))
    assert msgspec.json.decode(msgspec.json.encode(message), type=Message) == message


def test_after_a_semantic_event_nothing_may_be_tried_again() -> None:
    """Translation case 69."""
    assert set(SEMANTIC) == {BlockStart, Delta, Signature, Finished}
    assert not {Start, Ping, UsageSeen} & set(SEMANTIC)
