"""Loading pipelines: every key, every fault with its place, snapshots, and the built-in demo."""

from importlib.resources import files
from pathlib import Path

import pytest

from headgate.batch.compiled import compile_pipeline, unit_seed
from headgate.batch.expressions import StepValues, derive_seed, run_expression_step
from headgate.batch.pipeline import (
    ApiSettings,
    Coercion,
    FanOut,
    Level,
    Position,
    PostProcess,
    Retry,
    Rule,
    Rules,
    Script,
    SeedMode,
    StepKind,
    StepParams,
    Strategy,
    TimeoutPolicy,
)
from headgate.batch.pipeline_files import find_folder, known_pipelines, safe_relative, snapshot
from headgate.batch.pipeline_load import find_pipeline, load_pipeline, load_snapshot
from headgate.batch.programs import own_programs
from headgate.batch.sandbox import template_environment
from headgate.batch.templates import prompt_context
from headgate.batch.validate import Invalid, Valid
from headgate.errors import ConfigError

CONFIG = """\
pipeline:
  name: Quiz
  steps:
    - name: ask
      prompt_template: ask.jinja2
api:
  provider: openai
processing:
  strategy: direct
  chunk_size: 10
  items:
    source: items.yaml
    key: questions
prompts:
  templates:
    ask: ask.jinja2
schemas:
  files:
    ask: ask.json
validation:
  ask:
    required: [answer]
"""
ITEMS = "questions:\n  - id: one\n    text: Why?\n  - id: two\n    text: How?\n"
SCHEMA = '{"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"], "additionalProperties": false}'


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "Quiz"
    (root / "templates").mkdir(parents=True)
    (root / "schemas").mkdir()
    (root / "config.yaml").write_text(CONFIG)
    (root / "items.yaml").write_text(ITEMS)
    (root / "templates" / "ask.jinja2").write_text("{{ text }}\n")
    (root / "schemas" / "ask.json").write_text(SCHEMA)
    return root


def changed(folder, old, new, file="config.yaml"):
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return folder


def refused(folder, message):
    with pytest.raises(ConfigError) as caught:
        load_pipeline(folder)
    assert message in str(caught.value).replace(f"{folder}/", "")
    return caught.value


def test_a_small_pipeline_loads(folder):
    pipeline = load_pipeline(folder)
    assert pipeline.name == "Quiz"
    assert pipeline.step("ask").kind is StepKind.LLM
    assert pipeline.template_of == {"ask": "ask.jinja2"}
    assert pipeline.templates == {"ask.jinja2": "{{ text }}\n"}
    assert pipeline.schemas["ask"]["required"] == ["answer"]
    assert [unit.unit_id for unit in pipeline.units()] == ["one", "two"]
    assert (pipeline.warnings, own_programs(pipeline), pipeline.post_process) == ((), [], ())
    assert pipeline.max_attempts(pipeline.step("ask")) == 3
    with pytest.raises(KeyError):
        pipeline.step("nope")


