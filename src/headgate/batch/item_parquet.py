"""Rows of a Parquet file as JSON values; needs the extra ``headgate[parquet]``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib import import_module
from typing import BinaryIO, Protocol, cast
from uuid import UUID

from headgate.errors import ConfigError
from headgate.wire.json import Json, JsonObject

ROWS = 256
"""Rows that are in memory at once, beside the pages they come from."""


class _Batch(Protocol):
    def to_pylist(self) -> list[JsonObject]: ...


class _Group(Protocol):
    num_rows: int


class _Metadata(Protocol):
    num_row_groups: int

    def row_group(self, index: int) -> _Group: ...


class _Parquet(Protocol):
    metadata: _Metadata

    def iter_batches(self, batch_size: int, row_groups: list[int]) -> Iterator[_Batch]: ...


class _Library(Protocol):
    def ParquetFile(self, source: BinaryIO) -> _Parquet: ...


def _library(display: str) -> tuple[_Library, type[Exception]]:
    """The reader, and what it raises for a file it cannot read. Raises `ConfigError` when it is not installed."""
    try:
        return cast(_Library, import_module("pyarrow.parquet")), import_module("pyarrow").ArrowException
    except ImportError as error:
        raise ConfigError(f"{display} is Parquet, which needs pyarrow", hint="pip install 'headgate[parquet]'") from error


def parquet_rows(source: BinaryIO, display: str, first: int) -> Iterator[tuple[int, JsonObject]]:
    """Rows with their numbers (from 1), without the `first` ones: whole row groups before them are not read. Raises `ConfigError`."""
    library, failure = _library(display)
    try:
        file = library.ParquetFile(source)
        number, groups = 0, list[int]()
        for index in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(index).num_rows
            if groups or number + size > first:
                groups.append(index)
            else:
                number += size
        for batch in file.iter_batches(batch_size=ROWS, row_groups=groups):
            for row in batch.to_pylist():
                number += 1
                if number > first:
                    yield number, {name: json_value(value, f"{display}:row {number}") for name, value in row.items()}
    except failure as error:
        raise ConfigError(f"not Parquet that can be read: {error}", where=display) from error


def json_value(value: Json, where: str) -> Json:
    """A cell as JSON: dates and times as ISO 8601 text, decimals as numbers, durations in seconds, bytes as the UTF-8 text they are.

    What is not a number becomes null. Raises `ConfigError` for what has no such form.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): json_value(item, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item, where) for item in value]
    return _scalar(value, where)


def _scalar(value: Json, where: str) -> Json:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID):
        return str(value)
    try:
        return bytes(value).decode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a cell holds {type(value).__name__} that is no text", where=where) from error
