"""`params` of a step: every key, every fault, the names that its system prompt and images need, and answers by a tool (OCT-56, OCT-82)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headgate.batch.evaluate import judge
from headgate.batch.pipeline import DEFAULT_COERCIONS, Rules, StepParams, StepTool
from headgate.batch.pipeline_files import snapshot
from headgate.batch.pipeline_load import load_pipeline, load_snapshot
from headgate.batch.reasons import Reason
from headgate.batch.rehearsal import rehearse
from headgate.batch.schemas import CompiledSchema
from headgate.batch.validate import CompiledRules, StepValidator
from headgate.domain.content import Block, Text, ToolCall
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import ConfigError
from headgate.testing.pipelines import CONFIG, ITEMS, write_quiz

WHOLE = """
        system: "You know {{ text }}"
        temperature: 0.5
        top_p: 1
        top_k: 5
        max_tokens: 9
        stop: [END]
        seed: 0
        presence_penalty: -1
        frequency_penalty: 0.5
        reasoning_effort: low
        thinking_budget: -1
        images: [text, "[id]"]
        tools:
          - {name: look, description: Look it up, parameters: {type: object}}
          - {name: record}
        tool_choice: auto
        answer_from: tool record
        native_schema: false
"""


def write(folder: Path, params: str, items: str = ITEMS) -> Path:
    place = "      prompt_template: ask.jinja2\n"
    config = CONFIG.replace(place, f"{place}      params:\n        {params.strip()}\n")
    return write_quiz(folder, config=config, items=items)


def test_every_key_is_read(tmp_path: Path) -> None:
    pipeline = load_pipeline(write(tmp_path, WHOLE))
    assert pipeline.step("ask").params == StepParams(
        system="You know {{ text }}",
        temperature=0.5,
        top_p=1.0,
        max_tokens=9,
        stop=("END",),
        native_schema=False,
        top_k=5,
        seed=0,
        presence_penalty=-1.0,
        frequency_penalty=0.5,
        reasoning_effort="low",
        thinking_budget=-1,
        images=("text", "[id]"),
        tools=(StepTool("look", "Look it up", {"type": "object"}), StepTool("record")),
        tool_choice="auto",
        answer_tool="record",
    )
    assert load_snapshot(snapshot(pipeline)) == pipeline


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("reasoning_effort: hihg", "config.yaml:7:9: 'reasoning_effort' cannot be 'hihg'"),
        ("thinking_budget: -2", "'thinking_budget' must be at least -1"),
        ("tools: [{name: a b, parameters: {type: object}}]", "'a b' cannot be the name of a tool"),
        ("tools: [{name: a}]", "tool 'a' needs 'parameters', a JSON Schema"),
        ("tools: [{name: a, parameters: {type: objekt}}]", "the parameters of tool 'a'"),
        ("tools: [{name: a, parameters: {}}, {name: a, parameters: {}}]", "two tools are called 'a'"),
        ("tools: [{name: a, parameters: {}, descripton: x}]", "did you mean 'description'?"),
        ("tool_choice: auto", "'tool_choice' needs 'tools'"),
        ("{tool_choice: b, tools: [{name: a, parameters: {}}]}", "'tool_choice' cannot be 'b'"),
        ("answer_from: text", "'answer_from' cannot be 'text'"),
        ("answer_from: tool a", "answer_from names 'a', which is no tool of the step"),
        ("system: '{{ txet }}'", "config.yaml, the system prompt of step 'ask':1:4: the system prompt of step 'ask' needs 'txet'"),
        ("system: '{% if %}'", "config.yaml, the system prompt of step 'ask':1:1: template: Expected an expression"),
        ("images: photo", "the image_1 of step 'ask' needs 'photo', which nothing before it provides"),
        ("images: ['photo.png']", "config.yaml:4:7: expression 'image_1': attribute 'png' is not allowed"),
        ("images: ['a b']", "config.yaml:4:7: expression 'image_1': not an expression"),
    ],
    ids=lambda value: value[:30],
)
def test_faults_carry_their_place(tmp_path: Path, params: str, message: str) -> None:
    config = write(tmp_path, params) / "config.yaml"
    if params.startswith("{"):
        config.write_text(config.read_text().replace("params:\n        {", "params: {"))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(config.parent)
    assert message in f"{caught.value} {caught.value.hint}"


def test_plain_text_is_no_template(tmp_path: Path) -> None:
    pipeline = load_pipeline(write(tmp_path, "system: Be kind, {text}"))
    assert set(pipeline.template_of) == {"ask"}


def test_a_system_prompt_may_include_a_file(tmp_path: Path) -> None:
    home = write(tmp_path, "system: \"{% include 'who.jinja2' %}\"")
    (home / "templates" / "who.jinja2").write_text("You are {{ text }}")
    pipeline = load_pipeline(home)
    assert "templates/who.jinja2" in pipeline.files
    assert load_snapshot(snapshot(pipeline)) == pipeline


def test_a_rehearsal_renders_system_prompts_and_looks_for_images(tmp_path: Path) -> None:
    rows = (("a", "a.png", 1), ("b", "b.png", 1), ("c", "a.png", 0))
    items = "questions:\n" + "".join(f"  - {{id: {id}, text: x, photo: {photo}, n: {n}}}\n" for id, photo, n in rows)
    home = write(tmp_path, "{system: '{{ 1 // n }}', images: photo}", items)
    config = home / "config.yaml"
    config.write_text(config.read_text().replace("params:\n        {", "params: {"))
    (home / "a.png").write_bytes(b"GIF89a")
    tried = asyncio.run(rehearse(load_pipeline(home), 10))
    assert {fault.unit: fault.message for fault in tried.faults} == {
        "b": f"image_1: there is no file 'b.png' in {home}",
        "c": "system: ZeroDivisionError: integer division or modulo by zero",
    }


VALIDATOR = StepValidator(
    CompiledSchema({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}, "s"),
    CompiledRules(Rules()),
    DEFAULT_COERCIONS,
)


def answer(*content: Block, finish: Finish = Finish.TOOL_CALLS) -> Response:
    return Response(choices=(Choice(content=content, finish=finish),))


@pytest.mark.parametrize(
    ("response", "reason", "n"),
    [
        (answer(ToolCall("1", "record", '{"n": 5}')), None, 5),
        (
            answer(Text("So be it:"), ToolCall("1", "look", "{}"), ToolCall("2", "record", '{"n": "5"}'), ToolCall("3", "record", "")),
            None,
            5,
        ),
        (answer(Text('{"n": 6}'), finish=Finish.STOP), None, 6),
        (answer(ToolCall("1", "record", '{"m": 5}')), Reason.SCHEMA, None),
        (answer(ToolCall("1", "record", '{"n": '), finish=Finish.LENGTH), Reason.TRUNCATED, None),
        (answer(ToolCall("1", "look", '{"n": 5}')), Reason.EMPTY, None),
        (answer(ToolCall("1", "record", "")), Reason.EMPTY, None),
    ],
)
def test_the_arguments_of_a_call_are_the_answer(response: Response, reason: Reason | None, n: int | None) -> None:
    judged = judge(response, VALIDATOR, {}, 0, "record")
    assert judged.reason == reason
    assert (judged.record or {}).get("n") == n


def test_a_call_that_is_no_answer_is_named() -> None:
    (problem,) = judge(answer(ToolCall("1", "look", '{"n": 5}')), VALIDATOR, {}, 0).problems
    assert problem.message == "the answer has no text, but a call of look"
