"""YAML and JSON loading: values, positions, and hostile documents."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.yaml_source import YamlLimits, load_json, load_yaml, resolve_scalar
from headgate.errors import ConfigError


def load(text, **limits):
    return load_yaml(text.encode() if isinstance(text, str) else text, "c.yaml", YamlLimits(**limits))


def test_values_and_positions():
    document = load("a: 1\nb:\n  - x: true\n    y: 'no'\n  - [1.5, ~, no]\n")
    assert document.value == {"a": 1, "b": [{"x": True, "y": "no"}, [1.5, None, "no"]]}
    assert document.where("a") == "c.yaml:1:1"
    assert document.where("b", 0, "y") == "c.yaml:4:5"
    assert document.where("b", 1, 1) == "c.yaml:5:11"
    assert document.where("b", 0, "absent") == "c.yaml:3:5"
    assert document.where("absent") == "c.yaml:1:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [("yes", "yes"), ("NO", "NO"), ("on", "on"), ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("12", 12), (
        "-3", -3),
     ("0x1F", 31), ("0o17", 15), ("017", 17), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("12:30:00", "12:30:00"), ("2024-01-01",
         "2024-01-01"),
     (".inf", ".inf"), (".nan", ".nan"), ("1_000", "1_000"), ("=", "=")],
)  # fmt: skip
def test_scalars_follow_the_core_schema(text, value):
    assert resolve_scalar(text) == value
    assert type(resolve_scalar(text)) is type(value)


def test_aliases_merges_and_tags():
    document = load("base: &b {x: 1, y: 2}\nuse: *b\nmore:\n  <<: *b\n  y: 3\nlist:\n  <<: [*b, {z: 9}]\nt: !!str 5\ni: !!int '7'\n")
    assert document.value["use"] == {"x": 1, "y": 2}
    assert document.value["more"] == {"x": 1, "y": 3}
    assert document.value["list"] == {"x": 1, "y": 2, "z": 9}
    assert (document.value["t"], document.value["i"]) == ("5", 7)


def test_a_byte_order_mark_and_windows_line_ends_are_fine():
    assert load(b"\xef\xbb\xbfa: 1\r\nb: two\r\n").value == {"a": 1, "b": "two"}


REFUSED = [
    ("a: 1\nb: 2\na: 3\n", r"c.yaml:3:1: duplicate key 'a' \(first on line 1\)"),
    ("a: [1, 2\nb: 3\n", r"c.yaml:\d+:\d+: .*flow sequence"),
    ("a: *nope\n", r"c.yaml:1:4: alias \*nope"),
    ("a: &a [*a]\n", r"c.yaml:1:8: alias \*a"),
    ("a: !!python/object/apply:os.system ['x']\n", "c.yaml:1:4: tag"),
    ("a: !foo 1\n", "c.yaml:1:4: tag '!foo'"),
    ("a: !!int x\n", "c.yaml:1:4: tag"),
    ("? [1]\n: 2\n", "c.yaml:1:3: a key must be plain text"),
    ("x: &k a\n? *k\n: 2\n", "c.yaml:2:3: a key must be plain text"),
    ("<<: 5\n", "'<<' takes a mapping"),
    ("a: 1\n---\nb: 2\n", "c.yaml:2:1: only one YAML document"),
    ("a: \x07\n", "c.yaml:1:1: not YAML"),
    (b"a: 1\nb: \xff\n", "c.yaml:2:4: the file is not UTF-8"),
    ("\ta: 1\n", "c.yaml:1:1"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[str(text)[:30] for text, _ in REFUSED])
def test_faults_carry_their_place(text, message):
    with pytest.raises(ConfigError, match=message):
        load(text)


@pytest.mark.parametrize("text", ["- " * 50_000 + "x", "[" * 50_000, "{a: " * 50_000, "? " * 50_000])
def test_deep_nesting_is_an_error_not_a_crash(text):
    with pytest.raises(ConfigError, match=r"c.yaml:1:\d+: (nested more than 64 deep|a key must be)"):
        load(text)


def test_an_alias_bomb_is_counted_before_it_goes_off():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="more than 200,000 values"):
        load("\n".join(lines))


def test_size_and_number_of_values_are_capped():
    with pytest.raises(ConfigError, match="the limit is 10"):
        load("a: 12345678901", bytes=10)
    with pytest.raises(ConfigError, match="more than 5 values"):
        load("[1, 2, 3, 4, 5, 6]", nodes=5)


def test_positions_can_be_kept_shallow():
    assert load("a: {b: {c: 1}}\n", position_depth=2).positions.keys() == {(), ("a",), ("a", "b")}


def same_in_both_versions(text: str) -> bool:
    """Whether YAML 1.1, which PyYAML writes, and 1.2, which is read here, agree on this being text; on 08 and 1e5 they do not."""
    return isinstance(resolve_scalar(text), str) or not isinstance(yaml.safe_load(text), str)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=8).filter(same_in_both_versions),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcd", min_size=1, max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_what_pyyaml_writes_is_read_back(value):
    text = yaml.safe_dump(value, allow_unicode=True)
    assert load(text).value == value


@given(st.text(max_size=80))
def test_any_text_loads_or_is_refused(text):
    try:
        load(text.encode("utf-8", "surrogatepass"))
    except ConfigError as error:
        assert error.where is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"a": 1,\n "a": 2}', r"s.json:2:2: duplicate key 'a'"), ('{"a": NaN}', "NaN is not a JSON value"), ('{\n "a": }',
        "s.json:2:7: not JSON"),
     ("[" * 100_000, "not JSON")],
    ids=["duplicate", "nan", "syntax", "deep"],
)  # fmt: skip
def test_json_faults_carry_their_place(text, message):
    with pytest.raises(ConfigError, match=message):
        load_json(text.encode(), "s.json", 1 << 20)


def test_json_loads():
    assert load_json(b'{"a": [1, {"b": null}]}', "s.json", 100).value == {"a": [1, {"b": None}]}
