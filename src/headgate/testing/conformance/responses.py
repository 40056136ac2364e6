"""Answers: what is parsed can be rendered again, unknown parts included, and nothing but `WireError` escapes from rubbish."""

from __future__ import annotations

from functools import partial

import msgspec

from headgate.domain.content import Opaque, Text
from headgate.errors import ProviderError, WireError
from headgate.testing import samples
from headgate.testing.conformance.case import Entry, Subject, expect, expect_equal, fail
from headgate.testing.conformance.requests import NOVELTY
from headgate.testing.essence import answer
from headgate.wire.json import decode, encode

MALFORMED = (
    b"",
    b"null",
    b"[]",
    b"[" * 100_000,
    b"{",
    b"\xff",
    b"<!doctype html><title>Bad gateway</title>",
    b'{"choices":7,"content":7,"candidates":7}',
    b'{"choices":[3],"type":"message","content":[3],"candidates":[3]}',
    b'{"choices":[{"message":[]}],"type":"message","content":[{"type":[]}],"candidates":[{"content":{"parts":[5]}}]}',
)
"""Bodies that are no answers of any wire."""


def _round_trip(name: str, subject: Subject) -> None:
    """parse(render(x)) says what x said. Some wires have no id, or no model."""
    wanted = samples.ANSWERS[name]
    back = subject.chat.parse_response(subject.chat.render_response(wanted))
    expect_equal(answer(back), answer(wanted), "the answer")
    expect(not back.id or wanted.id in back.id, f"the id {wanted.id!r} became {back.id!r}")
    expect(back.model in ("", wanted.model), f"the model {wanted.model!r} became {back.model!r}")


def _verbatim(subject: Subject) -> None:
    """An answer of this wire, unknown keys included, is written back as an equal JSON value."""
    chat = subject.chat
    for name, sample in samples.ANSWERS.items():
        wire = {**decode(chat.render_response(sample)), **NOVELTY}
        back = chat.parse_response(encode(wire))
        expect_equal(decode(chat.render_response(back)), wire, f"the answer {name!r} with an unknown key")


def _unknown_block(subject: Subject) -> None:
    """Where the wire has blocks, one that nobody knows is kept as `Opaque` and written back; elsewhere it must not spoil the text."""
    chat = subject.chat
    novelty = Opaque({"type": "x_novelty", "payload": {"n": 1}}, chat.name)
    sample = samples.ANSWERS["text"]
    choice = msgspec.structs.replace(sample.choices[0], content=(Text("Blue."), novelty))
    wire = chat.render_response(msgspec.structs.replace(sample, choices=(choice,), dialect=chat.name))
    back = chat.parse_response(wire)
    expect_equal(back.text, "Blue.", "the text beside an unknown block")
    if b"x_novelty" in wire:
        expect_equal([block for block in back.choices[0].content if isinstance(block, Opaque)], [novelty], "the unknown block")
    expect_equal(decode(chat.render_response(back)), decode(wire), "an answer with an unknown block")


def _malformed(subject: Subject) -> None:
    """Rubbish raises `WireError`, or `ProviderError` where it could be an error object."""
    for body in MALFORMED:
        try:
            subject.chat.parse_response(body)
        except (WireError, ProviderError):
            continue
        fail(f"parse_response accepted {body[:60]!r}")


ENTRIES = (
    *(Entry(f"response-{name}", partial(_round_trip, name)) for name in samples.ANSWERS),
    Entry("response-verbatim", _verbatim),
    Entry("response-unknown-block", _unknown_block),
    Entry("response-malformed", _malformed),
)
