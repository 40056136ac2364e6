"""What an old run's files say, by step and unit: read once, with the lines kept aside and only their places in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from hashlib import blake2b

import msgspec

from headgate.batch.gathering import FAN_PARENT
from headgate.batch.octobatch.findings import Findings, Odd
from headgate.batch.octobatch.folder import Line, OldRun, Place, Spool
from headgate.batch.octobatch.manifest import VALIDATED, Chunk, Manifest
from headgate.batch.pipeline import Step, StepKind
from headgate.batch.plan import UNIT_ID
from headgate.wire.json import Json, JsonObject, encode

METADATA = "_metadata"
RAW_TEXT = "_raw_text"
RETRY_COUNT = "retry_count"
REASON = "_reason"
"""The field of a failure record with our own word for why, in folders that we wrote."""
MOST_TOKENS = 10**12


class Kind(IntEnum):
    """What a file says about its units, in the order it came about within one chunk."""

    ARCHIVED = 0
    FAILED = 1
    VALID = 2


SUFFIXES = {Kind.ARCHIVED: "_failures.jsonl.bak", Kind.FAILED: "_failures.jsonl", Kind.VALID: "_validated.jsonl"}


class Entry(msgspec.Struct, frozen=True):
    """One outcome of a unit at a step: in which chunk (by number), and where its line is kept."""

    kind: Kind
    chunk: int
    place: Place
    digest: bytes
    uid: str


class Answer(msgspec.Struct, frozen=True):
    """What a model answered for a unit in a chunk: where the line is kept, its tokens and what ended it."""

    place: Place
    input_tokens: int | None
    output_tokens: int | None
    model: str | None
    finish: str | None
    error: str | None


class StepIndex(msgspec.Struct, frozen=True):
    """A step: outcomes by unit id, answers by chunk and unit id, and the chunks that bring a unit to this step.

    At a fan_out step outcomes are those of the children, by the id of their parent.
    """

    outcomes: dict[str, list[Entry]]
    answers: dict[tuple[int, str], Answer]
    brought: dict[str, list[int]]


class Index(msgspec.Struct, frozen=True):
    """The whole run. `units` are the first step's, in order, with the places of their records; `last_seen` is the last step at which
    a unit has an outcome."""

    steps: tuple[StepIndex, ...]
    chunks: tuple[tuple[str, Chunk], ...]
    units: dict[str, Place]
    last_seen: dict[str, int]


def digest_of(record: JsonObject) -> bytes:
    """What tells records apart, in whatever order their fields are."""
    return blake2b(encode(dict(sorted(record.items()))), digest_size=16).digest()


def read_index(old: OldRun, manifest: Manifest, steps: tuple[Step, ...], spool: Spool, findings: Findings) -> Index:
    """Read every file of the run. `steps` are those that units go through. Raises `ConfigError`."""
    reader = _Reader(old, manifest, steps, spool, findings)
    reader.read()
    spool.done()
    return Index(tuple(reader.steps), tuple(manifest.chunks.items()), reader.units, reader.last_seen)


class _Reader:
    def __init__(self, old: OldRun, manifest: Manifest, steps: tuple[Step, ...], spool: Spool, findings: Findings) -> None:
        self._old = old
        self._manifest = manifest
        self._names = [step.name for step in steps]
        self._kinds = [step.kind for step in steps]
        self._spool = spool
        self._findings = findings
        self.steps = [StepIndex({}, {}, {}) for _ in steps]
        self.units: dict[str, Place] = {}
        self.last_seen: dict[str, int] = {}

    def read(self) -> None:
        """The input, then chunk by chunk as the manifest lists them, which is the order they came about."""
        listed = {uid for uid, _ in self._initial("input/units.jsonl")}
        for number, (name, chunk) in enumerate(self._manifest.chunks.items()):
            self._chunk(number, f"chunks/{name}", chunk)
        placed = self.steps[0].brought
        for uid in self.units:
            if uid in listed and uid not in placed:
                self._findings.add(Odd.UNPLACED, uid)
        for name in self._old.chunk_folders():
            if name not in self._manifest.chunks:
                self._findings.add(Odd.UNLISTED, f"chunks/{name}")

    def _records(self, path: str) -> Iterator[tuple[str, Line]]:
        """The lines of a file that name a unit."""
        for line in self._old.lines(path):
            uid = line.record.get(UNIT_ID)
            if isinstance(uid, str) and uid:
                yield uid, line
            else:
                self._findings.add(Odd.NAMELESS, line.where)

    def _initial(self, path: str) -> Iterator[tuple[str, Line]]:
        for uid, line in self._records(path):
            if uid in self.units:
                self._findings.add(Odd.TWICE, f"{line.where} {uid}")
                continue
            self.units[uid] = self._spool.put(line.data)
            yield uid, line

    def _chunk(self, number: int, folder: str, chunk: Chunk) -> None:
        items = self._units_of(number, folder, chunk)
        seen = [{kind: self._outcomes(number, step, folder, kind) for kind in Kind} for step in range(len(self._names))]
        for step in range(len(self._names)):
            self._answers(number, step, folder)
        self._check_files(folder, chunk, [found[Kind.VALID] for found in seen])
        if chunk.items is not None and items is not None and chunk.items != items:
            self._findings.add(Odd.COUNTS, f"{folder}: items {chunk.items}, units.jsonl has {items}")
        through = seen[-1][Kind.VALID]
        if chunk.state == VALIDATED and chunk.valid is not None and StepKind.FAN_OUT not in self._kinds[:-1] and chunk.valid != through:
            self._findings.add(Odd.COUNTS, f"{folder}: valid {chunk.valid}, {self._names[-1]}{SUFFIXES[Kind.VALID]} has {through}")

    def _units_of(self, number: int, folder: str, chunk: Chunk) -> int | None:
        """Take in the units of a chunk; returns how many lines there are, None without a file."""
        path = f"{folder}/units.jsonl"
        if not self._old.has(path):
            return None
        count, own = 0, set[str]()
        at = self._names.index(chunk.retry_step) if chunk.retry_step in self._names else 0
        for uid, line in self._records(path):
            count += 1
            if uid in own:
                self._findings.add(Odd.TWICE, f"{line.where} {uid}")
                continue
            own.add(uid)
            self.steps[at].brought.setdefault(uid, []).append(number)
            if at == 0 and uid not in self.units and FAN_PARENT not in line.record:
                self.units[uid] = self._spool.put(line.data)
        return count

    def _outcomes(self, number: int, step: int, folder: str, kind: Kind) -> int:
        """Take in one file of outcomes; returns how many units it is about."""
        known = self.steps[step].outcomes
        fan = self._kinds[step] is StepKind.FAN_OUT and kind is Kind.VALID
        own = set[str]()
        for uid, line in self._records(f"{folder}/{self._names[step]}{SUFFIXES[kind]}"):
            key = line.record.get(FAN_PARENT) if fan else uid
            if not isinstance(key, str):
                self._findings.add(Odd.NAMELESS, line.where)
                continue
            if kind is Kind.VALID and step + 1 < len(self.steps):
                self.steps[step + 1].brought.setdefault(uid, []).append(number)
            digest = digest_of(line.record)
            before = known.setdefault(key, [])
            if self._is_new(before, uid, kind, number, digest, uid in own):
                before.append(Entry(kind, number, self._spool.put(line.data), digest, uid))
                for name in (uid, key):
                    self.last_seen[name] = max(step, self.last_seen.get(name, 0))
            elif uid in own or (kind is Kind.VALID and all(entry.digest != digest for entry in before if entry.uid == uid)):
                self._findings.add(Odd.TWICE, f"{line.where} {uid}")
            own.add(uid)
        return len(own)

    def _is_new(self, before: list[Entry], uid: str, kind: Kind, chunk: int, digest: bytes, again: bool) -> bool:
        """Whether a record says something that was not said yet. A chunk of retries has copies of what came before it."""
        if kind is Kind.VALID:
            return not any(entry.kind is Kind.VALID and entry.uid == uid for entry in before)
        for at, entry in enumerate(before):
            if entry.digest == digest and entry.chunk == chunk and entry.kind is not Kind.VALID:
                if entry.kind is Kind.ARCHIVED and kind is Kind.FAILED:
                    before[at] = msgspec.structs.replace(entry, kind=kind)
                return False
        return True

    def _answers(self, number: int, step: int, folder: str) -> None:
        if self._kinds[step] is not StepKind.LLM:
            return
        known = self.steps[step].answers
        for uid, line in self._records(f"{folder}/{self._names[step]}_results.jsonl"):
            if (number, uid) in known:
                self._findings.add(Odd.TWICE, f"{line.where} {uid}")
            else:
                known[number, uid] = answer_of(line.record, self._spool.put(line.data))

    def _check_files(self, folder: str, chunk: Chunk, valid: list[int]) -> None:
        """Files that a chunk's state says there must be: its units, and outcomes wherever units came that are past it; `valid` counts."""
        at = self._names.index(chunk.step) if chunk.step in self._names else None
        first = self._names.index(chunk.retry_step) if chunk.retry_step in self._names else 0
        if first == 0 and StepKind.FAN_OUT not in self._kinds and not self._old.has(f"{folder}/units.jsonl"):
            self._findings.add(Odd.NO_FILE, f"{folder}/units.jsonl")
        if at is None and chunk.state != VALIDATED:
            return
        steps = range(first, len(self._names) if at is None else at)
        if StepKind.FAN_OUT in self._kinds:
            return
        for step in (step for step in steps if step == first or valid[step - 1]):
            paths = [f"{folder}/{self._names[step]}{SUFFIXES[kind]}" for kind in (Kind.VALID, Kind.FAILED)]
            if not any(self._old.has(path) for path in paths):
                self._findings.add(Odd.NO_FILE, paths[0])


def answer_of(record: Mapping[str, Json], place: Place) -> Answer:
    """What a line of results says of a call. Odd values are taken as unknown."""
    found = record.get(METADATA)
    told: Mapping[str, Json] = found if isinstance(found, dict) else {}
    error = record.get("error")
    return Answer(
        place,
        _tokens(told.get("input_tokens")),
        _tokens(told.get("output_tokens")),
        _text(told.get("model")),
        _text(told.get("finish_reason")),
        _text(error) if "response" in record and record["response"] is None else None,
    )


def _tokens(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else None


def _text(value: Json) -> str | None:
    return value[:500] if isinstance(value, str) and value else None
