"""The simulated model's answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.sim import tokens
from headgate.sim.responder import Ask, Tool, respond
from headgate.wire.json import decode

TOOL = Tool("weather", {"type": "object", "properties": {"city": {"type": "string"}}})
QUESTION = Ask("sim-small", ("Tell me about the harbour, city: Lima",), last_user="Tell me about the harbour, city: Lima")


def ask(**changes: object) -> Ask:
    fields = {name: getattr(QUESTION, name) for name in QUESTION.__struct_fields__}
    return Ask(**{**fields, **changes})


def test_an_answer_depends_on_the_request_the_seed_and_the_candidate() -> None:
    texts = {respond(QUESTION, seed, index).text for seed in range(3) for index in range(3)}
    assert len(texts) == 9
    assert respond(QUESTION, 1).text == respond(ask(), 1).text


@pytest.mark.parametrize(
    ("changes", "called"),
    [
        ({}, False),
        ({"forced": ""}, True),
        ({"forced": "weather"}, True),
        ({"last_user": "use weather"}, True),
        ({"last_user": "use weather", "results": ("sunny",)}, False),
        ({"forced": "", "no_tools": True}, False),
    ],
)
def test_tools_are_called_when_forced_or_named(changes: dict[str, object], called: bool) -> None:
    reply = respond(ask(tools=(TOOL,), **changes), 0)
    assert [call.arguments for call in reply.calls] == ([{"city": "Lima"}] if called else [])
    assert reply.finish == ("tool" if called else "stop")


def test_a_tool_result_is_reported() -> None:
    assert "sunny, 21 degrees" in respond(ask(tools=(TOOL,), results=("sunny, 21 degrees",)), 0).text


def test_a_schema_comes_as_json_text() -> None:
    reply = respond(ask(schema={"type": "object", "properties": {"city": {"type": "string"}}}), 0)
    assert decode(reply.text) == {"city": "Lima"}
    assert decode(respond(ask(json_object=True, texts=("city: Lima\nn: 2",)), 0).text) == {"city": "Lima", "n": 2}


def test_stop_sequences_cut() -> None:
    reply = respond(ask(stops=("answer it", "zzz")), 0)
    assert (reply.finish, reply.stop_sequence) == ("stop_sequence", "answer it")
    assert "answer it" not in reply.text


@given(st.integers(1, 60), st.booleans(), st.booleans())
def test_a_limit_is_never_passed(limit: int, thinks: bool, forced: bool) -> None:
    reply = respond(ask(max_tokens=limit, thinks=thinks, tools=(TOOL,), forced="" if forced else None), 0)
    assert reply.output + reply.reasoning <= limit
    assert reply.finish != "length" or not reply.calls
    assert reply.output == tokens.count(reply.text) or reply.calls


@pytest.mark.parametrize("twist", ["empty", "refusal", "length", "fenced", "invalid"])
def test_twists_spoil_an_answer(twist: str) -> None:
    wanted = ask(schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
    plain, spoilt = respond(wanted, 0), respond(wanted, 0, twist=twist)
    assert (spoilt.text, spoilt.finish) != (plain.text, plain.finish)


@given(st.text())
def test_pieces_and_cuts_keep_the_text(text: str) -> None:
    assert "".join(tokens.pieces(text)) == text
    for limit in range(tokens.count(text) + 2):
        assert text.startswith(tokens.cut(text, limit))
        assert tokens.count(tokens.cut(text, limit)) <= limit
