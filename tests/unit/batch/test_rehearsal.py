"""A pipeline tried without a call: what its first units become, and what would keep them from going on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headgate.batch.pipeline_load import load_pipeline
from headgate.batch.rehearsal import Fault, Rehearsal, rehearse
from headgate.testing.pipelines import CONFIG, ITEMS, write_quiz

ROLL = '    - name: roll\n      scope: expression\n      expressions: {n: "len(text) + %s"}\n    - name: ask\n'


def tried(folder: Path, units: int = 10, **parts: str) -> Rehearsal:
    return asyncio.run(rehearse(load_pipeline(write_quiz(folder, **parts)), units))


def test_the_first_prompts_are_written(tmp_path: Path) -> None:
    found = tried(tmp_path, 4)
    assert (found.units, found.steps, found.faults) == (4, ("ask",), ())
    assert found.prompt == "Answer this. answer: question 0\n"
    assert found.prompts == 4 * len(found.prompt)


def test_more_units_than_there_are(tmp_path: Path) -> None:
    assert tried(tmp_path, 100).units == 6


def test_none_are_tried(tmp_path: Path) -> None:
    assert tried(tmp_path, 0) == Rehearsal(0, ("ask",), ())


def test_what_is_computed_before_is_in_the_prompt(tmp_path: Path) -> None:
    config = CONFIG.replace("    - name: ask\n", ROLL % "1")
    found = tried(tmp_path, 1, config=config, template="{{ text }} has {{ n }}\n")
    assert (found.steps, found.prompt) == (("roll", "ask"), "question 0 has 11\n")


def test_a_unit_that_cannot_be_computed_is_named(tmp_path: Path) -> None:
    config = CONFIG.replace("    - name: ask\n", ROLL % "(1 // (id != 'q1'))")
    found = tried(tmp_path, 3, config=config)
    (fault,) = found.faults
    assert (fault.step, fault.unit) == ("roll", "q1")
    assert fault.message.startswith("n: ")


def test_a_unit_without_a_prompt_is_named(tmp_path: Path) -> None:
    items = ITEMS.replace("text: question 2", "text: question 2\n    more: yes")
    found = tried(tmp_path, 6, items=items, template="{{ more }} answer: {{ text }}\n")
    assert {fault.unit for fault in found.faults} == {"q0", "q1", "q3", "q4", "q5"}
    assert "'more' is undefined" in found.faults[0].message


@pytest.mark.parametrize(("scope", "steps"), [("sample, count: 2", ()), ("run, script: x.py", ("ask",))])
def test_it_ends_where_it_cannot_go_on(tmp_path: Path, scope: str, steps: tuple[str, ...]) -> None:
    """What is done once comes after all units, wherever it is written."""
    step = f"    - {{name: odd, scope: {scope}}}\n    - name: ask\n"
    assert tried(tmp_path, config=CONFIG.replace("    - name: ask\n", step)).steps == steps


def test_it_goes_through_a_fan_out(tmp_path: Path) -> None:
    items = ITEMS.replace("text: question 2", "text: question 2\n    parts: [a, b]")
    step = "    - {name: split, scope: fan_out, field: parts, child_field: part}\n    - name: ask\n"
    config = CONFIG.replace("    - name: ask\n", step)
    found = tried(tmp_path, 6, config=config, items=items, template="answer: {{ part }}\n")
    assert (found.units, found.steps, found.faults, found.prompt) == (6, ("split", "ask"), (), "answer: a\n")


def test_a_unit_that_passes_a_step_needs_no_prompt(tmp_path: Path) -> None:
    config = CONFIG.replace("    - name: ask\n", "    - name: ask\n      when: text.endswith('3')\n")
    found = tried(tmp_path, 6, config=config, template="answer: {{ text }}\n")
    assert (found.prompt, found.prompts) == ("answer: question 3\n", len("answer: question 3\n"))


def test_a_value_for_the_prompt_that_fails(tmp_path: Path) -> None:
    config = CONFIG.replace("  chunk_size: 10\n", "  chunk_size: 10\n  expressions: {half: '1 // (len(text) - 10)'}\n")
    found = tried(tmp_path, 1, config=config, template="{{ half }} answer: {{ text }}\n")
    assert found.faults == (Fault("ask", "q0", found.faults[0].message),)
    assert "processing.expressions.half" in found.faults[0].message
