"""The requests of a few units, made before a run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.pipeline_load import load_pipeline
from headgate.batch.sampling import FIRST, REACH, SPREAD, Fan, Sampled, places, sample_pipeline
from headgate.client import Credential, Target
from headgate.client.addresses import NO_KEY
from headgate.providers import PROVIDERS
from headgate.testing.pipelines import CONFIG, ITEMS, write_quiz
from headgate.transport.settings import Origin

SECOND = """\
    - name: ask
      prompt_template: ask.jinja2
    - name: again
"""
TWO = (
    CONFIG.replace("    - name: ask\n      prompt_template: ask.jinja2\n", SECOND)
    .replace("    ask: ask.jinja2\n", "    ask: ask.jinja2\n    again: again.jinja2\n")
    .replace("    ask: ask.json\n", "    ask: ask.json\n    again: ask.json\n")
    .replace("    required: [answer]\n", "    required: [answer]\n  again: {}\n")
)
FAN = "    - {name: split, scope: fan_out, field: %s, child_field: part}\n"


def target(name: str = "sim-openai", model: str = "sim-small") -> Target:
    return Target(PROVIDERS[name], model, Credential("default", NO_KEY), Origin("https", "nowhere.invalid", 443))


def sampled(folder: Path, *, again: str = "", max_units: int | None = None, **parts: str) -> Sampled:
    home = write_quiz(folder, **parts)
    if again:
        (home / "templates" / "again.jinja2").write_text(again)
    pipeline = load_pipeline(home)
    return asyncio.run(sample_pipeline(pipeline, {step.name: target() for step in pipeline.llm_steps}, max_units))


@given(st.integers(0, 10**12), st.integers(0, 20), st.integers(0, 20))
def test_places_are_the_first_and_some_that_lie_apart(total: int, first: int, spread: int) -> None:
    found = places(total, first, spread)
    assert list(found) == sorted(set(found)) and len(found) <= first + spread
    assert all(0 <= place < total for place in found)
    assert set(range(min(first, total))) <= set(found)
    if spread > 1 and total > 10 * spread:
        assert found[-1] >= min(total, REACH) // 2


def test_every_request_of_the_first_step_is_real(tmp_path: Path) -> None:
    found = sampled(tmp_path)
    (step,) = found.steps.values()
    assert (found.units, len(step.sizes), step.made_up, found.faults) == (6, 6, False, ())
    assert step.prompt == "Answer this. answer: question 0\n"
    assert min(step.sizes) > len(step.prompt) and found.record_bytes > 20


def test_units_are_looked_at_from_all_over_the_run(tmp_path: Path) -> None:
    config = CONFIG.replace("  chunk_size: 10\n", "  chunk_size: 10\n  repeat: 100\n")
    assert sampled(tmp_path, config=config).units == FIRST + SPREAD - 1
    assert sampled(tmp_path, config=config, max_units=4).units == 4


def test_what_comes_behind_an_answer_is_made_up(tmp_path: Path) -> None:
    found = sampled(tmp_path, config=TWO, again="Is this right? {{ answer }} ({{ text }})\n")
    assert [step.made_up for step in found.steps.values()] == [False, True]
    assert found.steps["again"].prompt.endswith("(question 0)\n")
    assert "a few plain words" in found.steps["again"].prompt


def test_a_prompt_that_cannot_be_made_of_made_up_answers_is_no_fault(tmp_path: Path) -> None:
    found = sampled(tmp_path, config=TWO, again="{{ 1 // (answer | length - answer | length) }}\n")
    assert (found.steps["again"].sizes, found.faults) == ((), ())
    broken = sampled(tmp_path, template="{{ text.nothing.more }}\n")
    assert {fault.unit for fault in broken.faults} == {f"q{n}" for n in range(6)}


@pytest.mark.parametrize(
    ("schema", "fan"),
    [
        ('{"properties": {"answer": {"type": "array", "minItems": 2, "maxItems": 8, "items": {}}}}', Fan("schema", 2, 5.0, 8)),
        ('{"properties": {"answer": {"type": "array", "minItems": 2, "items": {}}}}', Fan("schema", 2, None, None)),
        ('{"properties": {"answer": {"type": "array"}}}', Fan("assumed")),
        ('{"properties": {"answer": {"type": "string"}}}', Fan("assumed")),
    ],
)
def test_a_fan_out_of_an_answer_is_read_from_its_schema(tmp_path: Path, schema: str, fan: Fan) -> None:
    config = TWO.replace("    - name: again\n", FAN % "answer" + "    - name: again\n")
    found = sampled(tmp_path, config=config, schema=schema, again="{{ part }}\n")
    assert found.fans == {"split": fan}


def test_a_fan_out_of_the_items_is_counted(tmp_path: Path) -> None:
    items = "".join(f"  - {{id: q{n}, text: question, parts: {list(range(n))}}}\n" for n in (1, 4))
    config = CONFIG.replace("    - name: ask\n", FAN % "parts" + "    - name: ask\n")
    found = sampled(tmp_path, config=config, items=f"questions:\n{items}", template="answer: {{ part }} of {{ text }}\n")
    assert found.fans == {"split": Fan("counted", 1, 2.5, 4)}
    assert len(found.steps["ask"].sizes) == 5


def test_what_is_computed_is_in_the_requests(tmp_path: Path) -> None:
    roll = "    - name: roll\n      scope: expression\n      expressions: {n: \"1 // (id != 'q1')\"}\n    - name: ask\n"
    found = sampled(tmp_path, config=CONFIG.replace("    - name: ask\n", roll), template="{{ n }} {{ text }}\n", items=ITEMS)
    assert [(fault.step, fault.unit) for fault in found.faults] == [("roll", "q1")]
    assert len(found.steps["ask"].sizes) == 5


def shaped(folder: Path, steps: str, template: str, items: str = ITEMS, max_units: int | None = None) -> Sampled:
    return sampled(
        folder, config=CONFIG.replace("    - name: ask\n", f"{steps}    - name: ask\n"), template=template, items=items, max_units=max_units
    )


def test_children_come_together_again(tmp_path: Path) -> None:
    items = "questions:\n  - {id: a, parts: [1, 2, 3]}\n  - {id: b, parts: [4]}\n"
    steps = FAN % "parts" + "    - {name: back, scope: fan_in, field: parts}\n"
    found = shaped(tmp_path, steps, "answer: {{ parts | length }}\n", items)
    assert found.steps["ask"].prompt == "answer: 3\n" and len(found.steps["ask"].sizes) == 2


def test_groups_and_copies_are_counted(tmp_path: Path) -> None:
    items = "questions:\n" + "".join(f"  - {{id: q{n}, text: x, mood: m{n % 2}}}\n" for n in range(40))
    steps = "    - {name: group, scope: aggregate, group_by: [mood], field: texts}\n"
    found = shaped(tmp_path, steps, "answer: {{ mood }} {{ texts | length }}\n", items)
    assert found.groups == {"group": (found.units, 2)}
    assert len(found.steps["ask"].sizes) == 2 and found.steps["ask"].grown == 40 / found.units
    alone = shaped(tmp_path, "    - {name: once, scope: dedupe, by: [mood]}\n", "answer: {{ mood }}\n", items)
    assert alone.groups == {"once": (alone.units, 2)} and alone.steps["ask"].grown == 1.0


def test_units_that_pass_a_step_by_are_not_asked(tmp_path: Path) -> None:
    config = CONFIG.replace("    - name: ask\n", "    - name: ask\n      when: id != 'q0' and id != 'q1'\n")
    found = sampled(tmp_path, config=config)
    assert (len(found.steps["ask"].sizes), found.steps["ask"].share) == (4, 4 / 6)
