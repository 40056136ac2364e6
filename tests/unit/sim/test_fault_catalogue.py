"""Which faults of an upstream a script can play, and which cannot come from an upstream at all.

`CATALOGUE` follows the product's list of faults: A upstream transport, B streams and payloads, C limits and overload. Each entry is a
script with what a plain reader of sockets then sees, or the reason why no script of an upstream can play it.
"""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from collections.abc import Callable
from typing import NamedTuple

import pytest

from headgate.sim import faults
from headgate.sim.faults import (
    Action,
    CloseAfter,
    CutStream,
    Delay,
    DropReply,
    Garbage,
    Huge,
    Match,
    Reset,
    Rule,
    Status,
    StreamError,
    Truncate,
    Twist,
)
from headgate.sim.faults_bytes import Drip, Early, Edit, Encoded, Events, Framing, Headers, Informational, Insert, Patch, Raw, Stall
from headgate.sim.server import Simulator
from headgate.wire.json import Json, encode

CHAT = {"model": "sim-small", "messages": [{"role": "user", "content": "Tell me about harbours, look"}]}
STREAM = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
TOOLS = {**CHAT, "tools": [LOOK]}
ERROR_BODY = '{"error": {"message": "no", "type": "server_error", "param": null, "code": null}}'
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


class Seen(NamedTuple):
    """What came over the socket until it closed or fell silent, and how it ended: ``closed``, ``reset``, or ``silent``."""

    raw: bytes
    end: str

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0].lower()

    @property
    def body(self) -> bytes:
        """The body, its chunks joined as far as they go."""
        head, _, rest = self.raw.partition(b"\r\n\r\n")
        return dechunked(rest) if b"chunked" in head.lower() else rest

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    def json(self) -> Json:
        return json.loads(self.body)

    def chunks(self) -> list[Json]:
        frames = [frame.removeprefix(b"data: ") for frame in self.body.split(b"\n\n")]
        return [json.loads(frame) for frame in frames if frame.startswith(b"{")]


def dechunked(rest: bytes) -> bytes:
    made = b""
    while rest:
        size, _, after = rest.partition(b"\r\n")
        if not size or not all(byte in b"0123456789abcdef" for byte in size.partition(b";")[0]):
            break
        length = int(size.partition(b";")[0], 16)
        made += after[:length]
        rest = after[length + 2 :]
        if not length:
            break
    return made


class Case(NamedTuple):
    """A fault that a script plays: its actions, the request it befalls, and what must then hold."""

    actions: tuple[Action, ...]
    holds: Callable[[Seen], bool]
    body: Json = STREAM
    first: int | None = None
    keep: bool = False


Covered = Case | str
NOT_SENT = "the request never reaches an upstream: "
OURS = "how Headgate itself must behave, whatever the upstream does: "
NOT_HERE = "not of this protocol: "


def ended(status: int = 200) -> Callable[[Seen], bool]:
    return lambda seen: seen.status == status


def contains(*parts: bytes) -> Callable[[Seen], bool]:
    return lambda seen: all(part in seen.raw for part in parts)


def whole(seen: Seen) -> bool:
    return seen.body.endswith(b"data: [DONE]\n\n")


def refused(error: str, status: int) -> Case:
    return Case((Status(error, status=status),), ended(status), CHAT)


def usage_of(seen: Seen) -> list[Json]:
    return [chunk["usage"] for chunk in seen.chunks() if chunk.get("usage")]