FULL = """\
pipeline:
  steps:
    - name: roll
      scope: expression
      description: dice
      init: {n: 0, ready: true}
      expressions: {n: "n + random.randint(1, 6)", parts: "[n]"}
      loop_until: "n > 9"
      max_iterations: 50
      on_timeout: fail
    - name: ask
      prompt_template: ask.jinja2
      provider: anthropic
      model: some-model
      max_attempts: 5
      params: {system: Be kind, temperature: 0.5, top_p: 1, max_tokens: 99, stop: [END], native_schema: false}
    - {name: split, scope: fan_out, field: parts, child_field: part}
    - {name: pack, scope: run, script: pack.py, output_dir: out, compression: gzip, upload: {provider: google_drive}}
api:
  provider: openai
  model: gpt-4o-mini
  retry: {max_attempts: 4, initial_delay_seconds: 1.5, backoff_multiplier: 3}
  poll_interval_seconds: 2
  max_inflight_batches: 7
  max_tokens: 512
  realtime: {cost_cap_usd: 0.1, auto_retry: false, concurrency: 8}
  subprocess_timeout_seconds: 600
processing:
  strategy: direct
  chunk_size: 25
  repeat: 2
  seed: 99
  seed_mode: octobatch
  expressions: {shout: "text.upper()"}
  positions: [{name: who, source_key: id}]
  items: {source: items.yaml, key: questions, name_field: text}
  validation_retry: {max_attempts: 2}
prompts:
  template_dir: templates
  templates: {ask: ask.jinja2}
  global_context: {house: rules}
schemas:
  schema_dir: schemas
  files: {ask: ask.json}
  strict_mode: true
  log_validation_errors: true
  coercions: [numbers, octobatch_shadow]
validation:
  ask:
    required: [answer]
    types: {answer: string, n: integer}
    ranges: {n: [1, null]}
    enums: {answer: [a, b]}
    rules:
      - {name: long, expr: "len(answer) > n", error: "{answer}", level: warning, when: "n > 3"}
      - expr: "True"
  roll:
    required: [n]
post_process:
  - {name: Shares, script: scripts/analyze.py, args: [--group-by, id], output: shares.txt}
  - {type: gzip, files: ["*.jsonl"], keep_originals: true}
monitoring:
  warnings: {failure_rate_threshold: 0.5}
report: {title: x}
"""


def test_every_key_is_read(folder):
    (folder / "config.yaml").write_text(FULL)
    pipeline = load_pipeline(folder)
    roll, ask, split, pack = pipeline.steps
    assert (roll.kind, roll.init, roll.loop_until, roll.max_iterations) == (
        StepKind.EXPRESSION,
        (("n", "0"), ("ready", "True")),
        "n > 9",
        50,
    )
    assert roll.on_timeout is TimeoutPolicy.FAIL
    assert ask.params == StepParams("Be kind", 0.5, 1.0, 99, ("END",), False)
    assert (ask.provider, ask.model, ask.max_attempts) == ("anthropic", "some-model", 5)
    assert split.fan_out == FanOut("parts", "part")
    assert pack.script == Script("pack.py", "out", gzip=True)
    assert [warning.partition(": ")[2] for warning in pipeline.warnings][:1] == ["'upload' is left out: the files stay in the run's folder"]
    assert pipeline.post_process == (
        PostProcess("Shares", "scripts/analyze.py", ("--group-by", "id"), "shares.txt", where=pipeline.post_process[0].where),
        PostProcess("unnamed", files=("*.jsonl",), keep_originals=True, where=pipeline.post_process[1].where),
    )
    assert pipeline.api == ApiSettings("openai", "gpt-4o-mini", Retry(4, 1.5, 3.0), 2.0, 7, 512, 100_000_000, False, 8, 600.0)
    assert pipeline.processing.strategy is Strategy.DIRECT
    assert (pipeline.processing.chunk_size, pipeline.processing.repeat, pipeline.processing.max_attempts) == (25, 2, 2)
    assert pipeline.processing.positions == (Position("who", "id"),)
    assert pipeline.processing.expressions == (("shout", "text.upper()"),)
    assert pipeline.global_context == {"house": "rules"}
    assert pipeline.coercions == {Coercion.NUMBERS, Coercion.OCTOBATCH_SHADOW}
    rules = pipeline.rules["ask"]
    assert (rules.required, rules.types, rules.ranges, rules.enums) == (
        ("answer",),
        {"answer": "string", "n": "integer"},
        {"n": (1, None)},
        {"answer": ("a", "b")},
    )
    assert [(rule.name, rule.level, rule.when) for rule in rules.rules] == [("long", Level.WARNING, "n > 3"), ("rule_2", Level.ERROR, None)]
    assert pipeline.rules["roll"] == Rules(required=("n",))
    assert [unit.unit_id for unit in pipeline.units(3)] == ["Why?__rep0000", "How?__rep0000", "Why?__rep0001"]
    assert next(pipeline.units()).fields["who"] == "one"
    assert pipeline.unit_count() == 4
    assert own_programs(pipeline) == [("step 'pack'", "pack.py"), ("post_process 'Shares'", "scripts/analyze.py")]
    assert [step.name for step in pipeline.unit_steps] == ["roll", "ask", "split"]
    assert pipeline.processing.seed_mode is SeedMode.OCTOBATCH
    unit = next(pipeline.units())
    assert unit_seed(pipeline, unit.unit_id, unit.fields, "roll", "expression") == unit.fields["_repetition_seed"]


