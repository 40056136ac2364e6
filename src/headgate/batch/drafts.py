"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headgate.errors import StoreError


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; it becomes `path` when the block ends well, and is gone when it fails. Raises `StoreError`."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        with draft.open("rb") as handle:
            os.fsync(handle.fileno())
        draft.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}", hint=f"df -h {path.parent}; ls -ld {path.parent}") from error
    finally:
        with suppress(OSError):  # there is none after it took its place, and what went wrong before is told already
            draft.unlink()


def write_text(path: Path, pieces: Iterable[str]) -> None:
    """Write text in UTF-8, piece by piece; half a surrogate pair is written as a question mark. Raises `StoreError`."""
    with draft_of(path) as draft, draft.open("w", encoding="utf-8", errors="replace", newline="") as file:
        for piece in pieces:
            file.write(piece)
