"""Every way a batch or a call can go wrong at the provider, end to end: the engine in this process, the simulator beside it.

The numbers are those of the edge cases of provider batch APIs that a run must survive; each is a script for the simulator.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

from headgate.assembly.runs import book
from headgate.batch.books import check_books
from headgate.batch.control import Control
from headgate.batch.home import Home
from headgate.batch.pipeline import Pipeline
from headgate.batch.pipeline_load import find_pipeline, load_pipeline
from headgate.batch.rows import Posting, SubmissionRow
from headgate.batch.run import RunOptions
from headgate.batch.segments import SegmentWriter
from headgate.batch.states import RunState, SubmissionState
from headgate.batch.tables import Tables
from headgate.batch.worker import Plan, Result, execute
from headgate.catalog.load import load_catalog
from headgate.client import Credential
from headgate.config import Secret
from headgate.dialects.batch import BatchLimits
from headgate.errors import StoreError
from headgate.ledger import Ledger
from headgate.ledger.receipt import Filter
from headgate.providers import PROVIDERS
from headgate.sim.bill import Line
from headgate.sim.faults import Action, BatchEnd, DropReply, Match, Reset, Rows, Rule, Status, Truncate, Twist
from headgate.sim.server import Simulator
from headgate.sim.settings import Limits, SimSettings
from headgate.store import Database
from headgate.testing.simulators import target_at
from headgate.transport.http1 import HttpClient
from headgate.wire.json import Json, JsonObject, decode, encode

WIRES = ("sim-openai", "sim-anthropic", "sim-gemini")
FURTHER = ("sim-xai", "sim-together", "sim-groq", "sim-azure_openai")
"""Wires that are swept with the long proofs, and in a case each in every test run. Bedrock's batches are too large for these cases."""
UNITS = 40
FAST = RunOptions(grace=0.3, backoff=0.01, multiplier=1.5)
PIPELINE = find_pipeline("DrunkenSailor", [Path(str(Path(__file__).parents[2] / "src" / "headgate" / "pipelines"))])
STRANGER = "somebody-"
"""Begins the custom ids of a job that is not ours."""
END = 30 * 24 * 3600.0
ROOM = 6000
"""Tokens in a queue that has room for a job of ten rows, and not for two."""


def sailor(units: int, chunk: int | None = None) -> Pipeline:
    """The packaged pipeline with so many walks, in chunks of `chunk`, and short waits after refusals."""
    processing = msgspec.structs.replace(PIPELINE.processing, repeat=units, chunk_size=chunk or units)
    retry = msgspec.structs.replace(PIPELINE.api.retry, initial_delay=0.05)
    return msgspec.structs.replace(PIPELINE, processing=processing, api=msgspec.structs.replace(PIPELINE.api, retry=retry))


def rotating(turn: int) -> list[object]:
    """One of the three wires in every test run, and for the first turns one of the further ones; the others with the long sweeps."""
    usual = {WIRES[turn % 3], *FURTHER[turn - 1 : turn]}
    return [pytest.param(wire, marks=() if wire in usual else pytest.mark.proofs) for wire in (*WIRES, *FURTHER)]


