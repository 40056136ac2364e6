"""What the phases of one run share: its rows, its pipeline made ready, and the parts that do the work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random

import msgspec

from headgate.batch.answer_cache import AnswerCache
from headgate.batch.compiled import unit_seed
from headgate.batch.control import Control, Stop
from headgate.batch.expressions import CompiledExpression, CompiledStep
from headgate.batch.lanes import Deadline, OnStuck, Pace
from headgate.batch.limiter import Limiter
from headgate.batch.pipeline import Pipeline, Step, StepKind
from headgate.batch.progress import expected_units
from headgate.batch.quota import Quota
from headgate.batch.request import input_bound, settled, step_request
from headgate.batch.rows import RunRow, StepRow, UnitRow
from headgate.batch.tables import Tables, Ways
from headgate.batch.templates import RenderPool
from headgate.batch.validate import StepValidator
from headgate.batch.wording import Wording
from headgate.catalog.cards import Lane, Price, day_of
from headgate.catalog.prices import bound_by_prompt
from headgate.client import ChatClient, Target
from headgate.client.chat import Prepared, PreparedForm, prepare
from headgate.domain.capabilities import Capabilities
from headgate.domain.request import Request
from headgate.ledger.limiter import Limiter as CallLimits
from headgate.transport.http1 import HttpClient
from headgate.wire.json import Json, JsonObject


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What an invocation decides. Times are seconds.

    `grace` is how long an absent batch may still turn up after its intent, `max_errors` the unanswered attempts a unit may have,
    `backoff` the first wait after a transient failure (growing by `multiplier`), `stop_grace` how long calls in flight may go on
    after a stop, `wait_slice` how long one wait phase lasts, `refusals` how many refused submissions in a row end the run,
    `unreachable` how many calls in a row without any answer do. `allow_scripts`: programs of the pipeline's own may be run. `cache`:
    answers of earlier runs are taken in place of calls.

    With a `deadline`, `turnaround` is what a batch is taken to need before one has been seen to end, `cancel` what cancelling one takes,
    and `call_seconds` a call before one was made.
    """

    mode: str = "realtime"
    concurrency: int = 64
    grace: float = 10.0
    max_errors: int = 6
    backoff: float = 1.0
    multiplier: float = 2.0
    stop_grace: float = 2.0
    wait_slice: float = 900.0
    max_age: float | None = None
    refusals: int = 5
    unreachable: int = 12
    deadline: Deadline | None = None
    turnaround: float = 900.0
    cancel: float = 600.0
    call_seconds: float = 2.0
    on_stuck: OnStuck = OnStuck.CANCEL_RESUBMIT
    allow_scripts: bool = False
    cache: bool = False


CAP_REACHED = Stop("the cost cap is reached", 2, hint="run the same command with a higher --max-cost to go on")
UNBOUNDED = Stop(
    "the cost of this model cannot be bounded, and the run has a cost cap",
    2,
    hint="begin another run, without --max-cost or with max_tokens",
)


