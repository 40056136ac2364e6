"""Every complaint about a pipeline says where: file, line and column; and what is found between its steps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headgate.batch.config_reader import Faults
from headgate.batch.pipeline_files import FolderFiles
from headgate.batch.pipeline_load import STAGES, build_pipeline, load_pipeline
from headgate.errors import ConfigError
from headgate.testing.pipelines import CONFIG, SCHEMA, TEMPLATE, write_quiz

PLACE = re.compile(r"[^:]+/(?:config\.yaml|items\.yaml|templates/ask\.jinja2|schemas/ask\.json):\d+:\d+$")
ROLL = '    - name: roll\n      scope: expression\n      expressions:\n        n: "%s"\n    - name: ask\n'


def with_step(source: str) -> str:
    return CONFIG.replace("    - name: ask\n", ROLL % source)


def found(folder: Path, **parts: str) -> tuple[ConfigError, ...]:
    with pytest.raises(ConfigError) as caught:
        load_pipeline(write_quiz(folder, **parts))
    return caught.value.found if isinstance(caught.value, Faults) else (caught.value,)


WRONG: dict[str, dict[str, str]] = {
    "no mapping": {"config": "[]"},
    "no yaml": {"config": "a: [1"},
    "not utf-8 or too long": {"config": "a: " + "x" * (1 << 20)},
    "section missing": {"config": CONFIG.replace("processing:", "procesing:")},
    "wrong type": {"config": CONFIG.replace("chunk_size: 10", "chunk_size: ten")},
    "wrong word": {"config": CONFIG.replace("strategy: direct", "strategy: direkt")},
    "link": {"config": CONFIG.replace("validation:\n  ask:", "validation:\n  aks:")},
    "no template": {"config": CONFIG.replace("    ask: ask.jinja2", "    ask: asj.jinja2")},
    "template syntax": {"template": "{% if %}"},
    "template name": {"template": "one\n  {{ txt }}\n"},
    "template include": {"template": "{% include 'other' %}"},
    "schema syntax": {"schema": "{"},
    "schema meaning": {"schema": '{"type": "strange"}'},
    "schema reference": {"schema": '{"$ref": "https://example.com/x"}'},
    "items missing": {"config": CONFIG.replace("source: items.yaml", "source: itemz.yaml")},
    "items without id": {"items": "questions:\n  - {text: a}\n"},
    "items twice": {"items": "questions:\n  - {id: a, text: b}\n  - {id: a, text: c}\n"},
    "expression syntax": {"config": with_step("1 +")},
    "expression name": {"config": with_step("txt + 'x'")},
    "when": {"config": CONFIG.replace("    - name: ask\n", "    - name: ask\n      when: txt > 1\n")},
    "rule": {"config": CONFIG + '    rules: [{expr: "anser > 1"}]\n'},
    "rule syntax": {"config": CONFIG + '    rules: [{expr: "1 +"}]\n'},
    "prompt value": {"config": CONFIG.replace("  chunk_size: 10\n", "  chunk_size: 10\n  expressions:\n    a: 1 +\n")},
    "prompt value name": {"config": CONFIG.replace("  chunk_size: 10\n", "  chunk_size: 10\n  expressions:\n    a: txt\n")},
    "retry from": {"config": CONFIG.replace("    - name: ask\n", "    - name: ask\n      retry_from: aks\n")},
}


@pytest.mark.parametrize("parts", WRONG.values(), ids=list(WRONG))
def test_every_error_has_its_place(tmp_path: Path, parts: dict[str, str]) -> None:
    for error in found(tmp_path, **parts):
        assert error.where is not None and PLACE.fullmatch(error.where), error.message
        assert error.message.startswith(f"{error.where}: ")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("expression syntax", "config.yaml:7:9"),
        ("expression name", "config.yaml:7:9"),
        ("when", "config.yaml:5:7"),
        ("prompt value", "config.yaml:12:5"),
        ("prompt value name", "config.yaml:12:5"),
        ("template name", "ask.jinja2:2:6"),
    ],
)
def test_it_is_the_very_place(tmp_path: Path, name: str, place: str) -> None:
    (error,) = found(tmp_path, **WRONG[name])
    assert error.where is not None and error.where.endswith(place)


def test_what_comes_later_is_named(tmp_path: Path) -> None:
    roll = '    - {name: roll, scope: expression, expressions: {n: "1"}}\n'
    config = CONFIG.replace("      prompt_template: ask.jinja2\n", f"      prompt_template: ask.jinja2\n{roll}")
    (error,) = found(tmp_path, config=config, template="{{ text }} {{ n }}\n")
    assert "the template of step 'ask' needs 'n', which only a later step, 'roll', provides" in error.message
    assert error.hint == "change the order of the steps"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("--group-by, answer", None),
        ("--group-by, anwser", "did you mean 'answer'?"),
        ("--group-by=anwser", "looks at 'anwser', which no result has"),
        ("--numeric-field, 'answer.length,text'", None),
        ("--count-field, 'text,nothing'", "looks at 'nothing', which no result has"),
        ("--other, nothing", None),
    ],
)
def test_a_report_over_what_no_result_has_is_a_warning(tmp_path: Path, args: str, told: str | None) -> None:
    config = CONFIG + f"post_process:\n  - {{name: report, script: analyze_results, args: [{args}]}}\n"
    warnings = load_pipeline(write_quiz(tmp_path, config=config)).warnings
    if told is None:
        assert warnings == ()
    else:
        (warning,) = warnings
        assert told in warning and re.match(r".*/config\.yaml:\d+:\d+: post_process 'report'", warning)


def test_an_answer_that_may_have_more_makes_it_a_doubt(tmp_path: Path) -> None:
    config = CONFIG + "post_process:\n  - {name: report, script: analyze_results, args: [--group-by, more]}\n"
    schema = SCHEMA.replace(', "additionalProperties": false', "")
    (warning,) = load_pipeline(write_quiz(tmp_path, config=config, schema=schema)).warnings
    assert warning.endswith("which no result has unless an answer has it")


@pytest.mark.parametrize(
    ("parts", "passed"),
    [
        ({}, 4),
        ({"template": "{{ txt }}"}, 3),
        ({"schema": "{"}, 2),
        ({"config": CONFIG.replace("validation:\n  ask:", "validation:\n  aks:")}, 1),
        ({"config": "[]"}, 0),
    ],
)
def test_what_was_looked_at_is_told(tmp_path: Path, parts: dict[str, str], passed: int) -> None:
    done: list[str] = []
    try:
        build_pipeline(FolderFiles(write_quiz(tmp_path, **{"template": TEMPLATE, **parts})), done)
    except ConfigError:
        assert passed < len(STAGES)
    assert done == list(STAGES)[:passed]
