"""The expression language: what it computes, what it refuses, and that nothing can hang it."""

import builtins
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.expression_guards import FUNCTIONS, METHODS, RANDOM, BoundExceeded, weigh
from headgate.batch.expressions import (
    CompiledStep,
    ExpressionFailure,
    Scope,
    StepValues,
    compile_expression,
    compile_named,
    derive_seed,
    octobatch_seed,
    run_expression_step,
    run_named,
)
from headgate.errors import ConfigError


def value_of(source, fields=None, seed=1):
    return Scope(fields or {}, seed).evaluate(compile_expression(source))


COMPUTES = [
    ("1 + 2 * 3 - 4 / 2", 5.0),
    ("7 // 2 + 7 % 4 + 2 ** 10 + (1 << 4) + (9 >> 1)", 3 + 3 + 1024 + 16 + 4),
    ("5 & 3 | 8 ^ 1", 5 & 3 | 8 ^ 1),
    ("-x + +x + ~x", -6),
    ("'reached' if x >= 5 else 'not'", "reached"),
    ("x > 1 and x < 10 or missing", True),
    ("0 < x <= 5 < 6", True),
    ("x == 5 and x != 6 and not x is None", True),
    ("'b' in name and 'z' not in name", True),
    ("x in [1, 5] and 'k' in {'k': 1}", True),
    ("path + [x]", [1, 2, 3, 5]),
    ("path * 2", [1, 2, 3, 1, 2, 3]),
    ("path[0] + path[-1]", 4),
    ("path[1:] + path[:1] + path[::-1]", [2, 3, 1, 3, 2, 1]),
    ("npc['name'].upper()", "ABE"),
    ("{'a': x} | {'b': 2}", {"a": 5, "b": 2}),
    ("[p * 2 for p in path if p > 1]", [4, 6]),
    ("[[a, b] for a in path for b in range(a)]", [[1, 0], [2, 0], [2, 1], [3, 0], [3, 1], [3, 2]]),
    ("{p: p * p for p in path}", {"1": 1, "2": 4, "3": 9}),
    ("{p % 2 for p in path}", [0, 1]),
    ("sum(p for p in path)", 6),
    ("sum([[1], [2, 3]], [])", [1, 2, 3]),
    ("sorted(path, reverse=True)", [3, 2, 1]),
    ("sorted(['bb', 'a'], key=len)", ["a", "bb"]),
    ("max(path, key=lambda p: -p) + min(4, 9) + max([], default=7)", 12),
    ("list(map(lambda a, b: a + b, path, path))", [2, 4, 6]),
    ("list(map(str, path))", ["1", "2", "3"]),
    ("filter(None, [0, 1, 2])", [1, 2]),
    ("enumerate(['a'], 1)", [[1, "a"]]),
    ("zip(path, 'abc')", [[1, "a"], [2, "b"], [3, "c"]]),
    ("[len(path), int('12'), float('1.5'), bool(''), abs(-2), round(2.567, 1), str(x)]", [3, 12, 1.5, False, 2, 2.6, "5"]),
    ("any(p > 2 for p in path) and all([1, x])", True),
    ("[sqrt(x + 4), log(1), log(8, 2), exp(0), list(map(sqrt, [4, 9]))]", [3.0, 0.0, 3.0, 1.0, [2.0, 3.0]]),
    ("tuple(path) + (4,)", [1, 2, 3, 4]),
    ("set([3, 1]) - {3}", [1]),
    ("dict(a=1, b=x)", {"a": 1, "b": 5}),
    ("isinstance(x, int) and isinstance(name, (str, list)) and not isinstance(path, dict)", True),
    ("f'{name:>5}|{x:03d}|{x / 3:.2f}|{name!r}'", "  bob|005|1.67|'bob'"),
    ("f'{x:{width}d}'", "   5"),
    ("', '.join(str(p) for p in path)", "1, 2, 3"),
    ("name.replace('b', 'dd').split('o')", ["dd", "dd"]),
    ("npc.get('age', 3) + len(npc.keys()) + len(npc.items())", 5),
    ("[v for k, v in npc.items()]", ["abe"]),
    ("range(3)", [0, 1, 2]),
    ("_helper + 1", 8),
]
FIELDS = {"x": 5, "name": "bob", "path": [1, 2, 3], "npc": {"name": "abe"}, "width": 4, "_helper": 7, "_metadata": {"a": 1}}


