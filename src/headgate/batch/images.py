"""Images that go with a prompt: data URLs, https addresses, and files below the folders of a pipeline or a run (IMP-14).

An address is handed to the provider as it is; nothing is fetched here. A file is opened without following symbolic links.
"""

from __future__ import annotations

import base64
import binascii
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from headgate.batch.pipeline_files import safe_relative
from headgate.domain.content import Media
from headgate.errors import ConfigError
from headgate.wire.json import Json, type_name

MAX_IMAGE = 10 << 20
"""Bytes of one image, before it is written as text."""
MAX_IMAGES = 100
"""Images of one prompt."""
_KINDS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"))
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class ImageFault(Exception):
    """What a value names cannot be sent as an image."""


def images_of(value: Json, roots: Sequence[Path]) -> list[Media]:
    """The images that the value of an expression names: a text or a list of texts; none for null and empty text. Raises `ImageFault`."""
    return [_image(text, roots) for text in _texts(value)]


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        raise ImageFault(f"an image is named by text, not {type_name(value)}")


def _image(text: str, roots: Sequence[Path]) -> Media:
    head = text[:8].lower()
    if head.startswith("data:"):
        return _inline(text)
    if head == "https://":
        return Media("image", url=text)
    if "://" in text[:16]:
        raise ImageFault(f"{text[:80]!r} is no https address")
    data = read_below(roots, text)
    return Media("image", mime=_kind(data, repr(text)), data=base64.b64encode(data).decode())


def _inline(text: str) -> Media:
    head, comma, body = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise ImageFault("a data URL must be base64: data:image/png;base64,…")
    if len(body) > MAX_IMAGE * 4 // 3 + 4:
        raise ImageFault(f"the image is larger than {MAX_IMAGE:,} bytes")
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageFault("the data URL is not base64") from error
    return Media("image", mime=_kind(data, "the data URL"), data=body)


def _kind(data: bytes, what: str) -> str:
    """The media type that the bytes show, whatever they are called."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    found = next((mime for start, mime in _KINDS if data.startswith(start)), None)
    if found is None:
        raise ImageFault(f"{what} is no PNG, JPEG, GIF or WebP")
    return found


def read_below(roots: Sequence[Path], path: str) -> bytes:
    """The bytes of a file below the first of `roots` that has it. Raises `ImageFault`."""
    try:
        parts = PurePosixPath(safe_relative(path)).parts
    except ConfigError as error:
        raise ImageFault(error.message) from error
    for root in roots:
        try:
            return _read(root, parts)
        except FileNotFoundError:
            continue
        except OSError as error:
            link = error.errno in (errno.ELOOP, errno.ENOTDIR)
            raise ImageFault(f"{path!r} leads over a symbolic link or no folder" if link else f"{path!r}: {error.strerror}") from error
    raise ImageFault(f"there is no file {path!r} in {' or '.join(map(str, roots))}")


def _read(root: Path, parts: tuple[str, ...]) -> bytes:
    """Raises `OSError` and `ImageFault`."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            deeper = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = deeper
        file = os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise ImageFault(f"{'/'.join(parts)!r} is no file")
        if found.st_size > MAX_IMAGE:
            raise ImageFault(f"{'/'.join(parts)!r} has {found.st_size:,} bytes; the limit is {MAX_IMAGE:,}")
        with open(file, "rb", closefd=False) as source:
            return source.read(MAX_IMAGE)
    finally:
        os.close(file)