class StepPlan:
    """One step made ready. The fields after `row` are None where the kind of step has no use for them."""

    def __init__(
        self,
        step: Step,
        row: StepRow,
        *,
        validator: StepValidator | None = None,
        compiled: CompiledStep | None = None,
        schema: JsonObject | None = None,
        target: Target | None = None,
        price: Price | None = None,
        limiter: Limiter | None = None,
        max_tries: int = 3,
        condition: CompiledExpression | None = None,
    ) -> None:
        self.step = step
        self.row = row
        self.validator = validator
        self.compiled = compiled
        self.schema = schema
        self.target = target
        self.price = price
        self.limiter = limiter
        self.images: tuple[CompiledExpression, ...] = ()
        self.max_tries = max_tries
        self.condition = condition
        self._bounds: dict[Lane, Callable[[int], int | None]] = {}
        self._form: PreparedForm | None = None
        self._settled: tuple[Step, Capabilities] | None = None
        self.quota: Quota | None = None
        """The limits its calls count for; None: nothing limits them but `limiter`."""

    def request(self, run: Run, wording: Wording) -> Prepared:
        """The request for one unit. Raises `Unsupported` for what the target cannot express."""
        if wording.images or wording.system != self.step.params.system:
            assert self.target is not None
            return prepare(self.target, self._worded(run, wording))
        return self._filled(run).fill(wording.prompt)

    def _filled(self, run: Run) -> PreparedForm:
        """The step's requests where they differ in their prompts alone: rendered once, then filled."""
        if self._form is None:
            assert self.target is not None
            system = self.step.params.system
            self._form = PreparedForm(self.target, lambda prompt: self._worded(run, Wording(prompt, system)))
        return self._form

    def _worded(self, run: Run, wording: Wording) -> Request:
        target = self.target
        assert target is not None
        if self._settled is None:
            self._settled = settled(self.step, run.pipeline.api, target, self.schema)
        step, can = self._settled
        return step_request(step, run.pipeline.api, target.model, wording, self.schema, can)

    def bound(self, run: Run, body: bytes, lane: Lane) -> int | None:
        """The most one call with `body` can cost in `lane`, in nano-dollars; None where that cannot be told."""
        known = self._bounds.get(lane)
        if known is None:
            card = None if self.target is None else self.target.card
            limit = self.step.params.max_tokens or run.pipeline.api.max_tokens
            known = self._bounds[lane] = bound_by_prompt(card, day_of(run.row.created_at), limit, lane)
        return known(input_bound(body))


