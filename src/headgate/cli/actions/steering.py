"""``headgate pause``, ``resume``, ``kill``, ``restart`` and ``watch``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.resuming import find_begun, resume_request
from headgate.assembly.runs import open_run
from headgate.cli.actions.runs import announce, conclude, confirm, drive


class Resuming(msgspec.Struct, frozen=True, kw_only=True):
    """How to go on with a run; `max_cost` in nano-dollars, `timeout` in seconds."""

    max_cost: int | None = None
    concurrency: int | None = None
    timeout: float | None = None
    yes: bool = False
    quiet: bool = False
    as_json: bool = False


def resume(run: str, api_key: str | None, **given: object) -> int:
    """See `headgate resume --help`."""
    parts = load_parts(key=api_key)
    return go_on(parts, find_begun(parts, run), msgspec.convert(given, Resuming))


def go_on(parts: Parts, folder: Path, how: Resuming) -> int:
    """Drive the run in `folder` on; the exit code."""
    request = resume_request(folder)
    changes = {"max_cost_nanos": how.max_cost or request.max_cost_nanos, "concurrency": how.concurrency or request.concurrency}
    opened = open_run(parts, msgspec.structs.replace(request, **changes))
    announce(opened)
    confirm(opened, request.max_units, how.yes)
    result = drive(parts, opened, how.quiet, how.timeout)
    conclude(opened, result, how.as_json)
    return result.exit_code