CATALOGUE: dict[str, Covered] = {
    "A1": NOT_SENT + "names are resolved before",
    "A2": NOT_SENT + "names are resolved before",
    "A3": NOT_SENT + "take a port on which nothing listens",
    "A4": NOT_HERE + "the simulator speaks plain HTTP on loopback",
    "A5": NOT_HERE + "the simulator speaks plain HTTP on loopback",
    "A6": Case((Delay(30.0),), lambda seen: (seen.raw, seen.end) == (b"", "silent")),
    "A7": Case((Stall(30.0, events=0),), lambda seen: seen.head.startswith(b"http/1.1 200") and not seen.body and seen.end == "silent"),
    "A8": Case((Stall(30.0, events=3),), lambda seen: len(seen.chunks()) == 3 and seen.end == "silent"),
    "A9": Case((Stall(30.0),), lambda seen: whole(seen) and not seen.raw.endswith(b"0\r\n\r\n") and seen.end == "silent"),
    "A10": Case((Insert(": ping\n\n", at=2, times=500), CutStream(50)), lambda seen: seen.body.count(b": ping\n\n") == 500),
    "A11": Case((Reset(after_bytes=20),), lambda seen: len(seen.raw) <= 20 and seen.end == "reset"),
    "A12": Case((Reset(after_bytes=900),), lambda seen: seen.end == "reset" and not whole(seen)),
    "A13": Case((CloseAfter(),), lambda seen: b"connection: keep-alive" in seen.head and seen.end == "closed", keep=True),
    "A14": Case((Early("too_large"),), lambda seen: seen.status == 413 and seen.end == "closed", CHAT),
    "A15": Case(
        (Informational(103, times=50),),
        lambda seen: seen.raw.count(b"HTTP/1.1 103 Early Hints\r\n\r\n") == 50 and b"HTTP/1.1 200" in seen.raw,
    ),
    "A16": NOT_HERE + "the simulator speaks HTTP/1.1",
    "A17": Case(
        (Garbage(302, body=""), Headers(add=(("location", "http://127.0.0.1:1/"),))), contains(b"HTTP/1.1 302", b"location: http://")
    ),
    "A18": Case(
        (Framing("two_lengths"), Headers(add=(("set-cookie", "a=b"), ("server", "x")))),
        lambda seen: seen.head.count(b"content-length:") == 2,
    ),
    "A19": OURS + "which proxies the environment names",
    "A20": Case((DropReply(),), lambda seen: (seen.raw, seen.end) == (b"", "closed")),
    "A21": OURS + "how many connections it keeps",
    "A22": OURS + "what a cancelled call leaves behind",
    "A23": Case(
        (Garbage(200, "application/json", ERROR_BODY),), lambda seen: seen.status == 200 and seen.json()["error"]["message"] == "no"
    ),
    "A24": Case((Garbage(502),), lambda seen: seen.status == 502 and b"<html>" in seen.body),
    "A25": Case((Patch("model", "sim-other"),), lambda seen: {chunk["model"] for chunk in seen.chunks()} == {"sim-other"}),
    "A26": Case((Status("server"),), ended(500), CHAT, first=1),
    "B1": Case((CutStream(3), Framing("close")), lambda seen: b"chunked" not in seen.head and not whole(seen) and seen.end == "closed"),
    "B2": Case((Drip(bytes=1),), whole),
    "B3": Case(
        (Edit("\n", "\r"), Insert("\xef\xbb\xbf: note\rretry: 5\r\r")),
        lambda seen: b"\n" not in seen.body and seen.body.startswith(b"\xef\xbb\xbf: note\r"),
    ),
    "B4": Case((Insert("x", at=2, times=1 << 20),), lambda seen: b"x" * (1 << 20) in seen.body),
    "B5": Case((Insert('data: {"choices": [\n\n', at=2),), lambda seen: b'data: {"choices": [\n\n' in seen.body and whole(seen)),
    "B6": Case((Edit('"content":"', '"content":"\xff\xfe\x00\\ud800'),), lambda seen: b"\xff\xfe\x00\\ud800" in seen.body),
    "B7": Case(
        (Garbage(200, "application/json", '{"a": 1e999, "a": NaN, "b": ' + "[" * 5000),), lambda seen: seen.body.endswith(b"[" * 5000)
    ),
    "B8": Case((Huge(300_000),), lambda seen: len(seen.body) == 300_000),
    "B9": Case(
        (Encoded(blanks=1 << 22),),
        lambda seen: b"content-encoding: gzip" in seen.head and len(seen.body) < 20_000 and len(gzip.decompress(seen.body)) > 1 << 22,
        CHAT,
    ),
    "B10": Case(
        (Encoded(label="br", times=2),),
        lambda seen: b"content-encoding: br" in seen.head and gzip.decompress(gzip.decompress(seen.body))[:1] == b"{",
        CHAT,
    ),
    "B11": Case((Patch("usage", remove=True),), lambda seen: whole(seen) and not usage_of(seen)),
    "B12": Case(
        (Patch("usage.completion_tokens", -5), Events("repeat", -2)),
        lambda seen: [usage["completion_tokens"] for usage in usage_of(seen)] == [-5, -5],
    ),
    "B13": Case(
        (Events("swap", -4, 2),),
        lambda seen: "usage" in (chunks := seen.chunks())[-1] and chunks[-1]["usage"] is None and len(usage_of(seen)) == 1,
    ),
    "B14": Case((Edit('"finish_reason":"stop"', '"finish_reason":"tired"'),), contains(b'"finish_reason":"tired"')),
    "B15": Case(
        (Events("swap", 2), Patch("choices.*.delta.tool_calls.*.index", remove=True)),
        lambda seen: all(
            "index" not in call for chunk in seen.chunks() for part in chunk["choices"] for call in part["delta"].get("tool_calls", ())
        ),
        {**STREAM, "tools": [LOOK]},
    ),
    "B16": Case(
        (Patch("choices.0.delta", {}), Edit('"choices":[{', '"choices":[],"was":[{', count=1)),
        lambda seen: all(chunk["choices"] == [] for chunk in seen.chunks()),
    ),
    "B17": Case((Twist("refusal"),), lambda seen: whole(seen) and b'"refusal":"' in seen.body),
    "B18": Case((StreamError(0, "overloaded"),), lambda seen: b'"server_error"' in seen.body and seen.status == 200),
    "B19": OURS + "how it reads while its own client does not",
    "B20": OURS + "what it does after content was sent",
    "B21": Case(
        (Insert('event: from.the.future\ndata: {"type":"from.the.future"}\n\n', at=1), Patch("new_field", 1, add=True)),
        contains(b"from.the.future", b'"new_field":1'),
    ),
    "B22": OURS + "what it does with signatures; the wires check them by nothing",
    "B23": Case((Framing("split_header"), Headers(add=(("x-name", "caf\xe9"),))), contains(b"x-split: one\rtwo\n", b"caf\xe9")),
    "B24": Case(
        (Garbage(200, "application/json", '{"object":"chat.completion","choices":[]}'),),
        lambda seen: seen.json()["object"] == "chat.completion",
    ),
    "C1": Case((Status("rate_limit", retry_after=7),), contains(b"retry-after: 7\r\n"), CHAT),
    "C2": Case(
        (Status("rate_limit"), Headers(add=(("retry-after", DATE), ("retry-after", "-1")), drop=("date",))),
        contains(DATE.encode(), b"retry-after: -1"),
        CHAT,
    ),
    "C3": Case(
        (Status("rate_limit", retry_after=0.5), Headers(add=(("x-should-retry", "false"), ("x-ratelimit-reset-tokens", "6m0s")))),
        contains(b"retry-after-ms: 500", b"x-should-retry: false"),
        CHAT,
    ),
    "C4": Case((Status("rate_limit"),), lambda seen: seen.status == 429 and b"retry-after" not in seen.head, CHAT),
    "C5": Case((Status("quota"),), lambda seen: seen.json()["error"]["code"] == "insufficient_quota", CHAT),
    "C6": refused("overloaded", 529),
    "C7": refused("timeout", 425),
    "C8": Case((Status("context_length"),), lambda seen: seen.json()["error"]["code"] == "context_length_exceeded", CHAT),
    "C9": refused("auth", 401),
    "C10": OURS + "how often it tries; an outage is a rule without `first`",
    "C11": OURS + "how it spreads what it tries again",
    "C12": OURS + "when its breaker opens",
    "C13": OURS + "what its breaker counts",
    "C14": OURS + "how it probes; a stream without an end is A8",
    "C15": OURS + "what it does when nothing is left",
    "C16": OURS + "what it reserves",
    "C17": OURS + "whom it serves first",
    "C18": OURS + "how much memory it takes",
    "C19": OURS + "where it goes next",
    "C20": OURS + "which clock it trusts",
}
"""Fault -> the script that plays it, or why there is none."""

