"""Ranges of units, calls, tokens, money and time."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.forecast import FAN_OUT, ONCE, Forecast, Inputs, Range, ends_of, forecast, forecast_json
from headgate.batch.lessons import Lesson, Lessons, Moments
from headgate.batch.pipeline import Pipeline
from headgate.batch.pipeline_load import load_pipeline
from headgate.batch.sampling import Fan, Sampled, StepSample
from headgate.catalog.cards import ModelCard, Price, Rates, sealed
from headgate.client import Credential, Target
from headgate.client.addresses import NO_KEY
from headgate.domain.capabilities import Capabilities
from headgate.providers import PROVIDERS
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.transport.settings import Origin

DAY = "2026-11-30"
PRICE = sealed("x/m", Price(since="2026-01-01", source="a page", rates=Rates(input="1", output="10"), batch_factor="0.5"))
CARD = ModelCard(id="m", display_name="M", prices=(PRICE,), capabilities=Capabilities(max_output=1000, batch=True))
FANNED = CONFIG.replace("    - name: ask\n", "    - {name: split, scope: fan_out, field: text}\n    - name: ask\n")


def target(card: ModelCard | None = CARD, provider: str = "openai") -> Target:
    return Target(PROVIDERS[provider], "m", Credential("default", NO_KEY), Origin("https", "nowhere.invalid", 443), card)


@pytest.fixture(scope="module")
def quiz(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return load_pipeline(write_quiz(tmp_path_factory.mktemp("quiz")))


@pytest.fixture(scope="module")
def fanned(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return load_pipeline(write_quiz(tmp_path_factory.mktemp("fanned"), config=FANNED))


def made(pipeline: Pipeline, **changes: object) -> Forecast:
    usual = Inputs(
        pipeline=pipeline,
        targets={"ask": target()},
        sampled=Sampled(6, {"ask": StepSample((4000, 4000))}, {}, ()),
        lessons={},
        mode="realtime",
        day=DAY,
        concurrency=2,
    )
    return forecast(msgspec.structs.replace(usual, **changes))


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    return Range(*sorted(draw(st.lists(st.floats(0, 1e6), min_size=3, max_size=3))))


@given(ranges(), ranges())
def test_sums_and_products_of_ranges_are_ranges(one: Range, other: Range) -> None:
    for found in (one * other, one + other, one.over(3.0), one.at_most(10.0)):
        assert found.low <= found.likely <= found.high
    assert one * ONCE == one and one + other == other + one
    assert max(ends_of(one.at_most(10.0))) <= 10.0


def test_tokens_come_from_the_requests_and_the_schema(quiz: Pipeline) -> None:
    found = made(quiz)
    (step,) = found.steps
    assert (found.units, step.units, step.model) == (6, Range(6, 6, 6), "openai/m")
    assert step.input_tokens == Range(800.0, 1000.0, 1250.0)
    assert step.output_tokens.low < step.output_tokens.likely < step.output_tokens.high < 300
    assert "2 prompts" in step.source
    assert found.calls.likely == 6 < found.calls.high


def test_money_is_tokens_times_prices_and_half_in_a_batch(quiz: Pipeline) -> None:
    found = made(quiz)
    (step,) = found.steps
    realtime, batch = found.cost["realtime"], found.cost["batch"]
    assert realtime is not None and batch is not None
    assert realtime.likely == 6 * (1000 * 1000 + round(step.output_tokens.likely) * 10_000)
    assert batch.likely * 2 == pytest.approx(realtime.likely)
    assert found.saving == pytest.approx(0.5)
    for lane in ("realtime", "batch"):
        bound, cost = found.bound[lane], found.cost[lane]
        assert bound is not None and cost is not None and cost.high <= bound


def test_what_has_no_price_is_unknown_and_never_free(quiz: Pipeline) -> None:
    found = made(quiz, targets={"ask": target(None)})
    assert (found.cost, found.bound) == ({"realtime": None, "batch": None}, {"realtime": None, "batch": None})
    assert found.unpriced == {"realtime": ("openai/m",), "batch": ("openai/m",)}
    assert forecast_json(found)["cost_usd"] == {"realtime": None, "batch": None}
    realtime_only = msgspec.structs.replace(CARD, prices=(msgspec.structs.replace(PRICE, batch_factor=None),))
    found = made(quiz, targets={"ask": target(realtime_only)})
    assert found.cost["realtime"] is not None and found.cost["batch"] is None and found.saving is None


def test_a_provider_without_batches_has_no_time_for_one(quiz: Pipeline) -> None:
    found = made(quiz, targets={"ask": target(provider="ollama")})
    assert set(found.seconds) == {"realtime"} and found.cost["batch"] is None


def test_earlier_runs_know_better(quiz: Pipeline) -> None:
    seen = Moments(100, 100 * 50.0, 100 * 2500.0)
    lessons: Lessons = {("ask", "openai/m"): Lesson(units=80, input=seen, output=seen, seconds=Moments(100, 300.0))}
    (step,) = made(quiz, lessons=lessons).steps
    assert (step.input_tokens.likely, step.output_tokens.likely, step.seconds.likely) == (50.0, 50.0, 3.0)
    assert step.calls.likely == 6 * 100 / 80
    assert step.source == "100 calls of an earlier run"
    (other,) = made(quiz, lessons={("ask", "openai/other"): lessons["ask", "openai/m"]}).steps
    assert other.input_tokens.likely == 1000.0


@pytest.mark.parametrize(
    ("changes", "factor", "guessed"),
    [
        ({}, FAN_OUT, True),
        ({"fan_out": 7.0}, Range(7, 7, 7), False),
        ({"lessons": {("split", ""): Lesson(units=10, children=90)}}, Range(7.2, 9.0, 11.25), False),
        ({"fans": {"split": Fan("schema", 2, 5.0, 8)}}, Range(2, 5, 8), True),
        ({"fans": {"split": Fan("schema", 30, None, None)}}, Range(30, 30, 30), True),
        ({"fans": {"split": Fan("counted", 1, 2.5, 4)}}, Range(1, 2.5, 4), False),
    ],
    ids=["assumed", "given", "learned", "schema", "least", "counted"],
)
def test_a_fan_out_multiplies_what_comes_behind_it(fanned: Pipeline, changes: dict[str, object], factor: Range, guessed: bool) -> None:
    """USR-03: a run of 5,281 units became one of 51,712."""
    fans = changes.pop("fans", {})
    sampled = Sampled(6, {"ask": StepSample((4000,))}, fans, ())  # type: ignore[arg-type]
    found = made(fanned, sampled=sampled, **changes)
    split, ask = found.steps
    assert split.units == Range(6, 6, 6)
    assert ends_of(ask.units) == pytest.approx(ends_of(split.units * factor))
    assert any("a guess" in note for note in found.notes) is guessed


def test_an_answer_is_no_longer_than_it_may_be(tmp_path: Path) -> None:
    config = CONFIG.replace("  provider: sim-openai\n", "  provider: sim-openai\n  max_tokens: 9\n")
    found = made(load_pipeline(write_quiz(tmp_path, config=config)))
    assert max(ends_of(found.steps[0].output_tokens)) == 9


def test_a_model_that_always_thinks_is_said_to(quiz: Pipeline) -> None:
    card = msgspec.structs.replace(CARD, capabilities=Capabilities(max_output=5000, reasoning="effort", reasoning_required=True))
    found = made(quiz, targets={"ask": target(card)})
    assert found.steps[0].output_tokens.likely > made(quiz).steps[0].output_tokens.likely + 200
    assert "thinks before it answers" in found.notes[0]


def test_time_follows_calls_at_once_and_the_window_of_the_provider(quiz: Pipeline) -> None:
    wide, narrow = made(quiz, concurrency=64), made(quiz, concurrency=1)
    assert narrow.seconds["realtime"].likely > wide.seconds["realtime"].likely
    assert wide.seconds["batch"].high == PROVIDERS["openai"].max_age
    assert made(quiz, targets={"ask": target(provider="sim-openai")}).seconds["batch"].high <= 600


def test_a_step_without_a_prompt_is_estimated_from_its_template(quiz: Pipeline) -> None:
    found = made(quiz, sampled=Sampled(6, {}, {}, ()))
    assert "no prompt could be made" in found.steps[0].source and found.steps[0].input_tokens.likely > 0


def test_json_says_everything_in_plain_values(fanned: Pipeline) -> None:
    told = forecast_json(made(fanned))
    assert told["approximate"] is True and told["units"] == 6
    assert [step["scope"] for step in told["steps"]] == ["fan_out", "chunk"]
    assert set(told["cost_usd"]["realtime"]) == {"low", "likely", "high"}
    assert msgspec.json.decode(msgspec.json.encode(told)) == told


SHAPES = {
    "all": "{name: all, scope: aggregate}",
    "few": "{name: few, scope: aggregate, group_by: [text]}",
    "once": "{name: once, scope: dedupe, by: [text]}",
    "three": "{name: three, scope: sample, count: 3}",
    "half": "{name: half, scope: sample, share: 0.5}",
}


@pytest.mark.parametrize(
    ("name", "groups", "left"),
    [
        ("all", (6, 1), Range(1, 1, 1)),
        ("few", (20, 2), Range(2, 2, 60)),
        ("few", (20, 18), Range(18, 540, 540)),
        ("once", (20, 20), Range(20, 600, 600)),
        ("three", None, Range(3, 3, 3)),
        ("half", None, Range(300, 300, 300)),
    ],
)
def test_steps_that_look_at_all_units_leave_fewer(tmp_path: Path, name: str, groups: tuple[int, int] | None, left: Range) -> None:
    config = CONFIG.replace("    - name: ask\n", f"    - {SHAPES[name]}\n    - name: ask\n").replace("chunk_size: 10", "repeat: 100")
    pipeline = load_pipeline(write_quiz(tmp_path, config=config, template="answer\n"))
    sampled = Sampled(20, {"ask": StepSample((4000,))}, {}, (), 0.0, {} if groups is None else {name: groups})
    found = made(pipeline, sampled=sampled)
    assert found.units == 600
    assert ends_of(found.steps[1].units) == pytest.approx(ends_of(left))


def test_a_fan_in_brings_back_as_many_as_there_were(tmp_path: Path) -> None:
    steps = "    - {name: split, scope: fan_out, field: text}\n    - {name: back, scope: fan_in}\n    - name: ask\n"
    found = made(load_pipeline(write_quiz(tmp_path, config=CONFIG.replace("    - name: ask\n", steps))), fan_out=9.0)
    assert [step.units.likely for step in found.steps] == [6, 54, 6]


def test_a_step_that_units_pass_by_makes_fewer_calls_and_has_the_same_bound(tmp_path: Path, quiz: Pipeline) -> None:
    config = CONFIG.replace("    - name: ask\n", "    - name: ask\n      when: id != 'q0'\n")
    half = Sampled(6, {"ask": StepSample((4000, 4000), share=0.5)}, {}, ())
    found = made(load_pipeline(write_quiz(tmp_path, config=config)), sampled=half)
    assert found.calls.likely == 3.0
    assert found.bound == made(quiz).bound
