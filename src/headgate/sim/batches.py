"""What the providers' batch APIs have in common: time, fate of rows, and the moment results are written.

A batch is a function of the clock: nothing runs in the background. Whoever looks (a request, the bill, the control API) finds the
phase that its creation time, its size, its script and the clock imply; the first look after its end writes its results and its bill.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from headgate.sim import dice
from headgate.sim.exchange import Request
from headgate.sim.faults import AnswerName, BatchEnd, ErrorName, RowName, Rows
from headgate.sim.settings import Timings
from headgate.sim.state import BatchRecord
from headgate.sim.world import Call, Entry, Moment, Phase, World
from headgate.wire.json import encode

RowKind: TypeAlias = Literal["answer", "error", "expired", "cancelled", "missing", "duplicate", "foreign", "bad_json"]
_UNREADABLE = frozenset({"error", "expired", "missing", "bad_json"})
_TWISTS: dict[RowName, AnswerName] = {
    "empty": "empty",
    "refusal": "refusal",
    "length": "length",
    "fenced": "fenced",
    "invalid": "invalid",
    "separators": "separators",
}
_KINDS: dict[RowName, RowKind] = {
    "error": "error",
    "expired": "expired",
    "missing": "missing",
    "duplicate": "duplicate",
    "foreign": "foreign",
    "bad_json": "bad_json",
}
_NO_REQUEST = Request("POST", "", {}, {}, b"")


class Fate(msgspec.Struct, frozen=True):
    """What becomes of one row; `billed` says whether its answer is charged."""

    kind: RowKind = "answer"
    twist: AnswerName | None = None
    error: ErrorName = "server"
    billed: bool = True


ANSWERED = Fate()


def scripted_end(batch: BatchRecord) -> BatchEnd | None:
    """The scripted end of a batch, if it has one."""
    return next((action for action in batch.script if isinstance(action, BatchEnd)), None)


def moment(batch: BatchRecord, timings: Timings, now: float) -> Moment:
    """Where the batch stands at `now`. One that has no rows yet waits for them."""
    if not batch.rows and not batch.errors:
        return Moment("validating", 0)
    script = scripted_end(batch)
    end = None if script is None else script.end
    valid = batch.created_at + timings.validate
    run_end = math.inf if end == "stuck" else valid + timings.run + timings.per_row * batch.rows
    goal = int(script.share * batch.rows) if script is not None and end in ("expired", "cancelled") else batch.rows

    def done(at: float) -> int:
        return goal if at >= run_end else max(0, int(goal * (at - valid) / (run_end - valid)))

    if batch.cancel_at is not None and end != "cancel_lost":
        return _cancelled(batch.cancel_at, done(batch.cancel_at), valid, timings, now)
    if now < valid:
        return Moment("validating", 0)
    if batch.errors:
        return Moment("failed", 0, ended_at=valid)
    latest = math.inf if end == "stuck" else deadline(batch, timings)
    if now >= latest < run_end + timings.finalize:
        return Moment("expired", done(latest), running_at=valid, ended_at=latest)
    if now < run_end:
        phase: Phase = "running" if batch.cancel_at is None else "cancelling"
        return Moment(phase, done(now), running_at=valid, cancelling_at=batch.cancel_at)
    if end == "expired":
        return Moment("expired", goal, running_at=valid, ended_at=run_end)
    if end == "cancelled":
        return _cancelled(run_end, goal, valid, timings, now)
    final = run_end + timings.finalize
    if now < final:
        return Moment("finalizing", goal, running_at=valid, finalizing_at=run_end, cancelling_at=batch.cancel_at)
    return Moment("completed", goal, running_at=valid, finalizing_at=run_end, cancelling_at=batch.cancel_at, ended_at=final)


def deadline(batch: BatchRecord, timings: Timings) -> float:
    """When a batch expires: after its own window (None: never), else after the provider's usual one."""
    if "window" in batch.options:
        own: float | None = batch.options["window"]
        return math.inf if own is None else batch.created_at + own
    return batch.created_at + (timings.gemini_window if batch.provider == "gemini" else timings.window)