@pytest.mark.parametrize(("source", "expected"), COMPUTES, ids=[source for source, _ in COMPUTES])
def test_computes_as_python_does(source, expected):
    assert value_of(source, FIELDS) == expected


def test_fields_are_not_changed_by_any_of_it():
    fields = {"path": [1, 2, 3], "x": 5}
    for source in ("path + [x]", "path * 2", "random.sample(path, 2)", "sorted(path)"):
        value_of(source, fields)
    assert fields == {"path": [1, 2, 3], "x": 5}


REFUSED = [
    "x.__class__", "().__class__.__bases__", "''.__class__.__mro__[1].__subclasses__()", "x.real", "(lambda: 1)()", "open('/etc/hostname')",
    "__import__('os')", "eval('1')", "exec('1')", "getattr(x, 'y')", "globals()", "type(x)", "vars()", "print(1)", "input()", "pow(2, 9)",
    "'{0.__class__}'.format(1)", "'{a}'.format_map(x)", "name.translate(x)", "name.encode()", "path.append(1)", "path.sort()",
        "d.update(x)",
    "d.setdefault('a', 1)", "(g for g in [1]).gi_frame", "[].__len__()", "random.seed(1)", "random.Random(1)", "random.__class__",
        "random.choices([1])",
    "(y := 1)", "[*path]", "{**d}", "f(*path)", "max(*path)", "max(**d)", "await x", "(yield 1)", "x if", "1 +", "", "import os",
        "x = 1", "x; y",
    "lambda: 1", "[lambda: 1]", "map(x, path)", "sorted(path, key=path[0])", "sorted(path, cmp=len)", "map(lambda *a: a, path)",
    "map(lambda a=1: a, path)", "(lambda f: f(f))(lambda f: f(f))", "[f(1) for f in [len]][0](2)", "b'bytes'", "1j", "...", "__builtins__",
    "__guard_add", "isinstance(x, object)", "isinstance(x, y)", "1 in [1] in [2]", "x is 5", "x @ y", "'a' * 5 if __debug__ else 1",
    "[x async for x in y]", "[x for x.y in [1]]", "dict(__class__=1)", "x" * 10_001, "(" * 300 + ")" * 300, "-" * 9_000 + "1", "+".join([
        "1"] * 3000),
    "9" * 5_000, "\x00",
]  # fmt: skip


@pytest.mark.parametrize("source", REFUSED, ids=[repr(source[:40]) for source in REFUSED])
def test_refuses_before_running(source):
    with pytest.raises(ConfigError, match="expression 'e'"):
        compile_expression(source, name="e")


def test_a_refusal_names_the_place_and_the_column():
    with pytest.raises(ConfigError) as caught:
        compile_expression("1 + x.__class__", name="e", where="config.yaml:7:3")
    assert str(caught.value).startswith("config.yaml:7:3: expression 'e': attribute '__class__'")
    assert "column 5" in str(caught.value)