class House:
    """A simulator and one run beside it, driven in this process."""

    def __init__(self, folder: Path, simulator: Simulator, provider: str, pipeline: Pipeline, mode: str = "batch") -> None:
        self.folder, self.simulator, self.pipeline, self.mode = folder / "run", simulator, pipeline, mode
        self.ledger = folder / "ledger.db"
        self.provider = PROVIDERS[provider]
        self.unpriced = False

    def drive(self, options: RunOptions = FAST, cap: int | None = None, limits: BatchLimits | None = None) -> Result:
        """Run, or go on."""
        return asyncio.run(self._drive(msgspec.structs.replace(options, mode=self.mode), cap, limits))

    async def _drive(self, options: RunOptions, cap: int | None, limits: BatchLimits | None) -> Result:
        provider = self.provider
        if limits is not None:
            assert provider.batch is not None
            provider = msgspec.structs.replace(provider, batch=msgspec.structs.replace(provider.batch, limits=limits))
        card = None if self.unpriced else load_catalog().find(provider.name, "sim-small")
        credential = Credential("default", Secret(provider.auth.default or ""))
        target = target_at(provider, self.simulator.url, "sim-small", credential, card)
        targets = {step.name: target for step in self.pipeline.llm_steps}
        plan = Plan(run_id="r", pipeline=self.pipeline, targets=targets, options=options, cost_cap_nanos=cap, seed="7")
        control = Control()
        with Home(self.folder) as home, closing(Ledger.open(self.ledger)) as ledger:

            async def settle(postings: Sequence[Posting]) -> None:
                await book(ledger, "r", postings)

            async with HttpClient() as http:
                return await execute(home, plan, http, settle, lambda progress: None, control)

    @property
    def tables(self) -> Tables:
        return Tables(Database.open(self.folder / "run.sqlite", migrations="run", read_only=True), self.folder)

    def attempts(self) -> list[JsonObject]:
        """The attempts at the model's step."""
        tables = self.tables
        with tables.db:
            return [attempt for attempt in tables.attempts(1) if attempt["step"] == 1]

    def submissions(self) -> list[SubmissionRow]:
        tables = self.tables
        with tables.db:
            return tables.submissions(1)

    def warnings(self) -> dict[str, JsonObject]:
        """The run's warnings by name, the last of each."""
        tables = self.tables
        with tables.db:
            return {what: decode(data) for _, _, level, what, data in reversed(tables.events(1, limit=1000)) if level == "warning"}

    def lines(self, name: str) -> list[Json]:
        return [decode(line) for line in (self.folder / "outputs" / f"{name}.jsonl").read_bytes().split(b"\n") if line]

    def check(self, result: Result, failed: int = 0, units: int = UNITS, *, exact: bool = True) -> None:
        """The run is complete; every unit came out once; no job was made twice; the money is right."""
        nothing_valid = failed == units
        assert (result.state, result.exit_code, result.reason is not None) == (RunState.COMPLETE, int(nothing_valid), nothing_valid)
        tables = self.tables
        with tables.db:
            assert check_books(tables, 1) == []
            assert tables.reserved(1) == 0
            spent = sum(total.cost_nanos for total in tables.totals(1))
        ids = [record["unit_id"] for record in (*self.lines("results"), *self.lines("failures"))]
        assert (len(ids), len(set(ids)), len(self.lines("failures"))) == (units, units, failed)
        custom_ids = [line.custom_id for line in self.bill() if line.custom_id is not None]
        assert len(custom_ids) == len(set(custom_ids))
        with closing(Ledger.open(self.ledger, read_only=True)) as ledger:
            assert sum(total.cost_nanos for total in ledger.totals(Filter(run="r"))) == spent
        billed = sum(line.nanos for line in self.bill())
        assert spent == billed if exact else spent >= billed

    def bill(self) -> list[Line]:
        """What the simulator charged this run, batches that were still open included."""
        self.simulator.advance(END)
        return [line for line in self.simulator.bill.lines if not (line.custom_id or "").startswith(STRANGER)]


@pytest.fixture
def house(tmp_path: Path, request: pytest.FixtureRequest):
    """Makes a house; its simulator ends with the test."""
    stack = []

    def make(
        provider: str,
        *faults: Rule,
        pipeline: Pipeline | None = None,
        mode: str = "batch",
        enqueued: int | None = None,
        scale: float = 600.0,
    ) -> House:
        settings = SimSettings(seed=3, time_scale=scale, faults=faults, limits=Limits(enqueued_tokens=enqueued))
        context = Simulator(settings).run_in_thread()
        simulator = context.__enter__()
        stack.append(context)
        folder = tmp_path / str(len(stack))
        folder.mkdir()
        return House(folder, simulator, provider, pipeline or sailor(UNITS), mode)

    yield make
    for context in stack:
        context.__exit__(None, None, None)


MakeHouse: TypeAlias = Callable[..., House]


def on_create(action: Action, nth: int | None = 1) -> Rule:
    return Rule(action, Match(operation="batch_create", nth=nth))


def on(operation: str, action: Action, *, first: int = 1) -> Rule:
    return Rule(action, Match(operation=operation, first=first))


@pytest.mark.parametrize("provider", rotating(1))
def test_baseline(house: MakeHouse, provider: str) -> None:
    run = house(provider)
    run.check(run.drive())
    assert Counter(attempt["outcome"] for attempt in run.attempts()) == {"valid": UNITS}


# Ends of a batch (cases 1 to 5, 15, 16, 19)


@pytest.mark.parametrize("provider", rotating(2))
def test_1_every_row_in_the_error_file(house: MakeHouse, provider: str) -> None:
    run = house(provider, on_create(BatchEnd("all_errors")))
    run.check(run.drive())
    assert Counter(attempt["outcome"] for attempt in run.attempts()) == {"error": UNITS, "valid": UNITS}
    assert [s.rows for s in run.submissions()] == [UNITS, UNITS]


@pytest.mark.parametrize("provider", ["sim-openai", "sim-gemini"])
def test_2_output_that_lags_behind_the_end_is_waited_for(house: MakeHouse, provider: str) -> None:
    run = house(provider, on_create(BatchEnd("output_lag", polls=3)))
    run.check(run.drive())
    assert [s.rows for s in run.submissions()] == [UNITS]
    assert run.submissions()[0].polls > 3


