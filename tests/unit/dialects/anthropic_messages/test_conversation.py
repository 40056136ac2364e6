"""The short way through a plain talk against the long one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.anthropic_messages import conversation
from headgate.dialects.anthropic_messages.notes import Losses
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Cache, Refusal, Text
from headgate.domain.request import Message, system_message, user_message

texts = st.sampled_from(["", " ", "a", "b\n"])
blocks = st.one_of(st.builds(Text, texts), st.builds(Text, texts, st.just(Cache())), st.builds(Refusal, texts))
roles = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
messages = st.builds(Message, roles, st.lists(blocks, max_size=2).map(tuple), st.sampled_from([None, "n"]))
plain = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts.map(lambda words: (Text(words),)))


@given(st.lists(plain, max_size=5) | st.lists(messages, max_size=5))
def test_both_ways_say_the_same_and_lose_nothing(talk: list[Message]) -> None:
    found = conversation.plain_talk(tuple(talk))
    if found is not None:
        losses = Losses(ANY_MODEL, "elsewhere")
        assert conversation._any_talk(tuple(talk), losses) == found
        assert not losses.notes and not losses.breakpoints


ANSWER = Message("assistant", (Text("b"),))
PLAIN = [
    ([user_message("a")], None),
    ([system_message("s"), user_message("a")], "s"),
    ([user_message("a"), ANSWER, user_message("c")], None),
]


@pytest.mark.parametrize(("talk", "system"), PLAIN)
def test_plain_talks_go_the_short_way(talk: list[Message], system: str | None) -> None:
    found = conversation.plain_talk(tuple(talk))
    assert found is not None and found[0] == system and found[1][0]["content"] == "a"


@pytest.mark.parametrize(
    "talk",
    [
        [],
        [system_message("s")],
        [system_message("s"), system_message("t"), user_message("a")],
        [user_message("a"), system_message("s"), user_message("b")],
        [user_message("a"), user_message("b")],
        [user_message("a"), ANSWER],
        [user_message(" ")],
        [Message("user", (Text("a"),), "name")],
        [Message("developer", (Text("a"),)), user_message("b")],
    ],
)
def test_other_talks_do_not(talk: list[Message]) -> None:
    assert conversation.plain_talk(tuple(talk)) is None
