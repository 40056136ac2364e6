"""Coercion, schema, rules: one verdict per answer."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.coerce import Coercer, resolve_pointer
from headgate.batch.pipeline import DEFAULT_COERCIONS, Coercion, Level, Rule, Rules
from headgate.batch.reasons import POLICIES, Reason, policy, retryable
from headgate.batch.schemas import CompiledSchema, read_schema
from headgate.batch.validate import CompiledRules, Invalid, Problem, StepValidator, Valid
from headgate.errors import ConfigError
from headgate.wire.json import encode

CARD = {
    "type": "object",
    "properties": {
        "total": {"type": "integer"},
        "score": {"type": "number"},
        "bust": {"type": "boolean"},
        "log": {"type": "array", "items": {"type": "string"}},
        "result": {"enum": ["player_wins", "push"]},
        "inner": {"$ref": "#/$defs/inner"},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"tag": {"type": "string"}}}},
        "either": {"type": ["integer", "null"]},
        "text": {"type": "string"},
    },
    "$defs": {"inner": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}
COERCED = [
    ({"total": "12"}, {"total": 12}),
    ({"total": "+4"}, {"total": 4}),
    ({"total": " 4.0 "}, {"total": 4}),
    ({"total": 4.0}, {"total": 4}),
    ({"score": "4.5"}, {"score": 4.5}),
    ({"score": "1e3"}, {"score": 1000.0}),
    ({"bust": "True"}, {"bust": True}),
    ({"log": '["a", "b"]'}, {"log": ["a", "b"]}),
    ({"log": "a"}, {"log": ["a"]}),
    ({"result": " Player_Wins "}, {"result": "player_wins"}),
    ({"result": "push | nobody won"}, {"result": "push"}),
    ({"inner": {"n": "7"}}, {"inner": {"n": 7}}),
    ({"either": "3"}, {"either": 3}),
]
UNTOUCHED = [{"total": "x"}, {"total": "4.5"}, {"total": True}, {"text": "12"}, {"bust": "yes"}, {"result": "shadow push"}, {
    "either": None}, {"log": None},
             {"total": "9" * 30}, {"score": "nan"}, {"score": "1e999"}, [1], "x", None]  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), COERCED, ids=[str(answer) for answer, _ in COERCED])
def test_coercions(answer, expected):
    before = encode(answer)
    value, notes = Coercer(CARD, DEFAULT_COERCIONS).apply(answer)
    assert (value, len(notes)) == (expected, 1)
    assert [type(item) for item in value.values()] == [type(item) for item in expected.values()]
    assert encode(answer) == before
    assert Coercer(CARD, frozenset()).apply(answer) == (answer, ())


@pytest.mark.parametrize("answer", UNTOUCHED, ids=[str(answer)[:30] for answer in UNTOUCHED])
def test_what_is_not_coerced(answer):
    assert Coercer(CARD, DEFAULT_COERCIONS).apply(answer) == (answer, ())


def test_octobatchs_own_coercions_must_be_asked_for():
    enabled = DEFAULT_COERCIONS | {Coercion.OCTOBATCH_SHADOW, Coercion.OCTOBATCH_TAGS}
    assert Coercer(CARD, enabled).apply({"result": "Shadow push"})[0] == {"result": "push"}
    assert Coercer(CARD, enabled).apply({"tags": "x"})[0] == {"tags": [{"tag": "x"}]}
    assert Coercer(CARD, DEFAULT_COERCIONS).apply({"tags": "x"})[0] == {"tags": ["x"]}


def test_unwrapping():
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    assert Coercer(schema, DEFAULT_COERCIONS).apply({"response": '```json\n{"a": "1"}\n```'}) == (
        {"a": 1},
        ("$: unwrapped from 'response'", '$.a: "1" → 1'),
    )
    assert Coercer(schema, DEFAULT_COERCIONS).apply({"response": {"a": 1}})[0] == {"a": 1}
    assert Coercer(schema, DEFAULT_COERCIONS).apply({"a": 2, "response": "{}"})[0] == {"a": 2, "response": "{}"}
    assert Coercer(schema, DEFAULT_COERCIONS).apply({"response": "no"})[0] == {"response": "no"}


JSON_VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*CARD["properties"],
                               "response"]), inner, max_size=4))  # fmt: skip


@given(JSON_VALUES)
def test_coercion_never_raises_and_is_idempotent(answer):
    coercer = Coercer(CARD, DEFAULT_COERCIONS)
    once, _ = coercer.apply(answer)
    assert coercer.apply(once)[0] == once


# schemas


def refuse(schema, message):
    with pytest.raises(ConfigError, match=message):
        read_schema(schema if isinstance(schema, bytes) else encode(schema), "s.json")


def test_references_out_of_the_file_are_refused_with_their_place():
    for target in ("http://127.0.0.1/latest/meta-data", "https://example.org/s.json", "file:///etc/hostname", "other.json", "//host/x"):
        text = '{"type": "object",\n "properties": {\n  "a": {"$ref": "' + target + '"}}}'
        refuse(text.encode(), r"s.json:3:17: the schema refers to")


def test_nothing_is_ever_fetched():
    with pytest.raises(ConfigError, match="not a usable JSON Schema"):
        CompiledSchema({"$ref": "http://127.0.0.1:9/x.json"})


def deep(levels):
    schema = {"type": "object"}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


def test_schema_bombs_are_refused():
    refuse(b'{"type": "object", "description": "' + b"x" * 300_000 + b'"}', "the limit is 262,144")
    refuse(deep(40), "nested more than 64 deep")
    refuse({"$defs": {"a": {}}, "allOf": [{"$ref": "#/$defs/a"}] * 501}, "501 references")
    definitions = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    refuse({"$defs": {**definitions, "a60": {"type": "integer"}}, "$ref": "#/$defs/a0"}, "expands to more than")
    refuse({"properties": {"a": {"$ref": "#/$defs/absent"}}}, "which is not there")
    refuse({"type": "objekt"}, "not a usable JSON Schema")
    refuse({"properties": {"a": {"pattern": "("}}}, "not a usable JSON Schema")
    refuse(b"[1]", "a schema is an object, not an array")
    refuse(b"{", "s.json:1:2: not JSON")


def test_recursive_schemas_are_fine():
    tree = {
        "$defs": {"node": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}},
        "$ref": "#/$defs/node",
    }
    compiled = CompiledSchema(read_schema(encode(tree), "s.json"))
    assert compiled.accepts({"kids": [{"kids": []}]})
    assert not compiled.accepts({"kids": [{"kids": 1}]})
    assert compiled.top_names == {"kids"}
    assert CompiledSchema(read_schema(b'{"allOf": [{"$ref": "#"}]}', "s.json")).accepts(1)


def test_patterns_run_in_linear_time():
    compiled = CompiledSchema({"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})
    started = time.process_time()
    assert not compiled.accepts({"a": "a" * 50_000 + "!"})
    assert time.process_time() - started < 1.0
    with pytest.raises(ConfigError):
        CompiledSchema({"properties": {"a": {"pattern": r"(a)\1"}}})


def test_pointers():
    root = {"$defs": {"a/b": {"x~y": [1, {"z": 2}]}}}
    assert resolve_pointer(root, "#/$defs/a~1b/x~0y/1/z") == 2
    assert resolve_pointer(root, "#/$defs/a~1b/x~0y/7") is None
    assert resolve_pointer(root, "#/nope/x") is None


# verdicts

STRICT = {
    "type": "object",
    "properties": {"total": {"type": "integer", "maximum": 30}, "note": {"type": "string"}},
    "required": ["total"],
    "additionalProperties": False,
}


def validator(rules=None, schema=STRICT):
    return StepValidator(CompiledSchema(schema) if schema else None, CompiledRules(rules or Rules()))


def test_a_good_answer_is_merged_and_keeps_its_coerced_types():
    fields = {"unit_id": "u", "dealt": 3, "note": "old"}
    verdict = validator().validate({"total": "21", "note": "new"}, fields)
    assert verdict == Valid(
        {"total": 21, "note": "new"}, {"unit_id": "u", "dealt": 3, "note": "new", "total": 21}, (), ('$.total: "21" → 21',)
    )
    assert fields == {"unit_id": "u", "dealt": 3, "note": "old"}


def test_a_strict_schema_sees_the_answer_alone():
    verdict = validator().validate({"total": 1, "extra": 2}, {"unit_id": "u"})
    assert isinstance(verdict, Invalid)
    assert verdict.reason is Reason.SCHEMA
    assert [problem.rule for problem in verdict.problems] == ["schema_additionalProperties"]


def test_fields_the_schema_asks_for_are_lent_by_the_unit():
    """OCT-90: schemas written for merged records keep working."""
    schema = {"type": "object", "properties": {"total": {"type": "integer"}, "name": {"type": "string"}}, "required": ["total", "name"]}
    assert isinstance(validator(schema=schema).validate({"total": 1}, {"name": "x"}), Valid)
    assert isinstance(validator(schema=schema).validate({"total": 1}, {"other": "x"}), Invalid)
    strict = {**schema, "additionalProperties": False}
    assert isinstance(validator(schema=strict).validate({"total": 1}, {"name": "x", "other": 2}), Valid)


def test_schema_problems_have_path_rule_and_message():
    verdict = validator().validate({"total": 99}, {})
    assert verdict == Invalid(Reason.SCHEMA, (Problem("$.total", "schema_maximum", "99 is greater than the maximum of 30"),))
    assert validator().validate([1], {}) == Invalid(
        Reason.SCHEMA, (Problem("$", "schema_type", "the answer must be an object, not an array"),)
    )


def test_an_answer_cannot_set_the_runs_own_fields():
    open_schema = {"type": "object"}
    verdict = validator(schema=open_schema).validate({"unit_id": "evil", "_repetition_seed": 1, "_warnings": [], "a": 1}, {"unit_id": "u"})
    assert isinstance(verdict, Valid)
    assert verdict.record == {"unit_id": "u", "a": 1}


RULES = [
    (Rules(required=("a",)), {"a": None}, "required_a"),
    (Rules(required=("a",)), {}, "required_a"),
    (Rules(required=("a",)), {"a": 0}, None),
    (Rules(types={"a": "number"}), {"a": True}, "type_a"),
    (Rules(types={"a": "number"}), {"a": 1.5}, None),
    (Rules(types={"a": "integer"}), {"a": 1.5}, "type_a"),
    (Rules(types={"a": "integer"}), {"a": 2.0}, None),
    (Rules(types={"a": "string"}), {"a": 1}, "type_a"),
    (Rules(types={"a": "boolean"}), {"a": False}, None),
    (
        Rules(types={"a": "array", "b": "list", "c": "object", "d": "dict", "e": "float"}),
        {"a": [], "b": [], "c": {}, "d": {}, "e": 1},
        None,
    ),
    (Rules(types={"a": "array"}), {}, None),
    (Rules(ranges={"a": (0, 10)}), {"a": 10}, None),
    (Rules(ranges={"a": (0, 10)}), {"a": 10.1}, "range_a"),
    (Rules(ranges={"a": (None, 10)}), {"a": -99}, None),
    (Rules(ranges={"a": (0, None)}), {"a": "5"}, "range_a"),
    (Rules(enums={"a": ("Warm", "Cold")}), {"a": "wARM"}, None),
    (Rules(enums={"a": ("Warm", 3)}), {"a": "hot"}, "enum_a"),
    (Rules(enums={"a": ("Warm", 3)}), {"a": 3}, None),
    (Rules(rules=(Rule("r", "a > b"),)), {"a": 1, "b": 2}, "r"),
    (Rules(rules=(Rule("r", "a > b"),)), {"a": 3, "b": 2}, None),
    (Rules(rules=(Rule("r", "a > zz"),)), {"a": 3}, "r"),
    (Rules(rules=(Rule("r", "False", when="a == 1"),)), {"a": 2}, None),
    (Rules(rules=(Rule("r", "False", when="a == 1"),)), {"a": 1}, "r"),
    (Rules(rules=(Rule("r", "0"),)), {}, "r"),
]


@pytest.mark.parametrize(("rules", "record", "broken"), RULES, ids=range(len(RULES)))
def test_rules(rules, record, broken):
    verdict = validator(rules, None).validate(record, {})
    if broken is None:
        assert isinstance(verdict, Valid)
    else:
        assert isinstance(verdict, Invalid)
        assert (verdict.reason, [problem.rule for problem in verdict.problems]) == (Reason.RULE, [broken])


def test_rule_texts_name_fields_and_what_was_computed():
    rules = Rules(rules=(Rule("r", "a + b == 10", "{a} and {b} make {_computed}, not 10; {nothing} stays"),))
    verdict = validator(rules, None).validate({"a": 3, "b": 4}, {})
    assert isinstance(verdict, Invalid)
    assert verdict.problems == (Problem("$", "r", "3 and 4 make 7, not 10; {nothing} stays"),)


def test_warnings_are_kept_in_the_record():
    rules = Rules(
        rules=(
            Rule("soft", "a > 5", "a is {a}", Level.WARNING),
            Rule("odd", "True", when="zz > 1"),
            Rule("plain", "a > 6", "", Level.WARNING),
        )
    )
    verdict = validator(rules, None).validate({"a": 1}, {})
    assert isinstance(verdict, Valid)
    assert verdict.warnings[0] == "soft: a is 1"
    assert verdict.warnings[1].startswith("odd: skipped, its 'when' failed: NameError")
    assert verdict.warnings[2] == "plain: a > 6 is false"
    assert verdict.record["_warnings"] == list(verdict.warnings)


def test_a_raising_rule_appends_its_error():
    verdict = validator(Rules(rules=(Rule("r", "a / 0 == 1", "bad"),)), None).validate({"a": 1}, {})
    assert isinstance(verdict, Invalid)
    assert verdict.problems[0].message == "bad (ZeroDivisionError: division by zero)"


def test_expression_gates_are_judged_by_rules_alone():
    gate = validator(Rules(required=("verified",), rules=(Rule("r", "verified"),)), None)
    assert isinstance(gate.validate_record({"verified": True}), Valid)
    assert isinstance(gate.validate_record({"verified": False}), Invalid)


@given(JSON_VALUES, st.dictionaries(st.text(max_size=3), st.integers(), max_size=3))
def test_validation_never_raises(answer, fields):
    rules = Rules(
        required=("total",),
        ranges={"total": (0, 1)},
        enums={"result": ("a",)},
        types={"log": "array"},
        rules=(Rule("r", "total / score > log"),),
    )
    assert isinstance(validator(rules, CARD).validate(answer, fields), Valid | Invalid)


def test_every_reason_has_a_policy():
    assert set(POLICIES) == set(Reason)
    assert [reason for reason in Reason if not retryable(reason)] == [Reason.RENDER_ERROR, Reason.EXPRESSION_ERROR, Reason.TOO_LARGE]
    assert retryable(Reason.RULE)
    assert not retryable(Reason.RULE, deterministic=True)
    assert [reason for reason in Reason if policy(reason).tell_model] == [Reason.PARSE_ERROR, Reason.SCHEMA, Reason.RULE]
    assert policy(Reason.TRUNCATED).more_tokens
    assert not policy(Reason.RATE_LIMIT).burns_attempt