def _cancelled(at: float, done: int, valid: float, timings: Timings, now: float) -> Moment:
    running = valid if at >= valid else None
    final = at + timings.cancel
    if now < final:
        return Moment("cancelling", done, running_at=running, cancelling_at=at)
    return Moment("cancelled", done, running_at=running, cancelling_at=at, ended_at=final)


def look(world: World, batch: BatchRecord) -> Moment:
    """Where the batch stands now; writes its results on the first look after its end."""
    at = moment(batch, world.settings.timings, world.clock.now())
    if at.ended_at is not None and not batch.settled:
        batch.settled = True
        batch.ended_at = at.ended_at
        world.settlers[batch.provider](world, batch, at)
        world.batches.put(batch)
    return at


def settle_all(world: World) -> None:
    """Look at every batch, so that bill and files are up to date."""
    for batch in world.batches.all():
        if not batch.settled:
            look(world, batch)


def cancel(world: World, batch: BatchRecord) -> bool:
    """Ask for cancellation; False when the batch has ended or is being cancelled already."""
    at = look(world, batch)
    if at.ended_at is not None or at.phase == "cancelling":
        return False
    batch.cancel_at = world.clock.now()
    world.batches.put(batch)
    return True


def split(world: World, batch: BatchRecord, done: int) -> tuple[list[int], list[int]]:
    """Row numbers in the order the provider worked on them: the executed ones, and those that never ran."""
    order = sorted(range(batch.rows), key=lambda index: dice.share(world.settings.seed, batch.id, index))
    return order[:done], order[done:]


def fate(world: World, batch: BatchRecord, custom_id: str) -> Fate:
    """What the batch's script does to one executed row."""
    end = scripted_end(batch)
    if end is not None and end.end == "all_errors":
        return Fate("error", error="server", billed=False)
    for action in batch.script:
        if isinstance(action, Rows) and dice.share(world.settings.seed, action.row, custom_id) < action.share:
            billed = action.row not in _UNREADABLE if action.billed is None else action.billed
            return Fate(_KINDS.get(action.row, "answer"), _TWISTS.get(action.row), action.error, billed)
    return ANSWERED


def row_call(world: World, batch: BatchRecord, twist: AnswerName | None, request_id: str) -> Call:
    """A request for one row, for the handlers that answer realtime calls too."""
    entry = Entry(0, 0.0, batch.provider, "batch", batch.account)
    return Call(world, _NO_REQUEST, batch.provider, "batch", batch.account, {}, entry, request_id=request_id, twist=twist)


def spoilt(world: World, line: bytes, kind: RowKind, custom_id: str) -> list[bytes]:
    """The lines an executed row leaves in the results: usually one."""
    if kind == "missing":
        return []
    if kind == "bad_json":
        return [line[: len(line) // 2]]
    if kind == "duplicate":
        return [line, line]
    if kind == "foreign":
        return [line, line.replace(encode(custom_id), encode(world.new_id("foreign-", 8)), 1)]
    return [line]


def page(items: Sequence[BatchRecord], limit: int, after: str | None, before: str | None = None) -> tuple[list[BatchRecord], bool]:
    """A page of `items` behind the id `after` (or directly ahead of `before`), and whether there are more in that direction."""
    names = [item.id for item in items]
    if before is not None:
        end = names.index(before) if before in names else 0
        return list(items[max(0, end - limit) : end]), end > limit
    start = names.index(after) + 1 if after in names else 0
    return list(items[start : start + limit]), start + limit < len(items)


def newest_first(world: World, provider: str, account: str) -> list[BatchRecord]:
    """An account's batches, the last created first."""
    return sorted(world.batches.of(provider, account), key=lambda batch: -batch.serial)
