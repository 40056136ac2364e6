"""Streams: any split of the bytes gives the same events, folding gives the whole answer, and a cut is never taken for an end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headgate.dialects.base import ChatDialect, StreamContext
from headgate.domain.events import Failed, Finished, Ping, StreamEvent
from headgate.domain.fold import Fold, fold
from headgate.domain.response import Finish, Response
from headgate.errors import ErrorKind, HeadgateError, ProviderError, Truncated, WireError
from headgate.testing import samples
from headgate.testing.conformance.case import Entry, Subject, expect, expect_equal, fail, streams, textual
from headgate.testing.essence import answer

CONTEXT = StreamContext(samples.MODEL, "answer-1", samples.CREATED)
NOVEL_EVENT = b'event: x_novelty\ndata: {"type":"x_novelty","payload":{"n":1}}\n\n'
COMMENT = b": keep-alive\n\n"
RUBBISH = (b"data: {\n\n", b"data: 7\n\n", b"event: x\ndata: []\n\n", b"<!doctype html>\n\n", b"\xff\xfe\x00\n\n")


def encoded(chat: ChatDialect, events: Iterable[StreamEvent] = samples.EVENTS, *, end: bool = True) -> bytes:
    """The events on this wire, with the terminator unless `end` is False."""
    encoder = chat.stream_encoder(CONTEXT)
    written = b"".join(encoder.render_event(event) for event in events)
    return written + encoder.close() if end else written


def decoded(chat: ChatDialect, pieces: Iterable[bytes]) -> list[StreamEvent]:
    """The events in some bytes, however they are split. Raises `Truncated` without a terminator."""
    decoder = chat.stream_decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close()


def _folds(subject: Subject) -> None:
    """Folding the decoded stream gives the answer the events stand for."""
    chat = subject.chat
    expect_equal(answer(fold(decoded(chat, [encoded(chat)]))), answer(fold(samples.EVENTS)), "the folded stream")


def _equals_whole(subject: Subject) -> None:
    """Folding a stream gives the same answer as the unstreamed one, usage included."""
    chat = subject.chat
    whole = chat.parse_response(chat.render_response(fold(samples.EVENTS)))
    folded = fold(decoded(chat, [encoded(chat)]), chat.name)
    expect_equal(answer(folded), answer(whole), "the folded stream beside the whole answer")


def _splits(subject: Subject) -> None:
    """Whole, byte by byte, and in two at every place: the same answer each time."""
    chat = subject.chat
    data = encoded(chat)
    wanted = _outcome(chat, [data])
    expect_equal(_outcome(chat, [data[at : at + 1] for at in range(len(data))]), wanted, "fed byte by byte")
    for at in range(1, len(data)):
        expect_equal(_outcome(chat, [data[:at], data[at:]]), wanted, f"split at byte {at}")


def _outcome(chat: ChatDialect, pieces: Sequence[bytes]) -> Response:
    return fold(decoded(chat, pieces), chat.name)


def _framings(subject: Subject) -> None:
    """CR LF instead of LF, a byte-order mark and comments between server-sent events change nothing (WHATWG). For streams of text."""
    chat = subject.chat
    data = encoded(chat)
    wanted = _outcome(chat, [data])
    variants = {
        "CR LF": data.replace(b"\n", b"\r\n"),
        "a byte-order mark": b"\xef\xbb\xbf" + data,
    }
    if chat.stream_type == "text/event-stream":
        variants["comments"] = COMMENT + data.replace(b"\n\n", b"\n\n" + COMMENT)
    for name, variant in variants.items():
        expect_equal(_outcome(chat, [variant]), wanted, f"with {name}")


def _truncated(subject: Subject) -> None:
    """Without the terminator there is no answer: `close` raises `Truncated`, wherever the stream was cut, unless nothing was missing."""
    chat = subject.chat
    unfinished = [event for event in samples.EVENTS if not isinstance(event, Finished)]
    expect(_until(chat, encoded(chat, unfinished, end=False)) is None, "a stream that was never finished was closed without Truncated")
    data = encoded(chat)
    whole = _outcome(chat, [data])
    for at in range(len(data)):
        found = _until(chat, data[:at])
        if found is not None:
            said = tuple(msgspec.structs.replace(choice, extra=None) for choice in found.choices)
            wanted = tuple(msgspec.structs.replace(choice, extra=None) for choice in whole.choices)
            expect_equal(said, wanted, f"what a stream cut after {at} of {len(data)} bytes was taken for")


def _until(chat: ChatDialect, data: bytes) -> Response | None:
    """The answer in the beginning of a stream, None when it is told to be cut."""
    decoder = chat.stream_decoder()
    events = decoder.feed(data)
    try:
        events += decoder.close()
    except Truncated:
        expect(not decoder.complete, "a stream that is complete was closed with Truncated")
        return None
    return fold(events, chat.name)


def _unknown_event(subject: Subject) -> None:
    """An event nobody knows is no error and changes nothing."""
    chat = subject.chat
    frames = encoded(chat).split(b"\n\n")
    odd = frames[0] + b"\n\n" + NOVEL_EVENT + b"\n\n".join(frames[1:])
    expect_equal(answer(fold(decoded(chat, [odd]))), answer(fold(decoded(chat, [encoded(chat)]))), "a stream with an unknown event")


def _rubbish(subject: Subject) -> None:
    """Bytes that are no events raise an error of the tree, or are passed over; they never complete an answer."""
    chat = subject.chat
    for data in RUBBISH:
        decoder = chat.stream_decoder()
        try:
            decoder.feed(data)
            decoder.close()
        except (WireError, ProviderError):
            continue
        fail(f"{data!r} was taken for a whole stream")


def _failures(subject: Subject) -> None:
    """An error inside a stream comes out as `Failed`, and the answer is not complete (translation case 64)."""
    chat = subject.chat
    error = ProviderError(ErrorKind.OVERLOADED, "busy")
    unfinished = [event for event in samples.EVENTS if not isinstance(event, Finished)]
    state = Fold(chat.name)
    decoder = chat.stream_decoder()
    state.add_all(decoder.feed(encoded(chat, [*unfinished, Failed(error)])))
    if state.error is None:
        fail("the error inside the stream was lost")
    expect(state.error.error.transient, f"an overloaded upstream is worth another try, not {state.error.error.kind}")
    expect(state.response().finish in (None, Finish.ERROR), f"a failed stream finished as {state.response().finish}")


def _pings(subject: Subject) -> None:
    """Signs of life are bytes the decoder passes over (translation case 63)."""
    chat = subject.chat
    events: list[StreamEvent] = [item for event in samples.EVENTS for item in (event, Ping())]
    expect_equal(answer(fold(decoded(chat, [encoded(chat, events)]))), answer(fold(samples.EVENTS)), "a stream with pings")


def _endings(subject: Subject) -> None:
    """Every kind of ending survives the stream."""
    chat = subject.chat
    for name, sample in samples.ANSWERS.items():
        data = encoded(chat, samples.events_of(sample))
        try:
            folded = fold(decoded(chat, [data]))
        except HeadgateError as error:
            fail(f"the answer {name!r} as a stream: {error}")
        expect_equal(folded.finish, sample.finish, f"the ending of {name!r}")
        expect_equal(folded.text, sample.text, f"the text of {name!r}")


ENTRIES = (
    Entry("stream-folds", _folds, (streams,)),
    Entry("stream-equals-whole", _equals_whole, (streams,)),
    Entry("stream-every-split", _splits, (streams,)),
    Entry("stream-framings", _framings, (streams, textual)),
    Entry("stream-truncated", _truncated, (streams,)),
    Entry("stream-unknown-event", _unknown_event, (streams, textual)),
    Entry("stream-rubbish", _rubbish, (streams,)),
    Entry("stream-failures", _failures, (streams,)),
    Entry("stream-pings", _pings, (streams,)),
    Entry("stream-endings", _endings, (streams,)),
)
