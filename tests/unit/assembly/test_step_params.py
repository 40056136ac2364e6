"""Whole runs with everything a step can say to its model, over simulated providers in both lanes (OCT-82, IMP-14)."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from headgate.cli import main
from headgate.providers import PROVIDERS
from headgate.sim import tokens
from headgate.sim.server import Simulator
from headgate.testing.clock import Clock, ScaledClock
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import JsonObject

pytest_plugins = ["headgate.testing.pytest_plugin"]

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 60
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"answer": {"type": "string"}, "mood": {"type": "string"}},
        "required": ["answer", "mood"],
        "additionalProperties": False,
    }
)
PARAMS = """
      params:
        system: "mood: {{ temper | upper }}"
        seed: 5
        images: [photo, "[extra, photo] if deep else None"]
        tools:
          - {name: record, description: Write it down}
        answer_from: tool record
        max_tokens: 500
"""
ITEMS = "questions:\n" + "".join(
    f"  - {{id: q{n}, text: question {n}, temper: calm, deep: {str(n == 0).lower()}, photo: a.png, extra: pictures/b.png}}\n"
    for n in range(3)
)
SIMULATED = [provider.name for provider in PROVIDERS.values() if provider.simulated]
IN_BATCHES = [name for name in SIMULATED if PROVIDERS[name].batch is not None and name != "sim-bedrock"]
LANES = [*((name, "realtime") for name in SIMULATED), *((name, "batch") for name in IN_BATCHES)]


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of a minute is over in a seventh of a second."""
    return ScaledClock(time.time(), 400.0)


def write(folder: Path, params: str = PARAMS, items: str = ITEMS) -> Path:
    config = CONFIG.replace("      prompt_template: ask.jinja2\n", f"      prompt_template: ask.jinja2{params}")
    home = write_quiz(folder, config=config, items=items, schema=SCHEMA, template="answer: {{ text }}\n")
    (home / "pictures").mkdir()
    for name in ("a.png", "pictures/b.png"):
        (home / name).write_bytes(PNG)
    return home


def run(*arguments: str) -> int:
    code = main(["run", "Quiz", "-r", "one", "--grace", "0.3", *arguments])
    logging.getLogger("dbos").handlers.clear()
    return code


def lines(folder: Path, name: str) -> list[JsonObject]:
    text = (folder / "runs" / "one" / "outputs" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(("provider", "mode"), LANES)
def test_everything_arrives(headgate_environment: Path, headgate_sim: Simulator, provider: str, mode: str) -> None:
    write(headgate_environment)
    assert run("-p", provider, "--mode", mode) == 0
    assert lines(headgate_environment, "failures") == []
    found = lines(headgate_environment, "results")
    assert [(one["answer"], one["mood"]) for one in found] == [(f"question {n}", "CALM") for n in range(3)]
    counted = sorted(one["usage"]["input_total"] for one in lines(headgate_environment, "receipts"))
    assert counted[2] - counted[0] - 2 * tokens.IMAGE_TOKENS in (0, 1)


def test_a_picture_that_is_not_there_fails_its_unit_alone(headgate_environment: Path, headgate_sim: Simulator) -> None:
    *others, last = ITEMS.splitlines(keepends=True)
    home = write(headgate_environment, items="".join((*others, last.replace("a.png", "z.png"))))
    (home / "pictures" / "b.png").unlink()
    (home / "pictures" / "b.png").symlink_to(home / "a.png")
    assert run() == 0
    told = {one["unit_id"]: (one["failure_stage"], one["errors"][0]["message"]) for one in lines(headgate_environment, "failures")}
    assert told == {
        "q0": ("render_error", "image_2: 'pictures/b.png' leads over a symbolic link or no folder"),
        "q2": ("render_error", f"image_1: there is no file 'z.png' in {headgate_environment}/runs/one/input or {home}"),
    }


def test_a_model_that_takes_no_images_is_refused_at_once(
    headgate_environment: Path, headgate_sim: Simulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(headgate_environment)
    monkeypatch.setattr("headgate.assembly.runs.cannot", lambda step, can: "takes no images")
    assert run() == 3
    assert "step 'ask': sim-openai/sim-small takes no images" in capsys.readouterr().err
    assert headgate_sim.requests == []


def test_what_a_provider_does_not_take_is_told_once(
    headgate_environment: Path, headgate_sim: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    write(headgate_environment, params="\n      params: {seed: 5, presence_penalty: 1}\n")
    assert run("-p", "sim-anthropic") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "as it was asked for" in line]
    assert len(told) == 1
    assert "seed of step 'ask' was dropped" in told[0] and "presence_penalty of step 'ask' was dropped" in told[0]
