"""multipart/form-data (RFC 7578) with one streamed file: known length, readable again from its start."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from headgate.errors import WireError
from headgate.wire.http import Body

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")
_CONTENT_TYPE = re.compile(r"[\t -~]+")
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class FilePart(msgspec.Struct, frozen=True):
    """The file of a form: field name, file name, media type and re-iterable content."""

    name: str
    filename: str
    body: Body
    content_type: str = "application/octet-stream"


class MultipartBody(msgspec.Struct, frozen=True):
    """A `Body`: `head`, then the file's chunks, then `tail`. `content_type` goes into the request's header."""

    head: bytes
    file: Body
    tail: bytes
    content_type: str

    @property
    def length(self) -> int:
        """Bytes in total."""
        return len(self.head) + self.file.length + len(self.tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        yield from self.file
        yield self.tail


def render_multipart(fields: tuple[tuple[str, str], ...], file: FilePart, boundary: str) -> MultipartBody:
    """Fields first, then the file, as the providers' upload endpoints expect.

    `boundary` should carry at least 128 random bits, since the file is not searched for it.
    Raises `WireError` for an invalid boundary, one that occurs in a field, or a media type with control characters.
    """
    if not _BOUNDARY.fullmatch(boundary):
        raise WireError(f"invalid multipart boundary: {boundary!r}", fault="local")
    if not _CONTENT_TYPE.fullmatch(file.content_type):
        raise WireError(f"invalid media type: {file.content_type!r}", fault="local")
    if any(boundary in value for _, value in fields):
        raise WireError("the multipart boundary occurs in a field's value", fault="local")
    head = "".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n' for name, value in fields)
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(file.name)}"; filename="{_quoted(file.filename)}"\r\n'
        f"Content-Type: {file.content_type}\r\n\r\n"
    )
    return MultipartBody(head.encode(), file.body, f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}")


def _quoted(name: str) -> str:
    """As browsers escape names (WHATWG HTML, "multipart form data")."""
    return name.translate(_ESCAPES)
