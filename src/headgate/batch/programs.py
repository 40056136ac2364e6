"""Programs of a pipeline's own: run only where the user allowed it, without our secrets, and not for ever."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from pathlib import Path

from headgate.batch.pipeline import Pipeline, StepKind
from headgate.errors import RunError

BUILT_IN = frozenset({"extract_units", "analyze_results"})
"""Programs that ship with Octobatch and are done here by the package itself, without running anything (OCT-142, OCT-156)."""

_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SYSTEMROOT", "TMPDIR", "HOME")
"""What a program may know of the environment: nothing that could be a secret."""
_TOLD = 500


def built_in(script: str) -> str | None:
    """The built-in that a script's name stands for: ``scripts/analyze_results.py`` is `analyze_results`."""
    stem = Path(script).name.removesuffix(".py")
    return stem if stem in BUILT_IN else None


def own_programs(pipeline: Pipeline) -> list[tuple[str, str]]:
    """The programs a pipeline would run: what each is for, and its script."""
    steps = [(f"step {step.name!r}", step.script.script) for step in pipeline.steps if step.kind is StepKind.RUN and step.script]
    after = [(f"post_process {entry.name!r}", entry.script) for entry in pipeline.post_process if entry.script is not None]
    return [(what, script) for what, script in (*steps, *after) if built_in(script) is None]


async def run_program(script: str, args: Sequence[str], folder: Path, seconds: float) -> bytes:
    """Run `script` of the pipeline in `folder` with `args`, at most so long; returns what it printed.

    Raises `RunError` when it is not there, does not end in time, or ends with another code than 0 (with the end of what it complained).
    """
    path = await asyncio.to_thread(_found, script, folder)
    command = [sys.executable, str(path)] if path.suffix == ".py" else [str(path)]
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *command, *args, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment, cwd=folder, start_new_session=True
        )
    except OSError as error:
        raise RunError(f"{script} cannot be run: {error.strerror}", hint=f"ls -l {path}") from error
    try:
        output, complaint = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError as error:
        raise RunError(f"{script} did not end within {seconds:g} seconds", hint="see api.subprocess_timeout_seconds") from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # what it has started as well: the session is its own
            await process.wait()
    if process.returncode:
        said = complaint.decode(errors="replace").strip()[-_TOLD:]
        raise RunError(f"{script} ended with code {process.returncode}: {said or 'without a word'}")
    return output


def _found(script: str, folder: Path) -> Path:
    """The program's file, inside the pipeline's folder."""
    path = (folder / script).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise RunError(f"there is no program {script!r} in the pipeline's folder {folder}")
    return path