@pytest.mark.parametrize(
    ("strategy", "ids", "count"),
    [("permutation", ["one-two", "two-one"], 2), ("cross_product", ["one-one", "one-two", "two-one", "two-two"], 4)],
)
def test_units_of_several_positions(folder, strategy, ids, count):
    """OCT-60, OCT-61: templates name the fields of the item at a position."""
    positions = "[{name: a, source_key: questions}, {name: b, source_key: questions}]"
    changed(folder, "  strategy: direct\n", f"  strategy: {strategy}\n  positions: {positions}\n")
    changed(folder, "{{ text }}", "{{ a.text }} {{ b.text }}", "templates/ask.jinja2")
    pipeline = load_pipeline(folder)
    assert own_programs(pipeline) == []
    assert ([unit.unit_id for unit in pipeline.units()], pipeline.unit_count()) == (ids, count)
    assert load_snapshot(snapshot(pipeline)).digest == pipeline.digest
    changed(folder, "a.text", "c.text", "templates/ask.jinja2")
    with pytest.raises(ConfigError, match="needs 'c', which nothing before it provides"):
        load_pipeline(folder)


FAULTS = [
    ("pipeline:", "pipelines:", "config.yaml:1:1: section 'pipeline' is missing"),
    ("  chunk_size: 10", "  chunk_sise: 10", "config.yaml:10:3: unknown key 'chunk_sise'"),
    ("  chunk_size: 10", "  chunk_size: 0", "config.yaml:10:3: 'chunk_size' must be at least 1, not 0"),
    ("  chunk_size: 10", "  chunk_size: 99999999999999999999", "config.yaml:10:3: 'chunk_size' must be at most 9,223,372,036,854,775,807"),
    ("  chunk_size: 10", "  chunk_size: ten", "config.yaml:10:3: 'chunk_size' must be an integer, not a string"),
    ("  chunk_size: 10", "  chunk_size: true", "'chunk_size' must be an integer, not a boolean"),
    ("strategy: direct", "strategy: direkt", "config.yaml:9:3: 'strategy' cannot be 'direkt'"),
    ("strategy: direct", "strategy: permutation", "needs 'positions'"),
    ("    - name: ask\n", "    - name: ask\n      scope: expresion\n", "config.yaml:5:7: 'scope' cannot be 'expresion'"),
    ("    - name: ask\n", "    - name: aks\n", "config.yaml:4:7: step 'aks' has no entry under prompts.templates"),
    ("    ask: ask.jinja2\n", "    aks: ask.jinja2\n", "step 'ask' has no entry under prompts.templates"),
    ("    ask: ask.json\n", "    other: ask.json\n", "schemas.files names 'other', which is no step"),
    ("  ask:\n    required", "  aks:\n    required", "config.yaml:4:7: step 'ask' has no entry under validation"),
    ("    ask: ask.jinja2\n", "    ask: aks.jinja2\n", "config.yaml:16:5: cannot read 'templates/aks.jinja2': No such file or directory"),
    ("    ask: ask.jinja2\n", "    ask: ../../x\n", "config.yaml:16:5: path 'templates/../../x' must stay inside"),
    ("    ask: ask.jinja2\n", "    ask: 5\n", "'ask' must be text, not a number"),
    ("    ask: ask.json\n", "    ask: aks.json\n", "config.yaml:19:5: cannot read 'schemas/aks.json'"),
    ("source: items.yaml", "source: /etc/passwd", "path '/etc/passwd' must stay inside"),
    ("key: questions", "key: question", "config.yaml:12:5: items.yaml has no key 'question'"),
    ("required: [answer]", "types: {answer: strin}", "there is no type 'strin'"),
    ("required: [answer]", "ranges: {answer: [1]}", "the range of 'answer' must be [least, most]"),
    ("required: [answer]", "enums: {answer: a}", "the values of 'answer' must be a list"),
    ("required: [answer]", "required: {a: 1}", "'required' must be a list of texts"),
    ("required: [answer]", 'rules: [{expr: "answer.__class__"}]',
        "config.yaml:22:14: expression 'rule_1': attribute '__class__' is not allowed (column 1" ),
    ("required: [answer]", "rules: [{name: x}]", "'expr' is missing"),
    ("required: [answer]", "rules: [5]", "'rules' must list mappings, not a number"),
    ("required: [answer]", 'rules: [{expr: "anwser > 1"}]', "rule 'rule_1' of step 'ask' needs 'anwser', which nothing before it provides"),
    ("prompt_template: ask.jinja2", "prompt_template: ask.jinja2\n      params: {temprature: 1}", "unknown key 'temprature'"),
    ("prompt_template: ask.jinja2", "prompt_template: ask.jinja2\n      retry_from: nope",
        "retry_from names 'nope', which is no earlier step"),
    ("    - name: ask\n", "    - {name: ask, prompt_template: a}\n    - name: ask\n", "two steps are called 'ask'"),
    ("    - name: ask\n      prompt_template: ask.jinja2\n", "    - {name: ask, scope: expression}\n",
        "expression step 'ask' needs 'expressions'"),
    ("  provider: openai", "  provider: openai\n  provider: gemini", "config.yaml:8:3: duplicate key 'provider' (first on line 7)"),
    ("schemas:\n", "schemas:\n  coercions: [numbrs]\n", "there is no coercion 'numbrs'"),
    ("  chunk_size: 10", "  expressions: {a: 'zz + 1'}", "processing.expressions.a needs 'zz'"),
    ("  chunk_size: 10", "  expressions: {a: [1]}", "expression 'a' must be text, not an array"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), FAULTS, ids=[message[:50] for _, _, message in FAULTS])
