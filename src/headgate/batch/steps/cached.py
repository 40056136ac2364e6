"""Answers that need no call, because an earlier run on this machine was given them (IMP-14).

A unit is looked up before its first call and never again: what failed once is asked anew. The cache is a help, not a need: one that
cannot be read or written is left alone from then on, with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.batch.answer_cache import CACHED, answer_key
from headgate.batch.evaluate import judge
from headgate.batch.plan import REPETITION_ID
from headgate.batch.rows import ChunkRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.states import Outcome
from headgate.batch.steps.attempts import Finding
from headgate.batch.steps.prompts import Ready
from headgate.domain.cost import Cost
from headgate.domain.response import Response
from headgate.errors import StoreError
from headgate.wire.json import JsonObject, encode

GROUP = 500
FREE = Cost(0, "response cache")


def key_of(plan: StepPlan, record: JsonObject, body: bytes) -> bytes:
    """What stands for a unit's request."""
    assert plan.target is not None
    return answer_key(plan.target, body, repetition_of(record))


def repetition_of(record: JsonObject) -> int:
    """Which copy of its item a unit is, from 0."""
    found = record.get(REPETITION_ID)
    return found if isinstance(found, int) else 0


async def recall(run: Run, plan: StepPlan, units: Sequence[Ready]) -> dict[int, Finding]:
    """Findings for those units, by number, whose answer an earlier run was given and that is valid here too."""
    if run.answers is None:
        return {}
    fresh = [(item, key_of(plan, item.record, item.prepared.body)) for item in units if item.prepared and not item.unit.attempts]
    try:
        found = await run.answers.find(sorted({key for _, key in fresh}), run.clock(), run.row.created_at)
    except StoreError as error:
        await _without(run, error)
        return {}
    findings = [_finding(run, plan, item, found[key]) for item, key in fresh if key in found]
    return {finding.unit.seq: finding for finding in findings if finding.outcome is Outcome.VALID}


def _finding(run: Run, plan: StepPlan, item: Ready, response: Response) -> Finding:
    assert plan.validator is not None
    seed = run.seed(item.record, plan.step.name, "rules")
    judged = judge(response, plan.validator, item.record, seed, plan.step.params.answer_tool)
    outcome = Outcome.VALID if judged.reason is None else Outcome.INVALID
    n = item.unit.attempts + 1
    return Finding(unit=item.unit, n=n, outcome=outcome, judged=judged, response=response, cost=FREE, cost_source=CACHED)


async def remember(run: Run, findings: Sequence[Finding], keys: Mapping[int, bytes]) -> None:
    """Keep the valid answers among `findings`; `keys` stand for the requests by unit number."""
    good = [f for f in findings if f.outcome is Outcome.VALID and f.cost_source != CACHED]
    answers = {keys[f.unit.seq]: f.response for f in good if f.response is not None and f.unit.seq in keys}
    if run.answers is None or not answers:
        return
    try:
        await run.answers.keep(answers, run.clock())
    except StoreError as error:
        await _without(run, error)


def built_keys(run: Run, plan: StepPlan, chunk: ChunkRow) -> dict[int, bytes]:
    """What stands for the requests of a chunk that were built, by unit number; empty without a cache."""
    if run.answers is None or chunk.request_segment is None:
        return {}
    repetitions = _repetitions(run, chunk) if run.pipeline.processing.repeat > 1 else {}
    assert plan.target is not None
    lines = run.tables.scan(chunk.request_segment)
    return {line["seq"]: answer_key(plan.target, encode(line["body"]), repetitions.get(line["seq"], 0)) for line in lines}


def _repetitions(run: Run, chunk: ChunkRow) -> dict[int, int]:
    units = run.tables.units(chunk.id)
    groups = (run.inputs(units[start : start + GROUP]) for start in range(0, len(units), GROUP))
    return {seq: repetition_of(record) for group in groups for seq, record in group.items()}


async def _without(run: Run, error: StoreError) -> None:
    run.answers = None
    await run.tables.event(run.row.key, "warning", "cache_failed", {"error": error.message}, run.clock())
