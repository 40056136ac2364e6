"""What a request will cost: a range, in both lanes, with what it rests on (SPN-30). Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from headgate.catalog.cards import Lane, ModelCard, Price
from headgate.catalog.prices import price, upper_bound
from headgate.domain.cost import Cost
from headgate.domain.estimate import estimate_tokens
from headgate.domain.usage import Usage

USUAL_OUTPUT = 500
"""Tokens an answer is taken to have when nothing says how long it will be."""
LANES: tuple[Lane, ...] = ("realtime", "batch")
Basis: TypeAlias = Literal["given", "estimated", "assumed"]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be estimated. `most_input` bounds the input where `input_tokens` is an estimate; both are tokens."""

    input_tokens: int
    most_input: int
    input_basis: Basis = "given"
    output_tokens: int | None = None
    max_tokens: int | None = None


class LaneQuote(msgspec.Struct, frozen=True, kw_only=True):
    """One lane. `cached`: the whole prompt is read from the provider's cache; `likely`: nothing of it; `upper_bound`: the most."""

    cached: Cost
    likely: Cost
    upper_bound: Cost


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate. `output_tokens` is the length of answer that `cached` and `likely` rest on, `most_output` that of the bound."""

    input_tokens: int
    input_basis: Basis
    output_tokens: int
    output_basis: Basis
    most_output: int | None
    lanes: dict[Lane, LaneQuote]


def question_of_bytes(size: int, output_tokens: int | None, max_tokens: int | None) -> Question:
    """A question for a prompt of `size` bytes: no tokenizer makes more tokens than there are bytes, most make one of four."""
    return Question(
        input_tokens=estimate_tokens(size),
        most_input=size,
        input_basis="estimated",
        output_tokens=output_tokens,
        max_tokens=max_tokens,
    )


def quote(card: ModelCard | None, question: Question, day: str) -> Quote:
    """The estimate at the prices in force on `day` (``YYYY-MM-DD``); unpriced wherever a price or the bound is unknown."""
    most = question.max_tokens if question.max_tokens is not None or card is None else card.capabilities.max_output
    output, basis = _expected(question, most)
    record = None if card is None else card.price_on(day)
    lanes = {lane: _lane(card, record, question, output, day, lane) for lane in LANES}
    return Quote(
        input_tokens=question.input_tokens,
        input_basis=question.input_basis,
        output_tokens=output,
        output_basis=basis,
        most_output=most,
        lanes=lanes,
    )


def _expected(question: Question, most: int | None) -> tuple[int, Basis]:
    """How long the answer is taken to be; never longer than it may become."""
    basis: Basis
    output, basis = (USUAL_OUTPUT, "assumed") if question.output_tokens is None else (question.output_tokens, "given")
    return output if most is None else min(output, most), basis


def _lane(card: ModelCard | None, record: Price | None, question: Question, output: int, day: str, lane: Lane) -> LaneQuote:
    tokens = question.input_tokens
    return LaneQuote(
        cached=price(record, Usage(cache_read=tokens, output_text=output), lane),
        likely=price(record, Usage(input_uncached=tokens, output_text=output), lane),
        upper_bound=upper_bound(card, day, question.most_input, question.max_tokens, lane),
    )