BEYOND: dict[str, Case] = {
    "a bad chunk size": Case((Framing("bad_size"),), lambda seen: b"\r\nzz\r\n" in seen.raw),
    "a chunk longer than its size": Case((Framing("overrun"),), contains(b"surplus")),
    "chunk extensions and trailers": Case(
        (Framing("extensions"),), lambda seen: b";sim=1\r\n" in seen.raw and seen.raw.endswith(b"x-trailer: done\r\n\r\n")
    ),
    "both a length and chunks": Case(
        (Framing("both"),), lambda seen: b"content-length:" in seen.head and b"transfer-encoding:" in seen.head
    ),
    "a length too small": Case(
        (Framing("short_length"),),
        lambda seen: whole(seen) and int(seen.head.partition(b"content-length: ")[2].split()[0]) < len(seen.body),
    ),
    "a length that is no number": Case((Framing("bad_length"),), contains(b"content-length: twelve")),
    "a body shorter than announced": Case((Truncate(40),), lambda seen: len(seen.body) == 40 and seen.end == "closed", CHAT),
    "header lines that end in LF": Case((Framing("bare_lf"),), lambda seen: b"\r\n" not in seen.raw.partition(b"\n\n")[0]),
    "folded headers": Case((Framing("folded"),), contains(b"x-folded: one,\r\n two\r\n")),
    "bytes that are no HTTP": Case(
        (Raw("SSH-2.0-OpenSSH_9.6\r\n"),), lambda seen: seen.raw == b"SSH-2.0-OpenSSH_9.6\r\n" and seen.end == "closed"
    ),
    "a stream without its terminator that ends in order": Case(
        (Events("drop", -1),), lambda seen: not whole(seen) and seen.raw.endswith(b"0\r\n\r\n")
    ),
    "events twice": Case((Events("repeat", 1, 2),), lambda seen: (chunks := seen.chunks())[1:3] == chunks[3:5]),
    "no usage in a whole answer": Case((Patch("usage", remove=True),), lambda seen: "usage" not in seen.json(), CHAT),
    "a call's arguments cut off": Case(
        (Patch("choices.0.message.tool_calls.0.function.arguments", '{"city": "Li'),),
        lambda seen: seen.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"city": "Li',
        TOOLS,
    ),
    "a compressed stream": Case((Encoded(),), lambda seen: b"data: [DONE]" in zlib.decompressobj(31).decompress(seen.body)),
    "a label for what is plain": Case(
        (Encoded("identity", label="gzip"),), lambda seen: b"content-encoding: gzip" in seen.head and seen.body[:1] == b"{", CHAT
    ),
    "compressed and not labelled": Case(
        (Encoded("deflate", label=""),), lambda seen: b"content-encoding" not in seen.head and zlib.decompress(seen.body)[:1] == b"{", CHAT
    ),
    "no content type": Case((Headers(drop=("content-type",)),), lambda seen: b"content-type" not in seen.head),
    "a slow first half": Case((Drip(bytes=400, seconds=0.001), CutStream(4)), lambda seen: len(seen.chunks()) == 4),
    "a pause in the middle": Case((Stall(0.001, events=2),), whole),
    "an unknown status": Case((Status("server", status=599),), ended(599), CHAT),
}
"""What else an upstream, or what stands before it, was seen to do."""