class Run:
    """One run under way."""

    def __init__(
        self,
        row: RunRow,
        pipeline: Pipeline,
        steps: tuple[StepPlan, ...],
        tables: Tables,
        http: HttpClient,
        renderer: RenderPool | None,
        control: Control,
        options: RunOptions,
        clock: Callable[[], float],
        random: Random,
        expressions: tuple[CompiledExpression, ...] = (),
    ) -> None:
        self.row = row
        self.pipeline = pipeline
        self.steps = steps
        self.tables = tables
        self.http = http
        self.chat = ChatClient(http)
        self.renderer = renderer
        self.control = control
        self.options = options
        self.clock = clock
        self.random = random
        self.expressions = expressions
        self.spent = sum(total.cost_nanos for total in tables.totals(row.key))
        self.held = tables.reserved(row.key)
        self.mode = row.mode
        """Batch or realtime: where chunks of calls go unless something speaks against it."""
        self.call_seconds = options.call_seconds
        """How long a call takes, by those that were made."""
        self._pace: tuple[float, Pace] | None = None
        self._boot = f"{random.getrandbits(48):012x}"
        self._calls = count(1)
        self._freed = asyncio.Event()
        self.intending = asyncio.Lock()
        """Held from the look whether there is room at a provider until the intent is written."""
        self.answers: AnswerCache | None = None
        """Answers of earlier runs, where they are wanted."""
        self.told: set[tuple[str, str]] = set()
        """Steps and fields of which was told that the provider does not get them as asked."""
        self.chunk_tokens: dict[int, int] = {}
        """Estimated input tokens of chunks whose requests are built, as far as somebody asked."""
        control.on_stop(self._freed.set)

    @property
    def mark(self) -> str:
        """What begins every custom id, tag, request id and ledger key of this run, and of no other."""
        return self.row.mark

    def new_request_id(self) -> str:
        """A name for a call that no other call has: the run's mark, a number drawn for this process, and a counter."""
        return f"{self.mark}-{self._boot}-{next(self._calls)}"

    @property
    def folder(self) -> Path:
        """The engine home."""
        return self.tables.folder

    def seed(self, record: JsonObject, step: str, purpose: str, again: int = 0) -> int:
        """The seed of one of a unit's random streams: "expression", "prompt" or "rules"; `again` as in `unit_seed`."""
        return unit_seed(self.pipeline, str(record["unit_id"]), record, step, purpose, run_seed=self.row.seed, again=again)

    def inputs(self, units: list[UnitRow]) -> dict[int, JsonObject]:
        """The input records of some units, by unit number."""
        records = self.tables.read_records((u.input_segment, u.input_row) for u in units)
        return {u.seq: records[u.input_segment, u.input_row] for u in units}

    def ways(self, chunk_step: int) -> Ways:
        """Where units go from a step: to the next one that has units, and back to the one it holds to account."""
        following = next((s.row for s in self.steps[chunk_step + 1 :] if s.step.kind is not StepKind.RUN), None)
        blamed = self.steps[chunk_step].step.retry_from
        back = next((s.row for s in self.steps if s.step.name == blamed), None)
        return Ways(
            next=None if following is None else following.idx,
            next_lane="" if following is None else following.lane,
            back=None if back is None else back.idx,
            back_lane="" if back is None else back.lane,
            size=self.pipeline.processing.chunk_size,
        )

    def pace(self) -> Pace:
        """How fast the run goes, looked at once a second at most."""
        now = self.clock()
        if self._pace is None or not 0 <= now - self._pace[0] < 1.0:
            self._pace = (now, self._measured())
        return self._pace[1]

    def _measured(self) -> Pace:
        steps = self.tables.totals(self.row.key)
        row = self.tables.find_run(self.row.id)
        expected = expected_units(None if row is None else row.total, steps) or [float(step.started) for step in steps]
        left = sum(max(0.0, units - step.valid - step.failed) for units, step in zip(expected, steps, strict=True) if step.kind == "chunk")
        took = [s.polled_at - s.submitted_at for s in self.tables.submissions(self.row.key) if s.polled_at and s.submitted_at and s.ended]
        return Pace(
            calls=left,
            concurrency=self.options.concurrency,
            call=self.call_seconds,
            turnaround=max(took, default=self.options.turnaround),
            cancel=self.options.cancel,
        )

    def limit_calls(self, limits: CallLimits) -> None:
        """Hold every realtime call to these limits as well."""
        for plan in self.steps:
            if plan.target is not None:
                plan.quota = Quota(limits, plan.target, self.control)

    def took(self, seconds: float) -> None:
        """A call has taken so long."""
        self.call_seconds += (seconds - self.call_seconds) / 20

    async def set_mode(self, mode: str) -> None:
        """Go on in another mode: chunks that are in no batch yet move, those that are in one are waited for."""
        await self.tables.set_mode(self.row.key, mode, self.clock())
        self.mode = mode
        for plan in self.steps:
            if plan.step.kind is StepKind.LLM:
                plan.row = msgspec.structs.replace(plan.row, lane=mode)

    async def reserve(self, bound: int | None) -> None:
        """Set aside `bound` nano-dollars (an upper bound) under the cap: spent + held never passes it.

        Waits while calls under way hold what is missing, because most of them cost less than their bound. Stops the run, and raises
        `Pausing`, when it cannot fit any more; what cannot be bounded is refused under a cap. The home is driven by one process, so the
        sums are kept here; they start from the database.
        """
        cap = self.row.cost_cap_nanos
        if cap is not None and bound is None:
            self.control.stop(UNBOUNDED)
        while cap is not None and self.spent + self.held + (bound or 0) > cap:
            if self.held <= 0 or self.spent + (bound or 0) > cap:
                self.control.stop(CAP_REACHED)
            self.control.check()
            self._freed.clear()
            await self._freed.wait()
        self.control.check()
        self.held += bound or 0

    def book(self, released: int, spent: int) -> None:
        """Give back what was set aside, and add what was really spent (nano-dollars)."""
        self.held -= released
        self.spent += spent
        if released:
            self._freed.set()


def record_of(line: Json) -> JsonObject:
    """The unit's fields in a payload line."""
    record: JsonObject = line["record"]
    return record