def test_faults_carry_their_place(folder, old, new, message):
    refused(changed(folder, old, new), message)


def test_hints_name_what_was_meant(folder):
    assert refused(changed(folder, "  chunk_size: 10", "  chunk_sise: 10"), "unknown key").hint == "did you mean 'chunk_size'?"


def test_several_faults_are_listed_together(folder):
    changed(changed(folder, "chunk_size: 10", "chunk_size: 0"), "strategy: direct", "strategy: direkt")
    error = refused(folder, "2 errors")
    assert error.where is not None
    assert "'strategy' cannot be" in str(error)
    assert "must be at least 1" in str(error)


def test_unknown_keys_without_a_likeness_are_warnings(folder):
    changed(folder, "api:\n", "api:\n  zebra: 1\n")
    assert load_pipeline(folder).warnings == (f"{folder}/config.yaml:7:3: unknown key 'zebra' is ignored",)


CONTENT_FAULTS = [
    ("templates/ask.jinja2", "a\n{{ text }", "templates/ask.jinja2:2:1: template: "),
    ("templates/ask.jinja2", "a\n{{ txet }}", "templates/ask.jinja2:2:4: the template of step 'ask' needs 'txet'"),
    ("templates/ask.jinja2", "{% include name %}", "may include others by a fixed name only"),
    ("templates/ask.jinja2", "{% include '../config.yaml' %}", "must stay inside"),
    ("templates/ask.jinja2", "{% include 'gone.jinja2' %}", "cannot read 'templates/gone.jinja2'"),
    ("schemas/ask.json", '{\n "a": }', "schemas/ask.json:2:7: not JSON"),
    ("schemas/ask.json", '{"properties": {\n  "a": {"$ref": "http://127.0.0.1/x"}}}', "schemas/ask.json:2:17: the schema refers to"),
    ("items.yaml", "questions:\n  - id: one\n  - id: one\n", "items.yaml:3:5: duplicate item id 'one'"),
    ("items.yaml", "questions:\n  - text: x\n", "items.yaml:2:5: an item needs an id in one of: id, name"),
    ("items.yaml", "questions: []\n", "there are no items"),
    ("items.yaml", "questions: 5\n", "items.yaml:1:1: items must be a list, not a number"),
    ("items.yaml", "questions: [5]\n", "items.yaml:1:13: an item must be a mapping, not a number"),
    ("items.yaml", "questions: [\n", "items.yaml:2:1: "),
]


