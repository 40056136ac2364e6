"""multipart/form-data as clients send it (RFC 7578), from a body in memory."""

from __future__ import annotations

import re

import msgspec

from headgate.sim.exchange import Problem

_PARAMETER = re.compile(r'(\w+\*?)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))')


class Part(msgspec.Struct, frozen=True):
    """One field; `filename` is None for plain values."""

    name: str
    filename: str | None
    content_type: str
    data: bytes


def parse(content_type: str, body: bytes) -> dict[str, Part]:
    """Fields by name, the last of a name. Raises `Problem` for a body that is not multipart."""
    named = _parameters(content_type)
    if not content_type.startswith("multipart/form-data") or not named.get("boundary"):
        raise Problem("bad_request", "The request must be multipart/form-data with a boundary.")
    mark = b"--" + named["boundary"].encode("latin-1")
    parts = (_part(piece) for piece in (b"\r\n" + body).split(b"\r\n" + mark)[1:] if not piece.startswith(b"--"))
    return {part.name: part for part in parts}


def _part(piece: bytes) -> Part:
    head, _, data = piece.partition(b"\r\n\r\n")
    headers = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    fields = _parameters(headers.get("content-disposition", ""))
    return Part(fields.get("name", ""), fields.get("filename"), headers.get("content-type", ""), data)


def _parameters(value: str) -> dict[str, str]:
    """The parameters of a header value, unquoted."""
    return {match[1]: match[2] or match[3] or "" for match in _PARAMETER.finditer(value)}
