"""The built-in `extract_units`: a file for each unit that came through (OCT-142)."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from headgate.batch.expressions import CompiledExpression, ExpressionFailure, Scope, plain
from headgate.batch.pipeline import Script
from headgate.batch.plan import UNIT_ID, clean_id
from headgate.errors import RunError, StoreError
from headgate.wire.json import Json, JsonObject, encode

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 200


def extract_units(
    records: Iterable[JsonObject],
    script: Script,
    expressions: Iterable[CompiledExpression],
    folder: Path,
    seed: Callable[[JsonObject], int],
) -> int:
    """Write each record below ``folder / script.output_dir``, which is replaced as a whole and only when all are written.

    Returns how many. Raises `RunError` for an expression without a value or for two units of one name, `StoreError` for the disk.
    """
    compiled = {expression.name: expression for expression in expressions}
    target = folder / script.output_dir
    draft = target.with_name(f".{target.name}.draft")
    names: set[str] = set()
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for record in records:
            scope = Scope(record, seed(record))
            name = file_name(str(_value(scope, compiled.get("filename_expression"), clean_id(str(record[UNIT_ID])))))
            name = name if Path(name).suffix else f"{name}.json"
            if name in names:
                raise RunError(f"two units would be written to {name}", hint="let filename_expression make names that differ")
            names.add(name)
            _write(draft / name, content_of(_value(scope, compiled.get("content_expression"), record)), script.gzip)
        _swap(draft, target)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}", hint=f"df -h {folder}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return len(names)


def file_name(text: str) -> str:
    """A file name from any text: one path component of harmless characters, never hidden and never empty."""
    name = _UNSAFE.sub("_", text).lstrip(".")[:_LONGEST]
    return name or "unit"


def content_of(value: Json) -> bytes:
    """What stands in a unit's file: text as it is, everything else as JSON."""
    return value.encode() if isinstance(value, str) else encode(value)


def _value(scope: Scope, expression: CompiledExpression | None, default: Json) -> Json:
    if expression is None:
        return default
    value = scope.evaluate(expression)
    if isinstance(value, ExpressionFailure):
        raise RunError(f"{value.name} has no value: {value.message}")
    return plain(value)


def _write(path: Path, data: bytes, compressed: bool) -> None:
    if compressed:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(data, mtime=0))
    else:
        path.write_bytes(data)


def _swap(draft: Path, target: Path) -> None:
    """Put the new folder in the old one's place; a crash in between leaves one of them whole."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    draft.rename(target)
    shutil.rmtree(old, ignore_errors=True)
