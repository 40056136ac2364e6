"""The schema of a pipeline's configuration, and the reader it is made of: they take the same."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import headgate
from headgate.batch.config_reader import Findings, Section
from headgate.batch.pipeline import FORMAT
from headgate.batch.pipeline_files import Snapshot, SnapshotFiles
from headgate.batch.pipeline_load import load_pipeline, read_config
from headgate.batch.pipeline_schema import pipeline_schema, pipeline_schema_text
from headgate.batch.yaml_source import load_yaml
from headgate.errors import ConfigError
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import Json, decode

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = sorted(Path(headgate.__file__).parent.glob("pipelines/*/config.yaml"))
VALIDATOR = jsonschema_rs.Draft7Validator(pipeline_schema())

WHOLE: Json = yaml.safe_load("""
name: whole
description: everything that can be said
version: 3
pipeline:
  name: whole
  steps:
    - {name: roll, scope: expression, expressions: {n: "1", m: 2}, init: {k: "0"}, loop_until: "n > 0", max_iterations: 5, on_timeout: fail}
    - name: ask
      scope: chunk
      description: ask
      prompt_template: ask.jinja2
      provider: sim-openai
      model: sim-small
      params: {system: be brief, temperature: 0.5, top_p: 1, max_tokens: 9, stop: [a, b], native_schema: false}
      max_attempts: 2
      when: "n > 0"
      needs: []
    - {name: split, scope: fan_out, field: parts, child_field: part, keep_field: true}
    - {name: once, scope: dedupe, by: [part]}
    - {name: few, scope: sample, count: 3}
    - {name: back, scope: fan_in, of: null, field: parts, collect: [a]}
    - {name: all, scope: aggregate, group_by: [b], field: c, collect: d}
    - {name: share, scope: sample, share: 0.5}
    - {name: after, scope: run, script: x.py, output_dir: out, filename_expression: a, content_expression: b, compression: gzip, upload: x}
api:
  provider: sim-openai
  model: sim-small
  retry: {max_attempts: 3, initial_delay_seconds: 1.5, backoff_multiplier: 2}
  poll_interval_seconds: 5
  max_inflight_batches: 2
  max_tokens: 100
  batch: {max_age_hours: 30, on_stuck: wait}
  realtime: {cost_cap_usd: 2.5, auto_retry: true, concurrency: 3}
processing:
  strategy: cross_product
  chunk_size: 10
  repeat: 2
  expressions: {x: "1"}
  positions: [{name: npc, source_key: npcs, name_field: id}]
  items: {source: items.yaml, key: a, name_field: id}
  validation_retry: {max_attempts: 2}
  seed: 4
  seed_mode: octobatch
prompts: {template_dir: t, templates: {ask: ask.jinja2}, global_context: {a: {b: 1}}}
schemas: {schema_dir: s, files: {ask: ask.json}, strict_mode: true, coercions: [numbers, enums]}
validation:
  ask:
    required: [a]
    types: {a: integer}
    ranges: {a: [0, null]}
    enums: {b: [x, y]}
    rules: [{name: r, expr: "a > 0", error: wrong, level: warning, when: "b == 'x'"}]
monitoring: {warnings: {}}
post_process:
  - {name: count, type: script, script: analyze_results, args: [--count-field, a], output: a.json, description: counts}
  - {name: own, command: [x.py, a]}
  - {name: zip, type: gzip, files: ["*.jsonl"], keep_originals: true}
""")
ELSEWHERE = {"templates", "template_dir", "schema_dir", "needs", "of", "retry_from"}
"""What is looked at when files are read, not when the configuration is, and names of other steps."""
VALUES = st.sampled_from(
    [5, -1, 0, 1.5, "x", "", True, None, [], [1], ["x"], {}, {"x": 1}, {"x": None}, [{}], [{"name": "x"}], "direct", "/a", "../a", "."]
)
KEYS = st.sampled_from(["zzz_unknown", "nmae", "stepps", "chunk_sizes", "max_token"])


def paths(value: Json, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a configuration that is looked at when it is read."""
    found = [above]
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in pairs:
        if key not in ELSEWHERE and (*above, key) != ("schemas", "files"):
            found += paths(below, (*above, key))
    return found


def at(config: Json, path: tuple[str | int, ...]) -> Json:
    for key in path:
        config = config[key]
    return config


def read_cleanly(config: Json) -> bool:
    """Whether the reader has nothing to say."""
    findings = Findings()
    try:
        root = Section.of(load_yaml(yaml.safe_dump(config).encode(), "config.yaml"), findings)
    except ConfigError:
        return False
    read_config(root, SnapshotFiles(Snapshot(FORMAT, "", "", {})), findings)
    return not findings.errors and not any("unknown key" in warning for warning in findings.warnings)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_every_shipped_pipeline_is_valid(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_everything_that_can_be_said_is_valid() -> None:
    assert len(SHIPPED) >= 1
    VALIDATOR.validate(WHOLE)
    VALIDATOR.validate(yaml.safe_load(CONFIG))
    assert read_cleanly(WHOLE)


@st.composite
def spoiled(draw: st.DrawFn) -> Json:
    """A configuration with one change: another value, a further key, or one that is taken away."""
    config = deepcopy(WHOLE)
    path = draw(st.sampled_from(paths(WHOLE)))
    found = at(config, path)
    if isinstance(found, dict) and draw(st.booleans()):
        if draw(st.booleans()) and found:
            del found[draw(st.sampled_from(sorted(found)))]
        else:
            found[draw(KEYS)] = draw(VALUES)
    elif path:
        at(config, path[:-1])[path[-1]] = draw(VALUES)
    return config


@settings(max_examples=300)
@given(spoiled())
def test_the_schema_takes_what_the_reader_takes(config: Json) -> None:
    assert VALIDATOR.is_valid(config) is read_cleanly(config)


@pytest.mark.parametrize("change", ["ask: ask.jinja2\nschemas", "ask: ask.json\nvalidation"])
def test_files_are_named_by_text(tmp_path: Path, change: str) -> None:
    config = CONFIG.replace(change, change.replace(change.split("\n")[0], "ask: [1]"))
    assert not VALIDATOR.is_valid(yaml.safe_load(config))
    with pytest.raises(ConfigError, match="must be text"):
        load_pipeline(write_quiz(tmp_path, config=config))


def test_the_schema_in_the_documentation_is_this_one() -> None:
    text = (ROOT / "docs" / "reference" / "pipeline.schema.json").read_text(encoding="utf-8")
    assert text == pipeline_schema_text() and decode(text.encode()) == pipeline_schema()
