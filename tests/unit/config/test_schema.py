"""The schema for editors against the reader: what is read is valid, and what one mistake makes wrong is wrong for both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config import Environment, load_settings
from headgate.config.schema import settings_schema
from headgate.config.sections import SECTIONS
from headgate.config.settings import READERS, SPECS
from headgate.config.shapes import Field, Items, Named, One, Reading, Record, Shape
from headgate.config.tree import parse_tree, plain
from headgate.errors import ConfigError
from headgate.wire.json import Json, JsonObject

SCHEMA = settings_schema()
VALID = jsonschema_rs.Draft7Validator(SCHEMA)
ENVIRONMENT = Environment({"HOME": "/homes/user", "A_SECRET": "0123456789abcdef"})
ASCII = st.characters(min_codepoint=33, max_codepoint=126)


def values(json: JsonObject) -> st.SearchStrategy[Json]:
    """Values that a schema of a single value describes."""
    if "enum" in json:
        return st.sampled_from(json["enum"])
    if "anyOf" in json:
        return st.one_of(*(values(part) for part in json["anyOf"]))
    if json["type"] == "boolean":
        return st.booleans()
    if json["type"] == "integer":
        return st.integers(json["minimum"], json["maximum"])
    if json["type"] == "number":
        least, most = json.get("minimum", json.get("exclusiveMinimum")), json["maximum"]
        return st.integers(0, 1000).map(lambda n: round(least + (most - least) * n / 1000, 6))
    if "pattern" in json:
        return st.from_regex(re.compile(json["pattern"], re.ASCII), fullmatch=True, alphabet=ASCII)
    return st.text(ASCII, max_size=10)


def documents(shape: Shape) -> st.SearchStrategy[Json]:
    """Values of a shape, and some that only nearly are."""
    if isinstance(shape, One):
        return values(shape.json)
    if isinstance(shape, Items):
        return st.lists(documents(shape.item), min_size=shape.least, max_size=min(shape.most, 3))
    if isinstance(shape, Named):
        names = st.from_regex(re.compile(shape.pattern, re.ASCII), fullmatch=True, alphabet=ASCII)
        return st.dictionaries(names, documents(shape.item), max_size=2)
    assert isinstance(shape, Record)
    required = {name: documents(field.shape) for name, field in shape.fields.items() if field.required}
    optional = {name: documents(field.shape) for name, field in shape.fields.items() if not field.required}
    whole = st.fixed_dictionaries(required, optional=optional)
    return whole if shape.short is None else st.one_of(whole, documents(shape.fields[shape.short].shape))


def is_read(section: str, document: Json) -> bool:
    """Whether the reader takes a section's document."""
    node = parse_tree(msgspec.json.encode(document).decode(), "f")
    assert node is not None
    try:
        SECTIONS[section].shape.read(node, section, Reading(folder=Path("/"), environment=ENVIRONMENT))
    except ConfigError:
        return False
    return True


def mistakes(shape: Shape, document: Json) -> Iterator[Json]:
    """The document with one mistake: a key too many, one too few, a list for a single value, a number beyond its bounds."""
    if isinstance(shape, One):
        yield []
        if shape.json.get("type") == "integer":
            yield shape.json["maximum"] + 1
            yield shape.json["minimum"] - 1
            yield True
        return
    if isinstance(shape, Items):
        yield {}
        for n, item in enumerate(document):
            yield from ([*document[:n], wrong, *document[n + 1 :]] for wrong in mistakes(shape.item, item))
        return
    fields = shape.fields if isinstance(shape, Record) else None
    if not isinstance(document, dict):
        return
    if fields is not None:
        yield {**document, "unheard_of": 1}
        yield from ({k: v for k, v in document.items() if k != name} for name, field in fields.items() if field.required)
    for name, value in document.items():
        inner = fields[name].shape if fields is not None else shape.item if isinstance(shape, Named) else None
        assert inner is not None
        yield from ({**document, name: wrong} for wrong in mistakes(inner, value))


@pytest.mark.parametrize("section", list(SECTIONS))
@given(data=st.data())
def test_what_is_read_is_valid_and_one_mistake_makes_it_neither(section: str, data: st.DataObject) -> None:
    document = data.draw(documents(SECTIONS[section].shape))
    if not is_read(section, document):
        return
    assert VALID.is_valid({section: document})
    wrong = list(mistakes(SECTIONS[section].shape, document))
    if wrong:
        chosen = data.draw(st.sampled_from(wrong))
        assert not is_read(section, chosen)
        assert not VALID.is_valid({section: chosen}), chosen


SCALARS = [
    ("gateway_port", ["6120", "'6120'", "${HOME}"], ["0", "70000", "x", "[1]", "1.5"]),
    ("request_timeout", ["5", "0.5", "'5'"], ["0", "-1", "soon", "{}"]),
    ("proxy", ["http://a:1", "HTTPS://a"], ["a:1", "[x]"]),
    ("key", ["abcdefgh", "12345678"], ["'a b'"]),
    ("data_dir", ["x", "5", "~/x"], ["[]", "{}"]),
    ("default_provider", ["openai"], ["[]"]),
]


@pytest.mark.parametrize(("name", "right", "wrong"), SCALARS)
def test_single_values(tmp_path: Path, name: str, right: list[str], wrong: list[str]) -> None:
    for written in (*right, *wrong):
        (tmp_path / "headgate.yaml").write_text(f"{name}: {written}\n")
        node = parse_tree(f"{name}: {written}", "f")
        assert node is not None
        try:
            load_settings(Environment({"HOME": "7"}), tmp_path)
        except ConfigError:
            assert written in wrong
            assert not VALID.is_valid(plain(node)), written
        else:
            assert written in right
            assert VALID.is_valid(plain(node)), written


def test_every_setting_has_a_schema_and_every_key_of_the_new_sections_a_meaning() -> None:
    assert set(SCHEMA["properties"]) == {*SPECS, *SECTIONS}
    assert {spec.read for spec in SPECS.values()} <= set(READERS)
    jsonschema_rs.meta.validate(SCHEMA)
    unsaid = [name for name, section in SECTIONS.items() if name != "providers" for field in fields(section.shape) if not field.meaning]
    assert unsaid == []


def fields(shape: Shape) -> Iterator[Field]:
    """Every field of the records in a shape."""
    if isinstance(shape, Items | Named):
        yield from fields(shape.item)
    elif isinstance(shape, Record):
        for field in shape.fields.values():
            yield field
            yield from fields(field.shape)


def test_nulls_and_empty_files_are_valid() -> None:
    assert VALID.is_valid({"routes": None, "proxy": None})
    assert VALID.is_valid(None)
    assert not VALID.is_valid([])
    assert not VALID.is_valid({"gatway": {}})
