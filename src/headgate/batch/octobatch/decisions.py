"""What became of an old run's units, step by step: decided from the index alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from headgate.batch.evaluate import Judged
from headgate.batch.gathering import FAN_FIELDS, FAN_INDEX, children_of
from headgate.batch.octobatch.findings import Findings, Odd
from headgate.batch.octobatch.folder import Place, Spool
from headgate.batch.octobatch.index import METADATA, RAW_TEXT, REASON, RETRY_COUNT, Answer, Entry, Index, Kind, answer_of
from headgate.batch.pipeline import Step, StepKind
from headgate.batch.plan import UNIT_ID
from headgate.batch.reasons import Reason, retryable
from headgate.batch.states import Outcome, UnitState
from headgate.wire.json import Json, JsonObject

CALL_KEYS = frozenset({"input_tokens", "output_tokens", "model", "finish_reason"})
"""What `_metadata` says of a call; the rest is of expression steps, and kept."""
CUT = frozenset({"max_tokens", "length", "MAX_TOKENS"})
STAGES = {"schema_validation": Reason.SCHEMA, "validation": Reason.RULE}
REASONS = frozenset(reason.value for reason in Reason)


class Arrived(msgspec.Struct, frozen=True):
    """A unit at a step. `origin` is its record or where that is kept; `input` where it lies in the new run (segment, row)."""

    uid: str
    seq: int
    parent_seq: int | None
    origin: Place | JsonObject
    input: tuple[int, int]


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: how it ended, its text and its complaints, and what is known of the call. `chunk` is the old chunk's number."""

    outcome: Outcome
    reason: Reason | None = None
    raw: str = ""
    errors: tuple[JsonObject, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str | None = None
    chunk: int = -1


class Decided(msgspec.Struct, frozen=True):
    """What became of a unit at a step. `record` is that of a valid one (`origin`: where it is kept), `children` those it became."""

    unit: Arrived
    state: UnitState
    tries: tuple[Try, ...]
    record: JsonObject | None = None
    origin: Place | JsonObject | None = None
    children: tuple[JsonObject, ...] | None = None


Judge = Callable[[int, JsonObject, str, bool], Judged]
"""Judges the text of an answer for a unit's record at a step; the last says that the answer was cut off."""


class Decider:
    """Decides the units of one run."""

    def __init__(self, index: Index, steps: tuple[Step, ...], spool: Spool, judge: Judge, findings: Findings) -> None:
        self._index = index
        self._steps = steps
        self._spool = spool
        self._judge = judge
        self._findings = findings

    def decide(self, step: int, units: Iterable[Arrived]) -> Iterator[Decided]:
        """The units of a step, in their order; then what is known of units that never came to it."""
        ids = set[str]()
        for unit in units:
            ids.add(unit.uid)
            yield self._fan(step, unit) if self._steps[step].kind is StepKind.FAN_OUT else self._unit(step, unit)
        for uid in self._index.steps[step].outcomes:
            if uid not in ids:
                self._findings.add(Odd.FOREIGN, f"{self._steps[step].name}: {uid}")

    def record(self, origin: Place | JsonObject) -> JsonObject:
        """A unit's fields."""
        return origin if isinstance(origin, dict) else cleaned(self._spool.get(origin))

    def _unit(self, step: int, unit: Arrived) -> Decided:
        known = self._index.steps[step]
        entries = sorted(known.outcomes.get(unit.uid, ()), key=lambda entry: (entry.kind is Kind.VALID, entry.chunk, entry.kind))
        tries = tuple(self._try(step, unit.uid, entry, entry is _last_of(entries, entry.chunk)) for entry in entries)
        if entries and entries[-1].kind is Kind.VALID:
            place = entries[-1].place
            return Decided(unit, UnitState.VALID, tries, self.record(place), place)
        if self._index.last_seen.get(unit.uid, -1) > step:
            return self._inferred(step, unit, tries)
        latest = max(known.brought.get(unit.uid, (-1,)))
        failed = [entry.chunk for entry in entries if entry.kind is Kind.FAILED]
        if failed and max(failed) >= latest:
            return Decided(unit, UnitState.FAILED, tries)
        answered = {entry.chunk for entry in entries}
        answer = known.answers.get((latest, unit.uid)) if latest not in answered else None
        raw = None if answer is None or answer.error is not None else self._spool.get(answer.place).get(RAW_TEXT)
        if answer is not None and isinstance(raw, str):
            return self._judged(step, unit, tries, answer, raw, latest)
        self._tell_waiting(step, unit, latest)
        return Decided(unit, UnitState.TODO, tries)

    def _try(self, step: int, uid: str, entry: Entry, last: bool) -> Try:
        line = self._spool.get(entry.place)
        answer = self._index.steps[step].answers.get((entry.chunk, uid)) if last else None
        if answer is None and self._steps[step].kind is StepKind.LLM and (entry.kind is Kind.VALID or METADATA in line):
            answer = answer_of(line, entry.place)
        raw = self._raw(line, answer)
        tokens = (None, None, None) if answer is None else (answer.input_tokens, answer.output_tokens, answer.model)
        if entry.kind is Kind.VALID:
            return _tried(Outcome.VALID, None, raw, (), tokens, entry.chunk)
        reason, errors = reason_of(line, raw, answer), tuple(errors_of(line.get("errors")))
        outcome = Outcome.ERROR if reason is Reason.PROVIDER_ERROR else Outcome.INVALID
        return _tried(outcome, reason, raw, errors, tokens, entry.chunk)

    def _raw(self, line: Mapping[str, Json], answer: Answer | None) -> str:
        """An answer exactly as it was returned, as far as anybody kept it."""
        for text in (line.get("raw_response"), line.get(RAW_TEXT)):
            if isinstance(text, str):
                return text
        text = None if answer is None else self._spool.get(answer.place).get(RAW_TEXT)
        return text if isinstance(text, str) else ""

    def _inferred(self, step: int, unit: Arrived, tries: tuple[Try, ...]) -> Decided:
        """A unit that must have come through, because it is known at a later step."""
        self._findings.add(Odd.INFERRED, f"{self._steps[step].name}: {unit.uid}")
        later = next(known.outcomes[unit.uid] for known in self._index.steps[step + 1 :] if unit.uid in known.outcomes)
        line = self._spool.get(later[0].place)
        given = line.get("input") if later[0].kind is not Kind.VALID else line
        fields = cleaned(given if isinstance(given, dict) else self.record(unit.origin))
        record = {name: value for name, value in fields.items() if name not in FAN_FIELDS} | {UNIT_ID: unit.uid}
        return Decided(unit, UnitState.VALID, (*tries, self._passed(step, unit.uid, tries)), record, record)

    def _passed(self, step: int, uid: str, tries: tuple[Try, ...]) -> Try:
        """The attempt that no outcome is on record of; its answer may be."""
        known, told = self._index.steps[step], {tried.chunk for tried in tries}
        chunk = max((chunk for chunk in known.brought.get(uid, ()) if chunk not in told), default=-1)
        answer = known.answers.get((chunk, uid))
        if answer is None:
            return Try(outcome=Outcome.VALID, chunk=chunk)
        tokens = (answer.input_tokens, answer.output_tokens, answer.model)
        return _tried(Outcome.VALID, None, self._raw({}, answer), (), tokens, chunk)

    def _judged(self, step: int, unit: Arrived, tries: tuple[Try, ...], answer: Answer, raw: str, chunk: int) -> Decided:
        """A unit whose answer is there, and was not judged before everything ended."""
        self._findings.add(Odd.UNJUDGED, f"{self._steps[step].name}: {unit.uid}")
        found = self._judge(step, self.record(unit.origin), raw, answer.finish in CUT)
        tokens = (answer.input_tokens, answer.output_tokens, answer.model)
        if found.reason is None:
            done = _tried(Outcome.VALID, None, raw, (), tokens, chunk)
            return Decided(unit, UnitState.VALID, (*tries, done), found.record, found.record)
        errors = tuple(msgspec.to_builtins(problem) for problem in found.problems)
        failed = _tried(Outcome.INVALID, found.reason, raw, errors, tokens, chunk)
        return Decided(unit, UnitState.TODO if retryable(found.reason) else UnitState.FAILED, (*tries, failed))

    def _tell_waiting(self, step: int, unit: Arrived, latest: int) -> None:
        """Say so when a unit waits and its chunk does not."""
        if latest < 0:
            return
        name, chunk = self._index.chunks[latest]
        where = f"{self._steps[step].name}: {unit.uid} in {name}"
        if chunk.step != self._steps[step].name:
            self._findings.add(Odd.UNDECIDED, where)
        elif chunk.submitted:
            self._findings.add(Odd.AT_PROVIDER, f"{where}, batch {chunk.batch_id or 'unknown'}")

    def _fan(self, step: int, unit: Arrived) -> Decided:
        """A unit at a fan_out step. Its children are those on record, and those that its list says there must be."""
        known = self._index.steps[step]
        entries = [entry for entry in known.outcomes.get(unit.uid, ()) if entry.kind is Kind.VALID]
        latest = max(known.brought.get(unit.uid, (-1,)))
        waits = latest >= 0 and self._index.chunks[latest][1].step == self._steps[step].name
        if not entries and (waits or latest < 0):
            return Decided(unit, UnitState.TODO, ())
        record = self.record(unit.origin)
        children = self._children(step, record, {entry.uid: self.record(entry.place) for entry in entries})
        done = Try(outcome=Outcome.VALID, chunk=max((entry.chunk for entry in entries), default=latest))
        return Decided(unit, UnitState.VALID, (done,), record, record, children)

    def _children(self, step: int, record: JsonObject, found: dict[str, JsonObject]) -> tuple[JsonObject, ...]:
        spread = self._steps[step].fan_out
        assert spread is not None
        due = children_of(record, spread)
        made = {} if isinstance(due, str) else {str(child[UNIT_ID]): child for child in due}
        for uid in (uid for uid in made if uid not in found):
            self._findings.add(Odd.REMADE, f"{self._steps[step].name}: {uid}")
        whole = made | found
        return tuple(sorted(whole.values(), key=lambda child: (_index(child), str(child[UNIT_ID]))))


def _index(child: JsonObject) -> int:
    value = child.get(FAN_INDEX)
    return value if isinstance(value, int) else 0


def _last_of(entries: list[Entry], chunk: int) -> Entry:
    return max((entry for entry in entries if entry.chunk == chunk), key=lambda entry: entry.kind)


def _tried(
    outcome: Outcome,
    reason: Reason | None,
    raw: str,
    errors: tuple[JsonObject, ...],
    tokens: tuple[int | None, int | None, str | None],
    chunk: int,
) -> Try:
    return Try(
        outcome=outcome,
        reason=reason,
        raw=raw,
        errors=errors,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        model=tokens[2],
        chunk=chunk,
    )


def cleaned(record: JsonObject) -> JsonObject:
    """A unit's own fields: without the text of its last answer, what its last call used, and how often it was tried."""
    kept = {name: value for name, value in record.items() if name not in (RAW_TEXT, METADATA, RETRY_COUNT)}
    told = record.get(METADATA)
    if isinstance(told, dict):
        told = {name: value for name, value in told.items() if name not in CALL_KEYS}
    if told:
        kept[METADATA] = told
    return kept


def reason_of(line: Mapping[str, Json], raw: str, answer: Answer | None) -> Reason:
    """Why a unit failed, in our words (OCT-93)."""
    stage = line.get("failure_stage")
    own = line.get(REASON)
    if isinstance(own, str) and own in REASONS:
        return Reason(own)
    if answer is not None and answer.error is not None:
        return Reason.PROVIDER_ERROR
    if answer is not None and answer.finish in CUT:
        return Reason.TRUNCATED
    if isinstance(stage, str) and stage in STAGES:
        return STAGES[stage]
    return Reason.PARSE_ERROR if raw.strip() else Reason.LOST


def errors_of(value: Json) -> Iterator[JsonObject]:
    """The complaints of a failure record."""
    for error in value if isinstance(value, list) else ():
        told: Mapping[str, Json] = error if isinstance(error, dict) else {"message": error}
        yield {name: str(told.get(name) or "") for name in ("path", "rule", "message")}
