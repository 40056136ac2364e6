"""The calls of a step in numbers, first tries and retries apart. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headgate.batch.rows import Attempt
from headgate.wire.json import Json, decode


class Tally(msgspec.Struct, frozen=True):
    """Calls that may have been billed: how many, their tokens, what those with a known price cost (nano-dollars), and how many have none.

    `retry` tells calls for a unit that had been asked before at this step from its first ones.
    """

    step: int
    retry: bool
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanos: int = 0
    unpriced: int = 0

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Tally) -> Tally:
        """The sum, at this step and of this kind."""
        return Tally(
            self.step,
            self.retry,
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_nanos + other.cost_nanos,
            self.unpriced + other.unpriced,
        )


def tally_of(attempt: Attempt) -> Tally | None:
    """One attempt as a tally; None when nothing was called."""
    if attempt.cost_source == "none" and attempt.usage is None and attempt.cost_nanos is not None:
        return None
    usage: Json = {} if attempt.usage is None else decode(attempt.usage)
    return Tally(
        step=attempt.step,
        retry=attempt.n > 1,
        calls=1,
        input_tokens=usage.get("input_total", 0),
        output_tokens=usage.get("output_total", 0),
        cost_nanos=attempt.cost_nanos or 0,
        unpriced=attempt.cost_nanos is None,
    )


def tallies(attempts: Iterable[Attempt]) -> tuple[Tally, ...]:
    """What attempts came to, by step and kind."""
    found: dict[tuple[int, bool], Tally] = {}
    for one in filter(None, map(tally_of, attempts)):
        key = (one.step, one.retry)
        found[key] = found[key] + one if key in found else one
    return tuple(found.values())


def total(parts: Iterable[Tally], *, retry: bool | None = None, step: int | None = None) -> Tally:
    """The sum over `parts`: of one kind and step, or of all."""
    chosen = (part for part in parts if retry in (None, part.retry) and step in (None, part.step))
    return sum(chosen, Tally(-1 if step is None else step, bool(retry)))