BOUNDED = [
    "10 ** 3999999", "(-10) ** 3999999", "2 ** 2 ** 2 ** 2 ** 2 ** 9", "1 << 10 ** 9", "(10 ** 1000) * (10 ** 1000)",
    "[0] * 10 ** 9", "10 ** 9 * [0]", "'a' * 10 ** 9", "(1,) * 10 ** 9", "sum(range(10 ** 12))", "list(range(10 ** 9))",
        "[i for i in range(10 ** 8)]",
    "[1 for a in range(10 ** 4) for b in range(10 ** 4) for c in range(10 ** 4)]", "sum(1 for a in range(9999) for b in range(9999))",
    "any(a == -1 for a in range(10 ** 10))", "10 ** 11 in (a for a in [1])", "f'{1:999999999}'", "f'{1:.999999999f}'", "f'{x!r:>{y}}'",
    "'%999999999d' % 1", "'a'.zfill(10 ** 9)", "'a'.center(10 ** 9)", "('a' * 4000000).replace('a', 'b' * 1000)",
        "(',' * 1000000).join(['a'] * 1000)",
    "[[0] * 100000 for i in range(100000)]", "['a' * 1000000 for i in range(100000)]", "[big[0:] for i in range(100000)]",
    "[1 for i in range(100000) if big == other]", "[1 for i in range(100000) if -1 in big]", "[1 for i in range(100000) if big < other]",
    "[sorted(big) for i in range(100)]", "[max(big) for i in range(1000)]", "[{(1, t): 1} for i in range(100000)]",
        "[d.get(t) for i in range(100000)]",
    "round(5, -10 ** 9)", "random.sample(range(10 ** 9), 10 ** 8)", "int('9' * 1000000)", "int('9' * 4000) ** 2", "str(10 ** 1200) * 10000",
    "[n for n in [[1, 1]] for a in [[n] * 999] for b in [[a] * 999] for c in [[b] * 999] for d in [[c] * 999]]",
    "[e for a in [[1, 1]] for b in [[a, a, a, a, a, a, a, a]] for c in [[b, b, b, b, b, b, b, b]] for d in [[c, c, c, c, c, c, c, c]]"
    " for e in [[d] * 9999]]",
    "f'{s}{s}{s}{s}{s}{s}'", "[f'{s}' for i in range(100000)]", "[s + 'x' for i in range(100000)]", "[s.upper() for i in range(100000)]",
    "[set(big) | set(other) for i in range(1000)]", "[hash1 for hash1 in map(lambda a: sum(big), range(100000))]",
        "dict(zip(range(10 ** 7), range(10 ** 7)))",
]  # fmt: skip
HOSTILE = {
    "x": 1,
    "y": 10**9,
    "big": list(range(100_000)),
    "other": list(range(100_000)),
    "s": "ab" * 500_000,
    "d": {},
    "t": tuple(range(1000)),
}


@pytest.mark.parametrize("source", BOUNDED, ids=[source[:60] for source in BOUNDED])
def test_bombs_end_quickly(source):
    started = time.process_time()
    outcome = value_of(source, HOSTILE)
    assert isinstance(outcome, ExpressionFailure)
    assert time.process_time() - started < 1.5


def test_a_list_that_doubles_in_itself_is_refused_when_it_is_built():
    step = CompiledStep("grow", compile_named([("x", "[1, 1]")]), compile_named([("x", "[x, x]")]), compile_expression("False"), 1000)
    outcome = run_expression_step(step, {}, 1)
    assert isinstance(outcome, ExpressionFailure)
    assert outcome.kind == "limit"


def test_doubling_text_in_a_loop_is_bounded():
    step = CompiledStep("grow", compile_named([("x", "'ab'")]), compile_named([("x", "x + x")]), compile_expression("False"), 1000)
    assert run_expression_step(step, {}, 1) == ExpressionFailure(
        "x", "limit", "BoundExceeded: a text of 4,194,304 is over the limit of 4,000,000"
    )


def test_weigh_counts_every_way_to_a_value():
    pair = [1, 1]
    assert weigh([pair, pair]) == 7
    with pytest.raises(BoundExceeded):
        weigh([[0] * 1000] * 1001)


RAISING = ["missing", "1 / 0", "path[9]", "npc['age']", "'a' + 1", "int('x')", "max([])", "x.upper()", "float('nan')", "1e308 * 10",
    "(-8) ** 0.5",
           "(p for p in path)", "2 ** 64", "random.choice([])", "path < 1", "1 in 5", "{[1]: 2}", "random.shuffle('ab')", "x[0:1]",
               "sum(['a'], '')",
           "-2 ** 63 - 1", "iter", "{(1, 2): 3}"]  # fmt: skip


@pytest.mark.parametrize("source", RAISING)
def test_what_raises_in_python_is_a_value_here(source):
    outcome = value_of(source, FIELDS)
    assert isinstance(outcome, ExpressionFailure)
    assert outcome.message


@given(st.integers(-100, 100), st.integers(-100, 100), st.lists(st.integers(-5, 5), max_size=6))
def test_agrees_with_python(a, b, items):
    sources = [
        "a + b * 2 - a",
        "a < b <= 3",
        "a if b else items",
        "items[1:] + [a]",
        "[i * a for i in items if i != b]",
        "sorted(items + [a])",
        "a % 7 + b // 3",
    ]
    for source in sources:
        expected = eval(source, {}, {"a": a, "b": b, "items": items}) if "for" not in source else [i * a for i in items if i != b]
        assert value_of(source, {"a": a, "b": b, "items": items}) == expected


