"""Opening, finding and reading runs; what a whole run does is shown by the command's tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from headgate.assembly.demo import run_bill, simulated, usage_of
from headgate.assembly.demo_results import walk_outcomes
from headgate.assembly.parts import load_parts
from headgate.assembly.runs import RunRequest, drive_run, find_run, open_run, options, pipeline_roots, read_run, run_folder
from headgate.assembly.status import read_status
from headgate.assembly.status_json import status_json
from headgate.batch.control import Control
from headgate.batch.home import Home, HomeLocked
from headgate.batch.lanes import Deadline
from headgate.batch.pipeline_load import find_pipeline
from headgate.batch.states import RunState
from headgate.domain.usage import Usage
from headgate.errors import ConfigError, HeadgateError, UsageError
from headgate.sim.server import Simulator
from headgate.testing.pipelines import CONFIG, write_quiz

pytest_plugins = ["headgate.testing.pytest_plugin"]

pytestmark = pytest.mark.usefixtures("headgate_environment")

QUIZ = RunRequest(pipeline="Quiz", run="one")


def asked(**changes: object) -> RunRequest:
    return msgspec.structs.replace(QUIZ, **changes)


def test_a_run_is_planned_before_anything_is_asked(headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    opened = open_run(load_parts(), asked(max_units=3, seed="s", max_cost_nanos=5, concurrency=2))
    try:
        assert (opened.plan.run_id, opened.resumed) == ("one", False)
        assert {name: target.name for name, target in opened.plan.targets.items()} == {"ask": "sim-openai/sim-small"}
        assert (opened.plan.max_units, opened.plan.seed, opened.plan.cost_cap_nanos, opened.plan.options.concurrency) == (3, "s", 5, 2)
        assert headgate_sim.requests == []
    finally:
        opened.home.release()


def test_two_processes_never_drive_one_run(headgate_environment: Path) -> None:
    write_quiz(headgate_environment)
    opened = open_run(load_parts(), QUIZ)
    try:
        with pytest.raises(HomeLocked) as caught:
            open_run(load_parts(), QUIZ)
        assert "is driven by process" in caught.value.message
    finally:
        opened.home.release()


def test_a_run_without_a_name_is_named_after_its_pipeline(headgate_environment: Path) -> None:
    write_quiz(headgate_environment)
    opened = open_run(load_parts(), asked(run=None))
    opened.home.release()
    assert opened.plan.run_id.startswith("quiz-")
    assert opened.home.folder.parent == headgate_environment / "runs"


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"mode": "weekly"}, UsageError, "unknown mode 'weekly'"),
        ({"pipeline": "Quzi"}, ConfigError, "there is no pipeline 'Quzi'"),
        ({"provider": "openay"}, ConfigError, "did you mean openai?"),
        ({"model": "sim-anthropic/sim-smal"}, ConfigError, "did you mean sim-small?"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_run(headgate_environment: Path, changes: dict[str, str], error: type[HeadgateError], told: str) -> None:
    write_quiz(headgate_environment)
    with pytest.raises(error) as caught:
        open_run(load_parts(), asked(**changes))
    assert told in str(caught.value) + str(caught.value.hint)
    assert not (headgate_environment / "runs").exists()


def test_overriding_the_provider_is_told(headgate_environment: Path) -> None:
    write_quiz(headgate_environment, config=CONFIG.replace("provider: sim-openai", "provider: sim-openai\n  model: sim-large"))
    opened = open_run(load_parts(), asked(provider="sim-anthropic"))
    opened.home.release()
    assert opened.plan.overridden == frozenset({"ask"})
    assert {target.name for target in opened.plan.targets.values()} == {"sim-anthropic/sim-large"}


def test_a_pipeline_that_is_ones_own_goes_before_the_shipped_one(headgate_environment: Path) -> None:
    assert find_pipeline("DrunkenSailor", pipeline_roots()).name == "DrunkenSailor"
    mine = write_quiz(headgate_environment, name="DrunkenSailor", config=CONFIG.replace("name: Quiz", "name: DrunkenSailor"))
    assert Path(find_pipeline("DrunkenSailor", pipeline_roots()).folder) == mine


def test_folders_of_runs(headgate_environment: Path) -> None:
    parts = load_parts()
    assert run_folder(parts, "one") == headgate_environment / "runs" / "one"
    assert run_folder(parts, "elsewhere/one") == headgate_environment / "elsewhere" / "one"
    assert run_folder(parts, str(headgate_environment / "x")) == headgate_environment / "x"
    for name in ("", "a b", "-x", ".hidden", "x" * 200, "a\x00b"):
        with pytest.raises(UsageError):
            run_folder(parts, name)


def test_a_run_that_is_not_there() -> None:
    with pytest.raises(UsageError) as caught:
        find_run(load_parts(), "one")
    assert caught.value.hint is not None and caught.value.hint.startswith("headgate run")


def test_options_come_from_the_command_else_the_pipeline(headgate_environment: Path) -> None:
    write_quiz(headgate_environment, config=CONFIG.replace("provider: sim-openai", "provider: sim-openai\n  realtime:\n    concurrency: 3"))
    pipeline = find_pipeline("Quiz", pipeline_roots())
    assert options(QUIZ, pipeline, "batch", {}, 0.0).concurrency == 3
    assert options(QUIZ, pipeline, "batch", {}, 0.0).mode == "batch"
    assert options(asked(concurrency=9, grace=0.5), pipeline, "realtime", {}, 0.0).concurrency == 9
    assert options(asked(grace=0.5, deadline=60.0), pipeline, "realtime", {}, 5.0).deadline == Deadline(65.0, 5.0)
    assert options(asked(grace=0.5), pipeline, "realtime", {}, 0.0).grace == 0.5


def test_the_books_of_a_finished_run(headgate_environment: Path, headgate_sim: Simulator) -> None:
    """A few walks: the run's own totals, the status and the bill of the provider say the same."""
    parts = simulated(load_parts(), headgate_sim.url)
    opened = open_run(parts, RunRequest(pipeline="DrunkenSailor", provider="sim-gemini", run="walk", max_units=4, seed="1"))
    result = asyncio.run(drive_run(parts, opened, lambda progress: None, Control()))
    assert (result.state, result.exit_code) == (RunState.COMPLETE, 0)
    folder = headgate_environment / "runs" / "walk"
    assert not Home(folder).locked()

    bill = run_bill(folder)
    assert bill.calls == 4
    assert bill.spent == bill.at_realtime == headgate_sim.bill.total
    assert bill.at_batch is not None and abs(2 * bill.at_batch - bill.spent) <= bill.calls
    assert bill.usage.input_total == sum(line.usage.input for line in headgate_sim.bill.lines)

    outcomes = walk_outcomes(folder)
    assert outcomes.walks == sum(count for _, count, _ in outcomes.shares) == 4
    assert outcomes.theory.upper_share == 0.5
    assert outcomes.steps.low <= outcomes.steps.value <= outcomes.steps.high

    row, steps = read_run(folder)
    assert (row.id, [step.name for step in steps]) == ("walk", ["random_walk", "analyze"])
    status = read_status(find_run(parts, "wa"))
    assert (status.state, status.driven, status.spent, status.held, status.problems) == ("complete", False, bill.spent, 0, ())
    assert msgspec.json.decode(msgspec.json.encode(status_json(status)))["units"] == 4
    assert all(step.started == step.valid + step.failed + step.pending for step in status.steps)


def test_usage_as_it_is_stored() -> None:
    stored = {"input_uncached": 3, "output_text": 4, "source": "estimated", "fees": {"web_search": 1}, "later": 9}
    assert usage_of(stored) == Usage(input_uncached=3, output_text=4, source="estimated", fees={"web_search": 1})