def test_3_an_empty_error_file_id_is_no_file(house: MakeHouse) -> None:
    run = house("sim-openai", on_create(BatchEnd("empty_error_file_id")))
    run.check(run.drive())


@pytest.mark.parametrize("provider", rotating(3))
@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_4_what_an_ended_batch_has_done_is_kept_and_only_the_rest_is_sent_again(house: MakeHouse, provider: str, end: str) -> None:
    run = house(provider, on_create(BatchEnd(end, share=0.5)))
    run.check(run.drive())
    first = [attempt for attempt in run.attempts() if attempt["n"] == 1]
    again = {attempt["seq"] for attempt in first if attempt["outcome"] == "error"}
    assert {attempt["seq"] for attempt in run.attempts() if attempt["n"] == 2} == again
    assert [s.rows for s in run.submissions()] == [UNITS, len(again)] == [UNITS, UNITS // 2]


@pytest.mark.parametrize("provider", ["sim-openai", "sim-gemini"])
def test_5_a_batch_that_failed_at_validation_is_sent_again_and_not_for_ever(house: MakeHouse, provider: str) -> None:
    run = house(provider, on_create(BatchEnd("failed")))
    run.check(run.drive())
    assert [s.rows for s in run.submissions()] == [UNITS, UNITS]
    never = house(provider, on_create(BatchEnd("failed"), nth=None))
    result = never.drive()
    assert (result.state, result.exit_code) == (RunState.FAILED, 1)
    assert "failed the same units as a batch three times" in str(result.reason)
    never.simulator.set_faults(())
    never.check(never.drive())


@pytest.mark.parametrize("provider", rotating(4))
def test_15_a_stuck_batch_is_cancelled_and_what_it_had_done_is_salvaged(house: MakeHouse, provider: str) -> None:
    run = house(provider, on_create(BatchEnd("stuck")))
    run.check(run.drive(msgspec.structs.replace(FAST, max_age=0.3)))
    assert "batch_too_old" in run.warnings()
    assert len(run.submissions()) == 2


@pytest.mark.parametrize("provider", rotating(5))
def test_16_a_job_that_vanished_is_booked_at_its_bound_and_sent_again(house: MakeHouse, provider: str) -> None:
    run = house(provider, on("batch_get", Status("not_found")))
    run.check(run.drive(), exact=False)
    assert [s.state for s in run.submissions()] == [SubmissionState.COLLECTED, SubmissionState.COLLECTED]
    assert {attempt["cost_source"] for attempt in run.attempts()} == {"bound", "usage"}
    true_up(run)


@pytest.mark.parametrize("provider", rotating(6))
def test_16_results_that_are_gone_are_booked_at_their_bound_and_made_again(house: MakeHouse, provider: str) -> None:
    run = house(provider, on("results", Status("not_found")))
    run.check(run.drive(), exact=False)
    assert "results_gone" in run.warnings()
    true_up(run)


def true_up(run: House) -> None:
    """The invoice, by custom id or by our request id, makes receipts, ledger and bill equal."""
    invoice = {line.custom_id or line.client_request_id: line.nanos for line in run.bill()}

    async def book_differences() -> None:
        with (
            Home(run.folder),
            Database.open(run.folder / "run.sqlite", migrations="run") as database,
            closing(Ledger.open(run.ledger)) as ledger,
        ):
            tables = Tables(database, run.folder)
            row = tables.find_run()
            await tables.true_up(row, invoice, 0.0)
            assert await tables.true_up(row, invoice, 0.0) == (0, 0), "once is enough"
            await book(ledger, "r", tables.open_postings())
            assert sum(total.cost_nanos for total in tables.totals(1)) == sum(line.nanos for line in run.bill())
            assert sum(attempt["cost_nanos"] for attempt in tables.attempts(1)) == sum(line.nanos for line in run.bill())
            assert sum(total.cost_nanos for total in ledger.totals(Filter(run="r"))) == sum(line.nanos for line in run.bill())
            assert check_books(tables, 1) == []

    asyncio.run(book_differences())


# Rows (cases 6 to 13, 17, 22)

RETRIED = {
    "error": "error",
    "expired": "error",
    "missing": "unknown",
    "bad_json": "unknown",
    "empty": "invalid",
    "refusal": "invalid",
    "length": "invalid",
    "invalid": "invalid",
}


USUAL = {("sim-openai", "bad_json"), ("sim-anthropic", "missing"), ("sim-gemini", "error"), ("sim-openai", "length")}


@pytest.mark.parametrize(
    ("provider", "row"),
    [pytest.param(wire, row, marks=() if (wire, row) in USUAL else pytest.mark.proofs) for wire in WIRES for row in RETRIED],
)
def test_7_to_13_only_the_spoilt_rows_are_sent_again(house: MakeHouse, provider: str, row: str) -> None:
    run = house(provider, on_create(Rows(row, share=0.4)))
    result = run.drive()
    run.check(result, exact=RETRIED[row] != "unknown")
    first = [attempt for attempt in run.attempts() if attempt["n"] == 1]
    spoilt = {attempt["seq"] for attempt in first if attempt["outcome"] != "valid"}
    assert {attempt["outcome"] for attempt in first} == {"valid", RETRIED[row]}
    assert {attempt["seq"] for attempt in run.attempts() if attempt["n"] == 2} == spoilt
    assert [s.rows for s in run.submissions()] == [UNITS, len(spoilt)]
    true_up(run)


@pytest.mark.parametrize("provider", rotating(8))
@pytest.mark.parametrize("row", ["duplicate", "foreign", "fenced"])
def test_8_9_22_rows_that_are_odd_and_harmless(house: MakeHouse, provider: str, row: str) -> None:
    run = house(provider, on_create(Rows(row, share=0.5)))
    run.check(run.drive())
    assert len(run.submissions()) == 1
    odd = run.warnings().get("odd_rows", {})
    assert row == "fenced" or odd[row] > 0


@pytest.mark.parametrize("provider", rotating(9))
def test_13_rate_limits_inside_a_batch_burn_no_try(house: MakeHouse, provider: str) -> None:
    run = house(provider, on_create(Rows("error", share=0.5, error="rate_limit")))
    run.check(run.drive())
    limited = [attempt for attempt in run.attempts() if attempt["reason"] == "rate_limit"]
    assert limited and all(attempt["outcome"] == "error" for attempt in limited)
    tables = run.tables
    with tables.db:
        assert {tables.unit(1, 1, attempt["seq"]).tries for attempt in limited} == {1}


def test_17_rows_that_say_the_money_is_gone_stop_the_run(house: MakeHouse) -> None:
    """Only OpenAI's wire has a code of its own for it; nothing is classified by the words of a message."""
    run = house("sim-openai", on_create(Rows("error", share=0.5, error="quota")))
    result = run.drive()
    assert (result.state, result.exit_code) == (RunState.FAILED, 1)
    assert result.reason
    run.check(run.drive())


def test_10_a_job_of_which_no_row_can_be_read_stops_the_run(house: MakeHouse) -> None:
    run = house("sim-openai", on_create(Rows("bad_json"), nth=None))
    result = run.drive()
    assert result.exit_code == 1
    assert "could be read" in str(result.reason)


# Submitting (cases 14, 18, 24, 25)


@pytest.mark.parametrize("provider", rotating(11))
def test_14_a_refused_submission_waits_and_burns_nothing(house: MakeHouse, provider: str) -> None:
    run = house(provider, on("batch_create", Status("rate_limit", retry_after=0.2), first=2))
    run.check(run.drive())
    assert [s.state.value for s in run.submissions()] == ["refused", "refused", "collected"]
    assert {attempt["n"] for attempt in run.attempts()} == {1}


def test_14_refusals_without_end_pause_the_run(house: MakeHouse) -> None:
    run = house("sim-gemini", on("batch_create", Status("rate_limit", retry_after=0.01), first=99))
    result = run.drive()
    assert (result.state, result.exit_code) == (RunState.PAUSED, 1)
    assert "refused 5 submissions in a row" in str(result.reason)
    run.simulator.set_faults(())
    run.check(run.drive())


def test_14_refusals_while_other_jobs_are_under_way_are_waited_out(house: MakeHouse) -> None:
    """More of them than would end a run whose queue is empty."""
    refusals = (on_create(Status("rate_limit", retry_after=0.01), nth=n) for n in range(2, 10))
    run = house("sim-groq", *refusals, pipeline=sailor(UNITS, 20), scale=100.0)
    run.check(run.drive())
    assert Counter(s.state.value for s in run.submissions()) == {"refused": 8, "collected": 2}
    assert {attempt["n"] for attempt in run.attempts()} == {1}


@pytest.mark.parametrize("provider", ["sim-openai", "sim-azure_openai"])
def test_14_a_job_that_fails_for_want_of_room_in_the_queue_burns_nothing(house: MakeHouse, provider: str) -> None:
    """The wire accepts the job and fails it before it begins; it is submitted again when another job has ended."""
    run = house(provider, pipeline=sailor(UNITS, 10), enqueued=ROOM)
    run.check(run.drive())
    refused = [s for s in run.submissions() if s.state is SubmissionState.REFUSED]
    assert refused and all(s.batch_id is not None and s.rows == 10 for s in refused)
    assert {attempt["n"] for attempt in run.attempts()} == {1}
    assert "queue_full" in run.warnings()


def test_14_a_chunk_that_alone_is_too_much_for_the_queue_is_halved(house: MakeHouse) -> None:
    run = house("sim-azure_openai", enqueued=ROOM)
    run.check(run.drive())
    assert sorted(s.rows for s in run.submissions() if s.state is SubmissionState.COLLECTED) == [10, 10, 10, 10]
    assert {attempt["n"] for attempt in run.attempts()} == {1}


def test_14_a_queue_without_any_room_pauses_the_run(house: MakeHouse) -> None:
    run = house("sim-openai", pipeline=sailor(4, 32), enqueued=1)
    result = run.drive(msgspec.structs.replace(FAST, refusals=1))
    assert (result.state, result.exit_code) == (RunState.PAUSED, 1)
    assert "no room for a batch of 2 units" in str(result.reason)
    assert run.attempts() == []


@pytest.mark.parametrize("provider", rotating(12))
@pytest.mark.parametrize("fault", [DropReply(), Reset(after_bytes=20), Truncate(2)], ids=lambda fault: type(fault).__name__)
def test_18_a_job_whose_confirmation_was_lost_is_found_and_adopted(house: MakeHouse, provider: str, fault: Action) -> None:
    run = house(provider, Rule(fault, Match(operation="batch_add" if provider == "sim-xai" else "batch_create", nth=1)))
    run.check(run.drive())
    assert [s.matched_by for s in run.submissions()] == ["window" if provider == "sim-anthropic" else "tag"]
    assert sum(entry.operation == "batch_create" for entry in run.simulator.requests) == 1


@pytest.mark.parametrize("provider", rotating(13))
def test_18_a_job_that_was_never_made_is_submitted_once_more(house: MakeHouse, provider: str) -> None:
    run = house(provider, on_create(Reset()))
    run.check(run.drive())
    assert [s.state.value for s in run.submissions()] == ["refused", "collected"]


def test_18_two_jobs_that_could_be_ours_mean_waiting_until_one_proves_itself(house: MakeHouse) -> None:
    """Anthropic's wire has no tag: the other job is as large, as young, and still running."""
    run = house("sim-anthropic", on_create(BatchEnd("stuck")), on_create(DropReply(), nth=2), scale=150.0)
    other = post_batch(run, UNITS)
    run.check(run.drive())
    ambiguous = run.warnings()["ambiguous"]
    assert other in ambiguous["candidates"] and len(ambiguous["candidates"]) == 2
    assert [s.matched_by for s in run.submissions()] == ["window"]
    assert run.submissions()[0].batch_id != other


def test_18_a_finished_job_of_somebody_else_is_never_taken(house: MakeHouse) -> None:
    run = house("sim-anthropic", on_create(Reset(), nth=2))
    other = post_batch(run, UNITS)
    run.simulator.advance(1000.0)
    run.check(run.drive())
    assert all(s.batch_id != other for s in run.submissions())


def post_batch(run: House, rows: int) -> str:
    """A batch of somebody else on the same account."""
    params = {"model": "sim-small", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
    body = encode({"requests": [{"custom_id": f"{STRANGER}{i}", "params": params} for i in range(rows)]})
    connection = HTTPConnection("127.0.0.1", run.simulator.port)
    headers = {"x-api-key": "sim-headgate", "anthropic-version": "2023-06-01", "content-type": "application/json"}
    with closing(connection):
        connection.request("POST", "/anthropic/v1/messages/batches", body, headers)
        return decode(connection.getresponse().read())["id"]


@pytest.mark.parametrize("provider", rotating(14))
def test_24_chunks_are_split_to_the_limits_of_the_provider(house: MakeHouse, provider: str) -> None:
    run = house(provider)
    run.check(run.drive(limits=BatchLimits(max_rows=15, max_bytes=10_000_000)))
    assert sorted(s.rows for s in run.submissions()) == [10, 15, 15]


def test_24_units_that_a_step_does_not_ask_about_outlive_the_split_of_their_chunk(house: MakeHouse) -> None:
    """They are valid before the others are submitted, and stay so."""
    steps = [msgspec.structs.replace(step, when="steps_taken < 20") if step.name == "analyze" else step for step in PIPELINE.steps]
    run = house("sim-openai", pipeline=msgspec.structs.replace(sailor(UNITS), steps=tuple(steps)))
    result = run.drive(limits=BatchLimits(max_rows=5, max_bytes=10_000_000))
    asked = sum(s.rows for s in run.submissions())
    assert 5 < asked < UNITS
    run.check(result)


def test_24_chunks_are_split_to_the_limit_on_enqueued_tokens_and_take_turns(house: MakeHouse) -> None:
    run = house("sim-together")
    run.check(run.drive(limits=BatchLimits(max_rows=1000, max_bytes=10_000_000, max_tokens=ROOM)))
    jobs = sorted(run.submissions(), key=lambda s: s.intent_at)
    assert [s.state for s in jobs] == [SubmissionState.COLLECTED] * len(jobs) and len(jobs) > 2
    assert all(after.intent_at >= (before.polled_at or 0.0) for before, after in pairwise(jobs))


def test_25_a_row_over_the_limit_fails_alone(house: MakeHouse) -> None:
    whole = house("sim-openai")
    whole.check(whole.drive())
    with whole.tables.db as database:
        name = database.read(lambda db: db.execute("SELECT request_segment FROM chunk WHERE request_segment NOT NULL").fetchone()[0])
        sizes = [len(encode(line["body"])) + 256 for line in Tables(database, whole.folder).scan(name)]
    run = house("sim-openai")
    result = run.drive(limits=BatchLimits(max_rows=1000, max_bytes=max(sizes) - 1))
    run.check(result, failed=sizes.count(max(sizes)))
    assert {failure["failure_stage"] for failure in run.lines("failures")} == {"too_large"}


def test_20_exactly_the_failed_units_are_sent_again(house: MakeHouse) -> None:
    """308 failures among 9,240 units once had 4,300 of them done again."""
    units = 1000
    run = house("sim-openai", on_create(Rows("invalid", share=0.033)), pipeline=sailor(units))
    run.check(run.drive(), units=units)
    failed = {attempt["seq"] for attempt in run.attempts() if attempt["n"] == 1 and attempt["outcome"] == "invalid"}
    assert 15 < len(failed) < 60
    assert {attempt["seq"] for attempt in run.attempts() if attempt["n"] == 2} == failed
    assert [s.rows for s in run.submissions()] == [units, len(failed)]
    assert len(run.attempts()) == units + len(failed)


# A provider whose batches must have many rows


def test_what_is_left_of_a_large_batch_is_asked_call_by_call(house: MakeHouse) -> None:
    """Bedrock takes no job under a hundred records: what an expired job leaves undone is answered at realtime prices."""
    run = house("sim-bedrock", on_create(BatchEnd("expired", share=0.5)), pipeline=sailor(120))
    run.check(run.drive(), units=120)
    assert [s.rows for s in run.submissions()] == [120]
    assert Counter(line.lane for line in run.bill()) == {"batch": 60, "realtime": 60}
    assert run.warnings()["too_few_for_batch"]["units"] == 60


@pytest.mark.parametrize("fault", [DropReply(), pytest.param(Reset(after_bytes=20), marks=pytest.mark.proofs)], ids=["dropped", "reset"])
def test_a_large_batch_whose_confirmation_was_lost_is_found_by_its_token(house: MakeHouse, fault: Action) -> None:
    run = house("sim-bedrock", on_create(fault), pipeline=sailor(100))
    run.check(run.drive(), units=100)
    assert [s.matched_by for s in run.submissions()] == ["tag"]


def test_a_batch_that_is_refused_before_anything_is_sent_leaves_nothing_behind(house: MakeHouse) -> None:
    """The intent is over, and what it had set aside is given back."""
    run = house("sim-bedrock")
    result = run.drive(limits=BatchLimits(max_rows=1000, max_bytes=10_000_000))
    assert (result.state, result.exit_code) == (RunState.FAILED, 1)
    assert "at least 100" in str(result.reason)
    assert [s.state for s in run.submissions()] == [SubmissionState.REFUSED]
    tables = run.tables
    with tables.db:
        assert tables.reserved(1) == 0
    assert not [entry for entry in run.simulator.requests if entry.operation == "batch_create"]


# Realtime


@pytest.mark.parametrize("provider", rotating(15))
@pytest.mark.parametrize("fault", [DropReply(), Reset(after_bytes=30), Truncate(9)], ids=lambda fault: type(fault).__name__)
def test_a_call_whose_answer_was_lost_is_booked_at_its_bound_and_made_once_more(house: MakeHouse, provider: str, fault: Action) -> None:
    run = house(provider, Rule(fault, Match(operation="chat", every=10)), mode="realtime")
    run.check(run.drive(), exact=False)
    lost = [attempt for attempt in run.attempts() if attempt["outcome"] == "unknown"]
    assert len(lost) == sum(line.lane == "realtime" for line in run.bill()) - UNITS == len(run.bill()) // 10
    assert {attempt["cost_source"] for attempt in lost} == {"bound"}
    assert all(
        attempt["n"] == 2 for attempt in run.attempts() if attempt["seq"] in {a["seq"] for a in lost} and attempt["outcome"] == "valid"
    )
    true_up(run)


def test_answers_that_are_always_lost_are_not_paid_for_for_ever(house: MakeHouse) -> None:
    run = house("sim-openai", Rule(DropReply(), Match(operation="chat")), mode="realtime", pipeline=sailor(3))
    result = run.drive(msgspec.structs.replace(FAST, max_errors=3))
    run.check(result, failed=3, units=3, exact=False)
    assert len(run.bill()) == 9
    true_up(run)


@pytest.mark.parametrize(
    "action", [Status("rate_limit", retry_after=0.05), Status("server"), Status("overloaded"), Twist("invalid"), Twist("length")]
)
def test_calls_that_fail_in_passing_are_made_again(house: MakeHouse, action: Action) -> None:
    run = house("sim-anthropic", Rule(action, Match(operation="chat", every=5)), mode="realtime")
    run.check(run.drive())


def test_a_wrong_key_stops_the_run_at_once(house: MakeHouse) -> None:
    run = house("sim-openai", Rule(Status("auth"), Match(operation="chat")), mode="realtime", pipeline=sailor(200))
    result = run.drive()
    assert (result.state, result.exit_code) == (RunState.FAILED, 1)
    assert len(run.simulator.requests) <= 64
    run.simulator.set_faults(())
    run.check(run.drive(), units=200)


# The cost cap

BOUND = 450_000
"""Nano-dollars that one call costs at most: about 1,700 bytes of request and 300 tokens of answer. It really costs about 58,000."""


def watch_the_cap(monkeypatch: pytest.MonkeyPatch, cap: int) -> list[int]:
    """After each commit: what is spent and set aside together, from the database. Fails the run when that passes the cap."""
    seen: list[int] = []

    def watched(name: str) -> None:
        original = getattr(Tables, name)

        async def checked(self: Tables, *args: object, **named: object) -> object:
            result = await original(self, *args, **named)
            seen.append(sum(total.cost_nanos for total in self.totals(1)) + self.reserved(1))
            assert seen[-1] <= cap, f"{name}: {seen[-1]} of {cap}"
            return result

        monkeypatch.setattr(Tables, name, checked)

    for name in ("claim", "intend", "commit", "submitted", "refused"):
        watched(name)
    return seen


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_the_cap_stops_the_run_before_it_is_passed(house: MakeHouse, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    whole = house("sim-openai", mode=mode, pipeline=sailor(UNITS, 10))
    spent = whole.drive().progress.spent
    run = house("sim-openai", mode=mode, pipeline=sailor(UNITS, 10))
    with monkeypatch.context() as patch:
        cap = spent if mode == "realtime" else 4 * spent
        seen = watch_the_cap(patch, cap)
        result = run.drive(cap=cap // 2)
        assert (result.state, result.exit_code, result.reason) == (RunState.PAUSED, 2, "the cost cap is reached")
        assert 0 < max(seen) <= cap // 2
    run.check(run.drive(cap=100 * spent))


def test_a_cap_that_suffices_is_no_obstacle_although_bounds_are_higher(house: MakeHouse) -> None:
    """Bounds of calls under way may fill the cap for a moment; what they do not use is given back, and the others wait for it."""
    for mode, rows in (("realtime", 1), ("batch", 10)):
        spent = house("sim-openai", mode=mode, pipeline=sailor(UNITS, 10)).drive().progress.spent
        run = house("sim-openai", mode=mode, pipeline=sailor(UNITS, 10))
        run.check(run.drive(cap=spent + rows * BOUND))


def test_what_cannot_be_bounded_is_refused_under_a_cap(house: MakeHouse) -> None:
    run = house("sim-openai", mode="realtime")
    run.unpriced = True
    result = run.drive(cap=10**12)
    assert (result.exit_code, result.reason) == (2, "the cost of this model cannot be bounded, and the run has a cost cap")
    assert run.bill() == []


# The local disk


class FailsOnce:
    """Wraps a function of the disk: its n-th call fails as on a full disk, the others work."""

    def __init__(self, function: Callable[..., object], n: int, error: Exception) -> None:
        self.calls = 0
        self._function, self._n, self._error = function, n, error

    def __call__(self, *args: object, **named: object) -> object:
        self.calls += 1
        if self.calls == self._n:
            raise self._error
        return self._function(*args, **named)


class FailsThere:
    """As `FailsOnce`, among the calls whose first argument is the one in question."""

    def __init__(self, function: Callable[..., object], there: Callable[..., bool], n: int, error: Exception) -> None:
        self.once = FailsOnce(function, n, error)
        self._function, self._there = function, there

    def __call__(self, place: object, *args: object, **named: object) -> object:
        function = self.once if self._there(place) else self._function
        return function(place, *args, **named)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
DISK: dict[str, tuple[object, str, Exception]] = {
    "segment": (os, "pwrite", FULL),
    "fsync": (os, "fsync", FULL),
    "database": (Database, "submit", StoreError("database or disk is full", hint="df -h")),
}


def fails_once(house: MakeHouse, monkeypatch: pytest.MonkeyPatch, mode: str, what: str, n: int) -> bool:
    """One operation fails: the run stops with the reason and goes on afterwards. False when there was no n-th operation."""
    run = house("sim-openai", mode=mode)
    place, name, error = DISK[what]
    original = getattr(place, name)
    fault = FailsOnce(original, n, error)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, lambda *args, **named: fault(*args, **named))
        try:
            result = run.drive()
        except StoreError as error:
            assert "full" in error.message or "space" in error.message
            result = None
    if result is not None and fault.calls < n:
        run.check(result)
        return False
    if result is not None and result.exit_code:
        assert (result.state, result.exit_code) == (RunState.FAILED, 1)
        assert result.reason and ("full" in result.reason or "space" in result.reason)
        assert result.hint
    run.check(run.drive(), exact=False)
    true_up(run)
    return True


FULL_STORE = StoreError("no space left on the device", hint="df -h")
MIXED = load_pipeline(Path(__file__).with_name("pipelines") / "Mixed")
SHAPED: dict[str, tuple[object, str, Callable[..., bool], int, Exception]] = {
    "fan_out": (SegmentWriter, "append", lambda writer: writer.path.name.startswith("01-"), 2, FULL_STORE),
    "barrier": (SegmentWriter, "append", lambda writer: writer.path.name.startswith("04-"), 3, FULL_STORE),
    "closing the barrier": (Tables, "close_barrier", lambda tables: True, 1, FULL_STORE),
    "unit files": (Path, "write_bytes", lambda path: path.parent.name == ".files.draft", 7, FULL),
    "unit files put in place": (Path, "rename", lambda path: path.name == ".files.draft", 1, FULL),
    "the run step is done": (Tables, "finish_step", lambda tables: True, 1, FULL_STORE),
    "outputs": (Path, "open", lambda path: path.name == ".failures.jsonl.draft", 1, FULL),
    "outputs put in place": (Path, "replace", lambda path: path.name == ".receipts.jsonl.draft", 1, FULL),
}
"""Where the disk is full in a run of many shapes: what fails, and at the how-manieth time."""


@pytest.mark.parametrize("where", SHAPED)
@pytest.mark.parametrize("mode", ["realtime", pytest.param("batch", marks=pytest.mark.proofs)])
def test_a_disk_that_is_full_at_a_shape_stops_the_run_and_spoils_nothing(
    house: MakeHouse, monkeypatch: pytest.MonkeyPatch, mode: str, where: str
) -> None:
    run = house("sim-openai", mode=mode, pipeline=MIXED)
    place, name, there, n, error = SHAPED[where]
    fault = FailsThere(getattr(place, name), there, n, error)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, lambda *args, **named: fault(*args, **named))
        stopped = run.drive()
    assert (stopped.state, stopped.exit_code) == (RunState.FAILED, 1)
    assert "space" in str(stopped.reason).lower() and stopped.hint
    run.check(run.drive(), failed=len(run.lines("failures")), units=len(run.lines("failures")) + 20)
    files = [decode(path.read_bytes()) for path in (run.folder / "outputs" / "files").iterdir()]
    assert sorted(encode(record) for record in files) == sorted(encode(record) for record in run.lines("results"))
    assert not [path for path in (run.folder / "outputs").rglob(".*") if path.name != ".failures.jsonl.draft"]


WRITES = [("realtime", "segment", 3), ("batch", "segment", 4), ("realtime", "database", 12), ("batch", "database", 14)]


@pytest.mark.parametrize(("mode", "what", "n"), WRITES)
def test_a_write_that_fails_stops_the_run_and_spoils_nothing(
    house: MakeHouse, monkeypatch: pytest.MonkeyPatch, mode: str, what: str, n: int
) -> None:
    assert fails_once(house, monkeypatch, mode, what, n)


@pytest.mark.proofs
@pytest.mark.parametrize("mode", ["realtime", "batch"])
@pytest.mark.parametrize("what", DISK)
def test_every_write_fails_in_turn(
    house: MakeHouse, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None], mode: str, what: str
) -> None:
    n = 1
    while fails_once(house, monkeypatch, mode, what, n):
        n += 1 if n < 20 else 5
    record_property("operations", n)
    assert n > 3