@given(st.text(max_size=60))
def test_any_text_is_compiled_or_refused(source):
    try:
        compiled = compile_expression(source)
    except ConfigError:
        return
    Scope({}, 1).evaluate(compiled)


@given(st.recursive(st.sampled_from(["x", "1", "'a'", "path", "d", "None"]), lambda inner: st.one_of(
    st.tuples(inner, st.sampled_from(["+", "*", "-", "**", "<<", "%", "|", "==", "<", "in", "and"]), inner).map(
        lambda t: f"({t[0]} {t[1]} {t[2]})"),
    st.tuples(st.sampled_from([*sorted(FUNCTIONS), *(f"random.{name}" for name in RANDOM)]), inner).map(lambda t: f"{t[0]}({t[1]})"),
    st.tuples(inner, st.sampled_from(sorted(METHODS[str])), inner).map(lambda t: f"({t[0]}).{t[1]}({t[2]})"),
    inner.map(lambda s: f"[{s}, {s}]"), inner.map(lambda s: f"[e for e in {s}]"), st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
), max_leaves=8))  # fmt: skip
def test_generated_expressions_never_raise_out(source):
    try:
        compiled = compile_expression(source)
    except ConfigError:
        return
    fields = {"x": 3, "path": [1, [2]], "d": {"a": 1}}
    Scope(fields, 5).evaluate(compiled)
    assert fields == {"x": 3, "path": [1, [2]], "d": {"a": 1}} or "shuffle" in source


def test_no_python_builtin_is_reachable_by_name():
    names = [
        name for name in dir(builtins) if name not in FUNCTIONS and not name.startswith("__") and name not in ("True", "False", "None")
    ]
    for name in names:
        assert isinstance(value_of(name), ExpressionFailure), name


def test_a_field_may_be_called_like_a_function():
    assert value_of("sum + max([sum, 2])", {"sum": 9}) == 18


def test_reads_are_the_data_names():
    assert compile_expression("[a + b for a in xs if len(a) > c] + list(map(lambda q: q + d, ys))").reads == {"b", "xs", "c", "ys", "d"}


# random streams and seeds


def test_one_stream_per_step_equals_pythons_random():
    step = CompiledStep("s", (), compile_named([("a", "random.randint(1, 6)"), ("b", "random.random()"), ("c", "random.sample(cards, 3)"),
                                                ("d", "random.choice(cards)"), ("e", "random.uniform(1, 2)"), ("f",
                                                    "random.gauss(0, 1)")]))  # fmt: skip
    cards = list("ABCDEFG")
    outcome = run_expression_step(step, {"cards": cards}, 42)
    r = random.Random(42)
    expected = {
        "a": r.randint(1, 6),
        "b": r.random(),
        "c": r.sample(cards, 3),
        "d": r.choice(cards),
        "e": r.uniform(1, 2),
        "f": r.gauss(0, 1),
    }
    assert isinstance(outcome, StepValues)
    assert outcome.values == expected


def test_shuffle_works_on_a_copy_of_the_units_fields():
    fields = {"deck": list(range(20))}
    step = CompiledStep("s", (), compile_named([("_", "random.shuffle(deck)"), ("top", "deck[0:5]")]))
    outcome = run_expression_step(step, fields, 3)
    assert isinstance(outcome, StepValues)
    assert fields == {"deck": list(range(20))}
    assert outcome.values["top"] != [0, 1, 2, 3, 4]
    assert "_" not in outcome.values


