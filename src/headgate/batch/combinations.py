"""Units from several positions, each filled with an item: every ordered selection, or every combination (OCT-60, OCT-61). Pure and lazy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import permutations, product

import msgspec

from headgate.batch.plan import Item
from headgate.errors import ConfigError

JOINT = "-"
"""What stands between the names of the positions in an id."""
MOST = 10**11
"""Units of a run: the number of one stands in what a provider is told."""
MOST_COMPARED = 2_000_000
"""So many ids are compared with one another, where their names do not show that they differ."""


class Combinations(msgspec.Struct, frozen=True):
    """Items made of items: one for each way to fill the positions `names`. An item's fields are whole items, by position.

    `choices` are what may stand at each position. `distinct`: all positions choose among the same, and none twice.
    """

    names: tuple[str, ...]
    choices: tuple[tuple[Item, ...], ...]
    distinct: bool = False

    def __len__(self) -> int:
        return self.count

    @property
    def count(self) -> int:
        """How many ways there are."""
        if self.distinct:
            return math.perm(len(self.choices[0]), len(self.names))
        return math.prod(map(len, self.choices))

    def __iter__(self) -> Iterator[Item]:
        for chosen in self._chosen():
            yield Item(joined(chosen), {name: item.fields for name, item in zip(self.names, chosen, strict=True)})

    def _chosen(self) -> Iterator[tuple[Item, ...]]:
        return permutations(self.choices[0], len(self.names)) if self.distinct else product(*self.choices)

    def check(self, where: str) -> None:
        """Raises `ConfigError` for more than a run can have, and when two may have one id, as "a-b" + "c" and "a" + "b-c" have."""
        if self.count > MOST:
            message = f"there are {self.count:.3g} ways to fill the positions; a run has at most {MOST:,} units"
            raise ConfigError(message, where=where, hint="have fewer positions, or fewer items")
        if all(len({item.base_id.count(JOINT) for item in choice}) <= 1 for choice in self.choices):
            return
        hint = f"have names without {JOINT!r}, or choose another name_field"
        if self.count > MOST_COMPARED:
            raise ConfigError(
                f"the ids of {self.count:,} units might not differ: some names have a {JOINT!r} in them", where=where, hint=hint
            )
        seen: set[str] = set()
        for chosen in self._chosen():
            id = joined(chosen)
            if id in seen:
                raise ConfigError(f"two units would have the id {id!r}", where=where, hint=hint)
            seen.add(id)


def joined(chosen: Sequence[Item]) -> str:
    """The id of a combination."""
    return JOINT.join([item.base_id for item in chosen])
