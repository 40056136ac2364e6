"""How the batch APIs that copied OpenAI's differ from it."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from headgate.sim.exchange import Problem
from headgate.sim.openai_wire import Done
from headgate.sim.world import Call, World
from headgate.wire.json import JsonObject

_WINDOW = re.compile(r"([1-9][0-9]{0,3})([hd])")
HOUR = 3600.0


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's files and batches.

    `run` answers the body of one row as a call of its own would be answered, `error_body` is a refusal's body. `windows` are the shortest
    and the longest completion window in hours; without a `deadline` no batch expires. `rows` and `size` are limits beside the settings'.
    `bare` lines have no method and url. `purpose` marks input files, `default_purpose` those that name none.
    """

    provider: str
    run: Callable[[Call, JsonObject], tuple[Done, JsonObject]]
    error_body: Callable[[Problem], JsonObject]
    statuses: dict[str, int]
    endpoints: tuple[str, ...]
    windows: tuple[int, int] = (24, 24)
    deadline: bool = True
    rows: int = 100_000_000
    size: int = 1 << 40
    bare: bool = False
    purpose: str = "batch"
    default_purpose: str = ""
    purposes: tuple[str, ...] = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")

    def max_rows(self, world: World) -> int:
        """Requests in one file."""
        return min(self.rows, world.settings.limits.openai_rows)

    def max_bytes(self, world: World) -> int:
        """Bytes of one input file."""
        return min(self.size, world.settings.limits.openai_bytes)

    def window(self, asked: str) -> JsonObject:
        """What a batch keeps of its completion window. Raises `Problem` for one that is not offered."""
        found = _WINDOW.fullmatch(asked)
        hours = int(found[1]) * (24 if found[2] == "d" else 1) if found else 0
        shortest, longest = self.windows
        if not shortest <= hours <= longest:
            offered = f"'{shortest}h'" if shortest == longest else f"between '{shortest}h' and '{longest}h'"
            message = f"Invalid value: 'completion_window' must be {offered}."
            raise Problem("bad_request", message, code="invalid_value", param="completion_window")
        if not self.deadline:
            return {"window": None}
        return {} if hours == 24 else {"window": hours * HOUR}
