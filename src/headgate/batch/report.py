"""What became of a run's units: the funnel, the failures, the money. Pure; the shell reads, this counts and words (OCT-152, IMP-18)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from headgate.batch.document import clip
from headgate.batch.reasons import Reason
from headgate.batch.rows import StepTotals
from headgate.batch.significance import outliers
from headgate.batch.statistics import Interval, wilson
from headgate.wire.json import Json, JsonObject, encode_text

TOP = 3
LONGEST = 100
MANY = 10_000
"""Different errors, and values of a field, that are told apart; further ones are counted together."""
OTHERS = "(others)"
_REPETITION = re.compile(r"__rep\d+$")
_REASONS = frozenset(reason.value for reason in Reason)


class FunnelRow(msgspec.Struct, frozen=True):
    """A step: units by what became of them. `lost` are those that nothing works on, 0 unless the run's data is damaged.

    `passed` is the share of the decided units that are valid, `yielded` that of the run's units (None where a step made more of them).
    """

    step: str
    started: int
    valid: int
    failed: int
    pending: int
    lost: int
    passed: Interval | None
    yielded: Interval | None


def funnel(steps: Sequence[StepTotals], units: int) -> tuple[FunnelRow, ...]:
    """A row for each step; `units` is what the run began with."""
    return tuple(_funnel_row(step, units) for step in steps)


def _funnel_row(step: StepTotals, units: int) -> FunnelRow:
    lost = 0 if step.open_chunks else step.pending
    decided = step.valid + step.failed
    return FunnelRow(
        step=step.name,
        started=step.started,
        valid=step.valid,
        failed=step.failed,
        pending=step.pending - lost,
        lost=lost,
        passed=wilson(step.valid, decided) if decided else None,
        yielded=wilson(step.valid, units) if units > 0 and step.valid <= units else None,
    )


class ErrorCount(msgspec.Struct, frozen=True):
    """An error of a step, worded as it was met first, and the units it was the end of."""

    step: str
    text: str
    count: int


class GroupCount(msgspec.Struct, frozen=True):
    """Units of one group: failed, and decided at all (None where only the failures were counted)."""

    group: str
    failed: int
    decided: int | None
    share: Interval | None


class Failures:
    """Counts failures as they are read, one after the other."""

    def __init__(self, field: str | None) -> None:
        self.field = field
        self.groups: Counter[str] = Counter()
        self.errors: dict[str, Counter[str]] = {}
        self._words: dict[tuple[str, str], str] = {}

    def add(self, failure: JsonObject) -> None:
        """Count one line of `outputs.failures`."""
        record: JsonObject = failure["input"]
        name = item_of(str(failure["unit_id"])) if self.field is None else group_of(record, self.field)
        _bounded(self.groups, name)
        step = str(failure["step"])
        problems = failure["errors"] or [{"rule": failure["failure_stage"] or "unknown", "message": ""}]
        counts = self.errors.setdefault(step, Counter())
        for key in dict.fromkeys(self._key(step, problem) for problem in problems):
            _bounded(counts, key)

    def _key(self, step: str, problem: JsonObject) -> str:
        rule, path, message = (str(problem.get(name, "")) for name in ("rule", "path", "message"))
        words = clip(": ".join(part for part in (rule, message) if part), LONGEST)
        if rule in _REASONS:
            return words
        key = f"{rule} {path}"
        if len(self._words) < MANY:
            self._words.setdefault((step, key), words)
        return key

    def top_errors(self, most: int = TOP) -> tuple[ErrorCount, ...]:
        """The most frequent errors of each step."""
        return tuple(
            ErrorCount(step, self._words.get((step, key), clip(key, LONGEST)), count)
            for step, counts in self.errors.items()
            for key, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
        )

    def by_group(self, passed: Mapping[str, int] | None) -> tuple[GroupCount, ...]:
        """Failures by item or field, most first; with `passed` (valid units by group) as shares of the decided ones."""
        names = dict.fromkeys((*self.groups, *(passed or ())))
        found = [_group(name, self.groups[name], None if passed is None else self.groups[name] + passed.get(name, 0)) for name in names]
        return tuple(sorted(found, key=lambda group: (-group.failed, group.group)))


def _group(name: str, failed: int, decided: int | None) -> GroupCount:
    return GroupCount(name, failed, decided, wilson(failed, decided) if decided else None)


def _bounded(counts: Counter[str], key: str) -> None:
    counts[key if key in counts or len(counts) < MANY else OTHERS] += 1


def count_groups(records: Iterable[JsonObject], field: str) -> dict[str, int]:
    """Records by the value of a field."""
    counts: Counter[str] = Counter()
    for record in records:
        _bounded(counts, group_of(record, field))
    return dict(counts)


def item_of(unit_id: str) -> str:
    """The item a unit was made of: its id without the number of the repetition."""
    return _REPETITION.sub("", unit_id)


def field_of(record: Mapping[str, Json], name: str) -> Json:
    """The value of a field: a name, or a path with dots into objects. None where there is none."""
    if name in record:
        return record[name]
    value: Json = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def group_of(record: Mapping[str, Json], field: str) -> str:
    """The value of a field as the name of a group."""
    value = field_of(record, field)
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else encode_text(value)


def bias_notes(valid: int, dropped: int, field: str | None, groups: Sequence[GroupCount]) -> tuple[str, ...]:
    """What to bear in mind when results are read: units that were dropped on the way are not in them."""
    if not dropped:
        return ()
    share = wilson(dropped, valid + dropped)
    notes = [
        f"{dropped:,} of {valid + dropped:,} units ({100 * share.value:.1f}%) were dropped on the way. "
        "Shares and means of the results are those of the units that came through, not of all."
    ]
    measured = {group.group: (group.failed, group.decided) for group in groups if group.decided}
    counted = {name: (failed, decided) for name, (failed, decided) in measured.items() if decided is not None}
    uneven = outliers(counted) if len(counted) > 1 else ()
    if uneven and field is not None:
        named = ", ".join(clip(name, 40) for name in uneven[:5]) + (" …" if len(uneven) > 5 else "")
        notes.append(f"The drops are not even over {field}: {named} failed more, or less, often than the rest, which biases results by it.")
    return tuple(notes)
