"""The conservation law: at every instant and step, started = valid + failed + pending, and what is valid here is started next.

A valid unit starts one unit at the next step, or as many as it became there (`children`).
"""

from __future__ import annotations

from itertools import pairwise

from headgate.batch.rows import unit_steps
from headgate.batch.states import PENDING_UNITS, UnitState
from headgate.batch.tables import Tables


def check_books(tables: Tables, run: int) -> list[str]:
    """What contradicts the law, counted unit by unit against the chunks' counters; empty when all is well."""
    totals, counts, made = tables.books(run)
    problems = []
    for total in totals:
        valid, failed = counts.get((total.idx, UnitState.VALID), 0), counts.get((total.idx, UnitState.FAILED), 0)
        pending = sum(counts.get((total.idx, state), 0) for state in PENDING_UNITS)
        if (total.started, total.valid, total.failed) != (valid + failed + pending, valid, failed):
            problems.append(
                f"step {total.name}: counters say {total.started} started, {total.valid} valid, {total.failed} failed; "
                f"the units are {valid + failed + pending}, {valid}, {failed}"
            )
    for before, after in pairwise(unit_steps(totals)):
        promoted, due = sum(counts.get((after.idx, state), 0) for state in UnitState), made.get(before.idx, 0)
        if not before.open_chunks and due != promoted:
            problems.append(f"step {after.name}: {promoted} units started of the {due} that {before.valid} valid at {before.name} make")
    return problems
