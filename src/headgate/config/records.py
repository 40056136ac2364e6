"""Shapes of records: made by hand, or from a struct's own fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import inspect

from headgate.config.scalars import choice, flag, number, text, whole
from headgate.config.shapes import Field, Items, Named, Reading, Record, Shape

T = TypeVar("T")


def struct_of(kind: type[T]) -> Callable[[dict[str, object], Reading], T]:
    """Makes `kind` of values that were read."""
    return lambda values, reading: msgspec.convert(values, kind)


def record_of(kind: type[msgspec.Struct], special: Mapping[str, Shape] | None = None) -> Record:
    """The shape of a struct, key by key as its fields are declared; `special` are keys with a shape of their own."""
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    own = special or {}
    fields = {field.encode_name: Field(shape=own.get(field.name) or _shape(field.type), required=field.required) for field in found.fields}
    return Record(fields=fields, make=struct_of(kind))


def _shape(kind: inspect.Type) -> Shape:
    if isinstance(kind, inspect.UnionType):
        return _shape(next(part for part in kind.types if not isinstance(part, inspect.NoneType)))
    if isinstance(kind, inspect.StructType):
        return record_of(kind.cls)
    if isinstance(kind, inspect.VarTupleType):
        return Items(item=_shape(kind.item_type))
    if isinstance(kind, inspect.DictType):
        return Named(item=_shape(kind.value_type), pattern=r"\S{1,200}", name_words="a name without blanks")
    if isinstance(kind, inspect.LiteralType):
        return choice(tuple(map(str, kind.values)))
    return _SINGLE[type(kind)]()


_SINGLE: dict[type[inspect.Type], Callable[[], Shape]] = {
    inspect.StrType: text,
    inspect.IntType: lambda: whole(0),
    inspect.FloatType: lambda: number(0.0, 1e9, "number"),
    inspect.BoolType: flag,
}
