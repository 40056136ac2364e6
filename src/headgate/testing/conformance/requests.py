"""Requests: what is rendered can be parsed again, by the gateway for instance, and nothing is lost without a note."""

from __future__ import annotations

from functools import partial

import msgspec

from headgate.dialects.base import RenderedRequest
from headgate.domain.request import Request
from headgate.errors import Unsupported, WireError
from headgate.testing import samples
from headgate.testing.conformance.case import Entry, Need, Subject, expect, expect_equal, fail, stops, structured, thinks, tools, vision
from headgate.testing.essence import conversation, functions, settings
from headgate.wire.json import JsonObject, decode, encode

NOVELTY: JsonObject = {"x_novelty": {"nested": [1, None, "two"]}}

MALFORMED = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"{",
    b'"text"',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"messages":3,"contents":3,"model":[]}',
    b'{"model":"m","max_tokens":"many","messages":[{"role":5}],"contents":[{"parts":7}]}',
    b'{"model":"m","max_tokens":1,"messages":[null],"contents":[null],"tools":[[]]}',
    b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":{}}]}],"contents":[{"parts":[{"text":{}}]}]}',
)
"""Bodies that are no requests of any wire."""


def _render(subject: Subject, request: Request) -> tuple[RenderedRequest, bytes]:
    named = msgspec.structs.replace(request, model=subject.model)
    rendered = subject.chat.render_request(named, subject.capabilities)
    return rendered, encode(rendered.payload)


def _round_trip(name: str, subject: Subject) -> None:
    """parse(render(x)) says what x said, but for what the notes name; rendering the result again gives an equal JSON value."""
    request = samples.REQUESTS[name]
    chat = subject.chat
    rendered, body = _render(subject, request)
    expect(rendered.path.startswith("/"), f"the path {rendered.path!r} must start with a slash")
    noted = {note.field.partition(".")[0].partition("[")[0] for note in rendered.notes}
    back = chat.parse_request(body, rendered.path)
    expect_equal(back.model, subject.model, "model")
    expect(bool(back.dialect), "a request that was read names no dialect")
    expect_equal(conversation(back), conversation(request), "messages")
    if not {"tools", "response_format"} & noted:
        expect_equal(functions(back), functions(request), "tools")
    given = {field: value for field, value in settings(request).items() if field not in noted}
    expect_equal({field: settings(back).get(field) for field in given}, given, "sampling and limits")
    if "response_format" not in noted and request.response_format is not None:
        expect(back.response_format is not None, "the form of the answer was lost without a note")
    if "tool_choice" not in noted and request.tool_choice is not None:
        expect_equal(back.tool_choice, request.tool_choice, "tool choice")
    again = chat.render_request(back, subject.capabilities)
    expect_equal(decode(encode(again.payload)), decode(body), "rendering what was parsed")


def _streaming(subject: Subject) -> None:
    """Whether an answer is to be streamed is said in the body or in the path, and is read again there."""
    for wanted in (True, False):
        request = msgspec.structs.replace(samples.PLAIN, stream=wanted)
        rendered, body = _render(subject, request)
        back = subject.chat.parse_request(body, rendered.path)
        expect_equal(bool(back.stream), wanted, "stream")


def _unknown_keys(subject: Subject) -> None:
    """A key nobody knows passes through a dialect that reads and writes the same wire."""
    rendered, body = _render(subject, samples.TOOL_LOOP)
    payload = {**decode(body), **NOVELTY}
    back = subject.chat.parse_request(encode(payload), rendered.path)
    again = subject.chat.render_request(back, subject.capabilities)
    expect_equal(decode(encode(again.payload)), payload, "a request with an unknown key")


def _foreign_keys(subject: Subject) -> None:
    """A key of another wire is dropped, and a note says so."""
    request = msgspec.structs.replace(samples.PLAIN, dialect="another_wire", extra=NOVELTY)
    rendered, body = _render(subject, request)
    expect("x_novelty" not in decode(body), "a key of another wire was sent on")
    noted = [note for note in rendered.notes if "x_novelty" in note.field and note.action == "dropped"]
    expect(bool(noted), f"no note says that x_novelty was dropped: {rendered.notes}")


def _malformed(subject: Subject) -> None:
    """Malformed bodies raise `WireError` and nothing else."""
    path = subject.chat.render_request(samples.PLAIN, subject.capabilities).path
    for body in MALFORMED:
        try:
            back = subject.chat.parse_request(body, path)
        except (WireError, Unsupported):
            continue
        if isinstance(back, Request) and back.bound:
            continue  # an empty body may stand for a prompt the provider keeps
        fail(f"parse_request accepted {body[:60]!r}")


_NEEDS: dict[str, tuple[Need, ...]] = {
    "picture": (vision,),
    "sampled": (stops,),
    "tools": (tools,),
    "forced": (tools,),
    "tool_loop": (tools,),
    "structured": (structured,),
    "thinking": (thinks,),
}

ENTRIES = (
    *(Entry(f"request-{name}", partial(_round_trip, name), _NEEDS.get(name, ())) for name in samples.REQUESTS),
    Entry("request-streaming", _streaming),
    Entry("request-unknown-keys", _unknown_keys),
    Entry("request-foreign-keys", _foreign_keys),
    Entry("request-malformed", _malformed),
)