@pytest.mark.parametrize(("file", "text", "message"), CONTENT_FAULTS, ids=[message[:50] for _, _, message in CONTENT_FAULTS])
def test_faults_of_other_files_carry_their_place(folder, file, text, message):
    (folder / file).write_text(text)
    refused(folder, message)


def test_templates_may_test_for_names_and_include_neighbours(folder):
    (folder / "templates" / "ask.jinja2").write_text(
        "{% if extra is defined %}{{ extra }}{% endif %}{{ more | default('') }}{% include 'part.jinja2' %}{{ _retry is defined }}"
    )
    (folder / "templates" / "part.jinja2").write_text("{{ text }} {{ unit_id }}")
    pipeline = load_pipeline(folder)
    assert set(pipeline.templates) == {"ask.jinja2", "part.jinja2"}
    assert load_snapshot(snapshot(pipeline)) == pipeline


def test_names_a_loose_answer_might_bring_are_warnings(folder):
    changed(folder, "processing:", "processing:\n  zebra: 1")
    (folder / "schemas" / "ask.json").write_text('{"type": "object"}')
    changed(folder, "required: [answer]", 'rules: [{expr: "answer != 1"}]')
    assert [warning.partition(": ")[2] for warning in load_pipeline(folder).warnings][-1].startswith(
        "rule 'rule_1' of step 'ask' needs 'answer'"
    )


def test_files_in_other_formats(folder):
    for name, text in [
        ("items.json", '{"questions": [{"id": "one", "text": "x"}]}'),
        ("items.jsonl", '{"id": "one", "text": "x"}\n\n'),
        ("items.csv", "id,text\r\none,x\r\n"),
    ]:
        (folder / name).write_text(text)
        (folder / "config.yaml").write_text(CONFIG.replace("items.yaml", name))
        assert [unit.fields for unit in load_pipeline(folder).units()] == [{"id": "one", "text": "x", "unit_id": "one"}]
    (folder / "items.csv").write_text("id,text\none\n")
    refused(folder, "items.csv:2:1: the row has more or fewer cells")
    (folder / "items.jsonl").write_text('{"id": "one", "text": "x"}\n{"id": \n')
    (folder / "config.yaml").write_text(CONFIG.replace("items.yaml", "items.jsonl"))
    refused(folder, "items.jsonl:2:7: the line is not valid JSON")


def test_links_out_of_the_folder_are_refused(folder):
    (folder.parent / "secret.yaml").write_text(ITEMS)
    (folder / "items.yaml").unlink()
    (folder / "items.yaml").symlink_to(folder.parent / "secret.yaml")
    refused(folder, "leads out of the pipeline's folder")


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../../b", "a\\b", "a\0b", "C:/x"])
def test_unsafe_paths(path):
    with pytest.raises(ConfigError, match="must stay inside"):
        safe_relative(path)


# snapshots


def test_a_snapshot_is_the_pipeline(folder):
    pipeline = load_pipeline(folder)
    stored = snapshot(pipeline)
    (folder / "config.yaml").write_text("gone")
    assert load_snapshot(stored) == pipeline
    assert snapshot(load_snapshot(stored)) == stored


def test_the_digest_follows_the_content_not_the_place(folder, tmp_path):
    first = load_pipeline(folder)
    moved = folder.rename(tmp_path / "Other")
    assert load_pipeline(moved).digest == first.digest
    for file in ("config.yaml", "items.yaml", "templates/ask.jinja2", "schemas/ask.json"):
        before = load_pipeline(moved).digest
        (moved / file).write_text((moved / file).read_text() + "\n")
        assert load_pipeline(moved).digest != before
    (moved / "README.md").write_text("x")
    assert load_pipeline(moved).digest != first.digest


