"""The bytes of an answer: head, body or chunks, and every scripted way to frame them wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import msgspec

from headgate.sim.clock import http_date
from headgate.sim.exchange import Answer
from headgate.sim.faults_bytes import Framed, Headers

REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}
END = b"0\r\n\r\n"


class Manner(msgspec.Struct, frozen=True):
    """How an answer is framed: `framing` names the oddity, `headers` what the script changes, `keep` whether the connection stays open."""

    keep: bool = True
    framing: Framed | None = None
    headers: tuple[Headers, ...] = ()


def head(answer: Answer, length: int | None, now: float, manner: Manner) -> bytes:
    """Status line and header lines; without a `length` the body comes in chunks."""
    lines = [
        f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Status')}",
        f"date: {http_date(int(now))}",
        f"content-type: {answer.content_type}",
        *_length_lines(length, manner.framing),
        *(f"{name}: {value}" for name, value in answer.headers),
        "connection: keep-alive" if manner.keep else "connection: close",
    ]
    for change in manner.headers:
        dropped = tuple(f"{name.lower()}:" for name in change.drop)
        lines = [line for line in lines if not (dropped and line.lower().startswith(dropped))]
        lines += [f"{name}: {value}" for name, value in change.add]
    lines += _ODD_LINES.get(manner.framing or "", ())
    end = "\n" if manner.framing == "bare_lf" else "\r\n"
    return (end.join(lines) + end + end).encode("latin-1")


_ODD_LINES = {"folded": ("x-folded: one,", " two"), "split_header": ("x-split: one\rtwo\n: three",)}


def _length_lines(length: int | None, framing: Framed | None) -> list[str]:
    chunked, size = "transfer-encoding: chunked", length or 0
    odd = {
        "close": [],
        "both": [f"content-length: {size}", chunked],
        "two_lengths": [f"content-length: {size}", f"content-length: {size + 7}"],
        "short_length": [f"content-length: {size // 2}"],
        "bad_length": ["content-length: twelve"],
    }
    if framing in odd:
        return odd[framing]
    return [chunked if length is None else f"content-length: {length}"]


def chunk(data: bytes, framing: Framed | None = None) -> bytes:
    """One chunk."""
    size = b"%x" % len(data)
    if framing == "bad_size":
        size = b"zz"
    elif framing == "extensions":
        size += b";sim=1"
    elif framing == "overrun":
        return size + b"\r\n" + data + b"surplus\r\n"
    return size + b"\r\n" + data + b"\r\n"


def parts(answer: Answer, now: float, manner: Manner, *, open_end: bool = False, body_limit: int | None = None) -> Iterator[bytes]:
    """The answer in the pieces it is written in: head, then the body or each event, then what ends a stream."""
    framing = manner.framing
    if answer.events is None:
        yield head(answer, len(answer.body), now, manner)
        yield answer.body if body_limit is None else answer.body[:body_limit]
        return
    whole = sum(map(len, answer.events))
    unchunked = framing in ("close", "two_lengths", "short_length", "bad_length")
    yield head(answer, whole if framing and framing != "close" and unchunked else None, now, manner)
    for event in answer.events:
        yield event if unchunked else chunk(event, framing)
    if not open_end and not unchunked:
        yield b"0;sim=1\r\nx-trailer: done\r\n\r\n" if framing == "extensions" else END