CASES = {name: case for name, case in {**CATALOGUE, **BEYOND}.items() if isinstance(case, Case)}


def ask(sim: Simulator, body: Json, *, keep: bool = False) -> Seen:
    """Send one request and read until the connection closes, or a second has passed in silence."""
    data = encode(body)
    lines = ["POST /openai/v1/chat/completions HTTP/1.1", "host: x", "authorization: Bearer sim-key", f"content-length: {len(data)}"]
    head = "\r\n".join([*lines, f"connection: {'keep-alive' if keep else 'close'}", "", ""])
    with socket.create_connection(("127.0.0.1", sim.port), timeout=0.25) as sock:
        sock.sendall(head.encode() + data)
        return _read(sock)


def _read(sock: socket.socket) -> Seen:
    raw, deadline = b"", time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            piece = sock.recv(1 << 16)
        except TimeoutError:
            return Seen(raw, "silent")
        except ConnectionResetError:
            return Seen(raw, "reset")
        if not piece:
            return Seen(raw, "closed")
        raw += piece
    raise AssertionError("the simulator neither ended nor fell silent")


@pytest.mark.parametrize("name", CASES)
def test_a_script_plays_the_fault(sim: Simulator, name: str) -> None:
    case = CASES[name]
    sim.set_faults(tuple(Rule(action, Match(first=case.first)) for action in case.actions))
    seen = ask(sim, case.body, keep=case.keep)
    assert case.holds(seen), seen


@pytest.mark.parametrize("name", CASES)
def test_every_script_is_json(name: str) -> None:
    rules = tuple(Rule(action) for action in CASES[name].actions)
    assert faults.parse(json.loads(encode(rules))) == rules


def test_every_fault_has_a_script_or_a_reason() -> None:
    numbers = {letter: {int(name[1:]) for name in CATALOGUE if name[0] == letter} for letter in "ABC"}
    assert {letter: len(found) for letter, found in numbers.items()} == {"A": 26, "B": 24, "C": 20}
    assert all(found == set(range(1, len(found) + 1)) for found in numbers.values())
    reasons = [reason for reason in CATALOGUE.values() if isinstance(reason, str)]
    assert all(reason.startswith((NOT_SENT, OURS, NOT_HERE)) for reason in reasons)
    assert (len(CASES) - len(BEYOND), len(reasons)) == (47, 23)


def test_half_of_an_outage_is_a_share(sim: Simulator) -> None:
    sim.fail("server", share=0.5)
    statuses = [ask(sim, CHAT).status for _ in range(4)]
    assert set(statuses) == {200, 500}


def test_an_early_refusal_does_not_wait_for_the_body(sim: Simulator) -> None:
    sim.fail(Early("too_large"))
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10) as sock:
        sock.sendall(b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{")
        seen = _read(sock)
    assert (seen.status, seen.end) == (413, "closed")
    (entry,) = sim.requests
    assert (entry.operation, entry.status) == ("chat", 413) and len(sim.bill) == 0