def test_anything_else_is_no_snapshot():
    for data in (b"", b"\x80", b"nonsense"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_snapshot(data)


# finding


def test_pipelines_are_found_by_name_or_path(folder):
    roots = [folder.parent]
    for given in ("Quiz", "quiz", str(folder), str(folder / "config.yaml")):
        assert find_pipeline(given, roots).name == "Quiz"
    assert known_pipelines(roots) == ["Quiz"]
    with pytest.raises(ConfigError) as caught:
        find_folder("Quizz", roots)
    assert caught.value.hint == "did you mean 'Quiz'?"
    with pytest.raises(ConfigError, match=r"holds no config\.yaml"):
        find_folder(str(folder / "templates"), roots)


# the demo


@pytest.fixture(scope="module")
def demo():
    return find_pipeline("DrunkenSailor", [Path(str(files("headgate"))) / "pipelines"])


def walked(demo, unit):
    compiled = compile_pipeline(demo)
    outcome = run_expression_step(
        compiled.expression_steps["random_walk"], unit.fields, unit_seed(demo, unit.unit_id, unit.fields, "random_walk", "expression")
    )
    assert isinstance(outcome, StepValues)
    return {**unit.fields, **outcome.fields("random_walk")}


def test_the_demo_has_no_faults_and_no_provider(demo):
    assert (demo.warnings, own_programs(demo), demo.unit_count()) == ((), [], 100)
    assert (demo.api.provider, demo.api.model, demo.processing.chunk_size) == (None, None, 100)
    assert [step.name for step in demo.steps] == ["random_walk", "analyze"]


def test_the_demos_prompt_states_the_facts_and_its_rules_check_the_answer(demo):
    validator = compile_pipeline(demo).validators["analyze"]
    template = template_environment(demo.templates).get_template(demo.template_of["analyze"])
    outcomes = set()
    for unit in demo.units():
        record = walked(demo, unit)
        prompt = template.render(prompt_context(record, demo.global_context))
        facts = dict(line.split(": ", 1) for line in prompt.splitlines() if ": " in line and not line.startswith(("A ", '"')))
        answer = {
            "scenario_name": facts["scenario_name"],
            "final_position": int(facts["final_position"]),
            "steps_taken": int(facts["steps_taken"]),
            "outcome": facts["outcome"],
        }
        assert str(record["path"]) not in prompt
        verdict = validator.validate(answer, record)
        assert isinstance(verdict, Valid)
        assert verdict.warnings == ()
        outcomes.add(answer["outcome"])
        for wrong in ({"final_position": 10 - answer["final_position"]}, {"steps_taken": answer["steps_taken"] + 2},
                      {"outcome": "reached_ship" if answer["outcome"] == "fell_in_water" else "fell_in_water"}, {"path": [1]}):  # fmt: skip
            assert isinstance(validator.validate({**answer, **wrong}, record), Invalid)
    assert outcomes == {"fell_in_water", "reached_ship"}


def test_a_rejected_answer_is_explained_to_the_model(demo):
    template = template_environment(demo.templates).get_template(demo.template_of["analyze"])
    record = walked(demo, next(demo.units()))
    prompt = template.render(
        prompt_context(record, demo.global_context, retry_attempt=1, retry_errors=[{"path": "$", "rule": "r", "message": "wrong total"}])
    )
    assert prompt.endswith("An earlier answer was rejected:\n- wrong total\n")


def test_seeds_follow_the_run_unless_octobatchs_are_wanted(demo):
    unit = next(demo.units())
    assert unit_seed(demo, unit.unit_id, unit.fields, "random_walk", "expression", run_seed=5) == derive_seed(
        5, unit.unit_id, "random_walk", "expression"
    )


def test_rule_places_point_at_the_expression(folder):
    changed(folder, "required: [answer]", 'rules: [{name: r, expr: "answer != 1"}]')
    assert load_pipeline(folder).rules["ask"].rules == (Rule("r", "answer != 1", where=f"{folder}/config.yaml:22:23"),)