def test_seeds_differ_in_every_part():
    seeds = {
        derive_seed(*parts)
        for parts in [
            (1, "u", "s", "p"),
            (2, "u", "s", "p"),
            (1, "v", "s", "p"),
            (1, "u", "t", "p"),
            (1, "u", "s", "q"),
            (1, "us", "", "p"),
        ]
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert derive_seed(1, "u", "s", "p") == derive_seed("1", "u", "s", "p")


def test_octobatch_seeds():
    assert octobatch_seed("u", "s", 17) == 17
    assert octobatch_seed("hello", "") == 0x2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824 & 0x7FFFFFFF


def test_two_steps_of_a_repeated_unit_draw_different_streams():
    draws = [value_of("random.random()", seed=derive_seed(0, "u__rep0001", step, "expression")) for step in ("first", "second")]
    assert draws[0] != draws[1]


# steps and loops


def test_values_are_visible_in_order_and_helpers_stay_inside():
    step = CompiledStep("s", (), compile_named([("_h", "x + 1"), ("y", "_h * 2")]))
    outcome = run_expression_step(step, {"x": 1}, 0)
    assert outcome == StepValues({"y": 4}, 1, False)
    assert outcome.fields("s") == {"y": 4, "_metadata": {"iterations": 1, "timeout": False, "expression_step": "s"}}


def test_loop_runs_until_or_to_its_limit():
    count = compile_named([("n", "n + 1")])
    until = compile_expression("n >= 3")
    assert run_expression_step(CompiledStep("s", compile_named([("n", "0")]), count, until), {}, 0) == StepValues({"n": 3}, 3, False)
    assert run_expression_step(CompiledStep("s", compile_named([("n", "0")]), count, until, 2), {}, 0) == StepValues({"n": 2}, 2, True)
    failed = run_expression_step(CompiledStep("s", compile_named([("n", "0")]), count, until, 2, True), {}, 0)
    assert failed == ExpressionFailure("loop_until", "timeout", "loop_until was still false after 2 iterations")


def test_a_raising_expression_is_named():
    step = CompiledStep("s", (), compile_named([("a", "1"), ("b", "a / 0")]))
    assert run_expression_step(step, {}, 0) == ExpressionFailure("b", "error", "ZeroDivisionError: division by zero")
    condition = CompiledStep("s", (), compile_named([("a", "1")]), compile_expression("zzz"))
    assert run_expression_step(condition, {}, 0) == ExpressionFailure("loop_until", "error", "NameError: name 'zzz' is not defined")


def test_run_named_gives_values_or_the_failure():
    assert run_named(compile_named([("a", "x + 1"), ("b", "a + 1")]), {"x": 1}, 0) == {"a": 2, "b": 3}
    assert isinstance(run_named(compile_named([("a", "x + 1")]), {}, 0), ExpressionFailure)


@pytest.mark.parametrize("name", ["__x", "_metadata", "random", "a-b", "1a", "class "])
def test_reserved_and_impossible_names_are_refused(name):
    with pytest.raises(ConfigError):
        compile_named([(name, "1")], lambda _: "config.yaml:1:1")


def test_hidden_fields_are_not_seen():
    for name in ("_metadata", "_raw_text", "_repetition_seed"):
        assert isinstance(value_of(name, {name: 1}), ExpressionFailure)


WALK = CompiledStep(
    "random_walk",
    compile_named([("position", "start_position"), ("path", "[start_position]"), ("steps_taken", "0")]),
    compile_named([("direction", "random.choice([-1, 1])"), ("position", "position + direction"), ("path", "path + [position]"),
                   ("steps_taken", "steps_taken + 1")]),
    compile_expression("position <= 0 or position >= 10"),
)  # fmt: skip


def test_ten_thousand_walks_match_the_theory():
    """OCT-191: even odds, 25 steps on average, always an odd number of at least 5."""
    reached, steps = 0, []
    for number in range(10_000):
        unit = f"start_at_5__rep{number:04d}"
        outcome = run_expression_step(WALK, {"start_position": 5, "unit_id": unit}, derive_seed(0, unit, "random_walk", "expression"))
        assert isinstance(outcome, StepValues)
        assert not outcome.timed_out
        reached += outcome.values["position"] == 10
        steps.append(outcome.values["steps_taken"])
        assert len(outcome.values["path"]) == steps[-1] + 1
    assert abs(reached / 10_000 - 0.5) <= 0.025
    assert abs(sum(steps) / 10_000 - 25) <= 1
    assert min(steps) == 5
    assert all(count % 2 == 1 for count in steps)


def test_blackjacks_shoe():
    """OCT-193: 312 cards, 14 dealt."""
    sources = [("shoe", "[r for r in ['2','3','4','5','6','7','8','9','10','J','Q','K','A'] for _ in range(24)]"), ("dealt",
        "random.sample(shoe, 14)"),
               ("player_hand", "[dealt[0], dealt[1]]"), ("extra", "dealt[4:]")]  # fmt: skip
    outcome = run_expression_step(CompiledStep("deal", (), compile_named(sources)), {}, 9)
    assert isinstance(outcome, StepValues)
    assert len(outcome.values["shoe"]) == 312
    assert len(outcome.values["extra"]) == 10
    assert outcome.values["player_hand"] == outcome.values["dealt"][:2]
