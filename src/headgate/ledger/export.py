"""Receipts as JSON lines in a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from headgate.errors import StoreError
from headgate.ledger.receipt import Receipt, receipt_json
from headgate.wire.json import encode_text

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
LONGEST = 100


def safe_name(text: str) -> str:
    """`text` as a file name that stays in its folder on every system: letters, digits, ``. _ -``, not hidden, at most 100 characters."""
    name = _UNSAFE.sub("-", text)[:LONGEST].strip("-.") or "receipts"
    return f"receipts-{name}" if _DEVICES.fullmatch(name) else name


def export_jsonl(path: str | os.PathLike[str], receipts: Iterable[Receipt]) -> int:
    """Write one JSON object a line, and return how many. The file appears whole or not at all. Raises `StoreError`."""
    return export_text(path, (encode_text(receipt_json(receipt)) + "\n" for receipt in receipts))


def export_text(path: str | os.PathLike[str], lines: Iterable[str]) -> int:
    """Write lines, and return how many. The file appears whole or not at all. Raises `StoreError`."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    count = 0
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            for line in lines:
                file.write(line)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise StoreError(f"the receipts could not be written to {target}: {error.strerror}", hint=f"df -h {target.parent}") from error
    finally:
        partial.unlink(missing_ok=True)
    return count
