"""Folding: the order of blocks is their number, a cut keeps what came, and a stream equals the answer it spells."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.domain.content import Block, Refusal, Text, Thinking, ToolCall
from headgate.domain.events import (
    Annotate,
    BlockStart,
    BlockStop,
    Delta,
    Failed,
    Finished,
    OpaqueEvent,
    Ping,
    Signature,
    Start,
    StreamEvent,
    UsageSeen,
)
from headgate.domain.fold import Fold, fold, merge_logprobs
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError
from headgate.testing import samples

words = st.text(max_size=8)
blocks: st.SearchStrategy[Block] = st.one_of(
    st.builds(Text, words),
    st.builds(Thinking, words, st.none() | words),
    st.builds(Refusal, words),
    st.builds(ToolCall, words, words, words),
)
answers = st.builds(
    Response,
    id=words,
    model=words,
    created=st.none() | st.integers(0, 2**31),
    choices=st.builds(
        Choice, st.just(0), st.lists(blocks, max_size=5).map(tuple), st.sampled_from(Finish), st.none() | words, st.none() | words
    ).map(lambda choice: (choice,)),
    usage=st.none() | st.builds(Usage, input_uncached=st.integers(0, 9), output_text=st.integers(0, 9)),
)


def spelled(answer: Response) -> list[StreamEvent]:
    """The answer as events, one character at a time."""
    (choice,) = answer.choices
    events: list[StreamEvent] = [Start(answer.id, answer.model, answer.created)]
    for place, block in enumerate(choice.content):
        assert isinstance(block, Text | Thinking | Refusal | ToolCall)
        grown = block.arguments if isinstance(block, ToolCall) else block.text
        field = "arguments" if isinstance(block, ToolCall) else "text"
        events.append(BlockStart(place, msgspec.structs.replace(block, **{field: ""})))
        events += [Delta(place, char) for char in grown]
        events.append(BlockStop(place))
    if answer.usage is not None:
        events.append(UsageSeen(answer.usage))
    return [*events, Finished(choice.finish, choice.native_finish, 0, choice.stop_sequence)]


@given(answers)
def test_folding_a_spelled_answer_gives_the_answer(answer: Response) -> None:
    assert fold(spelled(answer)) == answer


@given(answers, st.randoms(use_true_random=False))
def test_blocks_may_interleave_and_come_in_any_order(answer: Response, random: Random) -> None:
    events = spelled(answer)
    first, *middle, last = events
    by_block: dict[int, list[StreamEvent]] = {}
    for event in middle:
        by_block.setdefault(getattr(event, "block", 99), []).append(event)
    shuffled: list[StreamEvent] = []
    queues = list(by_block.values())
    while queues:
        queue = random.choice(queues)
        shuffled.append(queue.pop(0))
        queues = [left for left in queues if left]
    assert fold([first, *shuffled, last]) == answer


@given(answers, st.integers(0, 60))
def test_a_cut_keeps_what_came_and_invents_no_end(answer: Response, cut: int) -> None:
    events = spelled(answer)
    state = Fold()
    state.add_all(events[: min(cut, len(events) - 1)])
    part = state.response()
    assert not state.finished
    assert part.finish is None
    assert len(part.choices) <= 1
    for got, whole in zip(part.choices[0].content if part.choices else (), answer.choices[0].content, strict=False):
        assert type(got) is type(whole)
        assert isinstance(got, Text | Thinking | Refusal | ToolCall)
        grown = [
            b.arguments if isinstance(b, ToolCall) else b.text for b in (got, whole) if isinstance(b, Text | Thinking | Refusal | ToolCall)
        ]
        assert grown[1].startswith(grown[0])


@settings(max_examples=50)
@given(answers)
def test_asking_early_changes_nothing(answer: Response) -> None:
    state = Fold()
    for event in spelled(answer):
        state.add(event)
        state.response()
    assert state.response() == answer


def test_a_signature_and_annotations_belong_to_their_block() -> None:
    response = fold(
        [
            BlockStart(0, Thinking()),
            Delta(0, "hm"),
            Signature(0, "c2ln"),
            BlockStart(1, Text("a")),
            Delta(1, "b"),
            Annotate(1, "citations", {"n": 1}),
            Annotate(1, "citations", {"n": 2}),
            Annotate(-1, "safety", "fine"),
            Finished(Finish.STOP, extra={"score": 1}),
        ]
    )
    assert response.choices[0].content == (Thinking("hm", "c2ln"), Text("ab", extra={"citations": [{"n": 1}, {"n": 2}]}))
    assert response.choices[0].extra == {"safety": ["fine"], "score": 1}


def test_choices_are_kept_apart_and_in_order() -> None:
    response = fold(
        [
            BlockStart(0, Text("b"), 1),
            BlockStart(0, Text("a"), 0),
            Finished(Finish.LENGTH, choice=1),
            Delta(0, "!", 0),
            Finished(Finish.STOP, choice=0),
        ]
    )
    assert [(choice.index, choice.text, choice.finish) for choice in response.choices] == [(0, "a!", Finish.STOP), (1, "b", Finish.LENGTH)]


def test_a_fold_is_finished_when_every_choice_is() -> None:
    state = Fold()
    assert not state.finished
    state.add_all([BlockStart(0, Text("a"), 0), BlockStart(0, Text("b"), 1), Finished(Finish.STOP, choice=0)])
    assert not state.finished
    state.add(Finished(Finish.STOP, choice=1))
    assert state.finished


def test_usage_is_cumulative_the_last_wins() -> None:
    """Translation cases 53 and 54."""
    response = fold([UsageSeen(Usage(input_uncached=5), "flex"), UsageSeen(Usage(input_uncached=5, output_text=7))])
    assert response.usage == Usage(input_uncached=5, output_text=7)
    assert response.service_tier == "flex"


def test_the_first_start_says_who_answers() -> None:
    assert fold([Start("one", "m"), Start("two", "n")]).id == "one"


def test_an_error_is_kept_beside_what_came() -> None:
    error = ProviderError(ErrorKind.OVERLOADED, "busy")
    state = Fold("x")
    state.add_all([Start("one"), BlockStart(0, Text("a")), Failed(error)])
    assert state.error is not None
    assert state.error.error is error
    assert state.response().text == "a"
    assert state.response().dialect == "x"


def test_signs_of_life_and_unknown_events_change_nothing() -> None:
    noisy = [item for event in samples.EVENTS for item in (event, Ping(), OpaqueEvent({"type": "x"}, "y"))]
    assert fold(noisy) == fold(samples.EVENTS)


def test_log_probabilities_are_joined() -> None:
    assert merge_logprobs([]) is None
    joined = merge_logprobs([{"content": [1], "refusal": None}, {"content": [2, 3], "refusal": [4]}, {"content": None}])
    assert joined == {"content": [1, 2, 3], "refusal": [4]}
    response = fold([Annotate(-1, "logprobs", {"content": [1]}), Annotate(-1, "logprobs", {"content": [2]})])
    assert response.choices[0].logprobs == {"content": [1, 2]}


def test_a_delta_of_a_block_that_never_began_is_a_bug() -> None:
    with pytest.raises(KeyError):
        fold([Delta(3, "a")])


def test_an_answer_may_be_asked_for_twice() -> None:
    kept = Fold()
    pieces = [{"content": [1]}, {"content": [2]}]
    kept.add_all([Annotate(-1, "logprobs", piece) for piece in pieces])
    assert kept.response() == kept.response()
    assert kept.response().choices[0].logprobs == {"content": [1, 2]} and pieces == [{"content": [1]}, {"content": [2]}]
