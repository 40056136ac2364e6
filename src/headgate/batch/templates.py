"""Prompts from templates, rendered in worker processes that can be thrown away (OCT-80, OCT-81, faults I10).

A template that runs for ever, eats memory or writes gigabytes costs its own unit a `RenderError`; every other unit is rendered.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import msgspec

from headgate.batch.render_protocol import HEADER, MAX_FRAME, Job, Results, Setup, decode_results, encode_context, frame
from headgate.errors import RunError
from headgate.wire.json import Json, JsonObject

_START_SECONDS = 30.0
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SYSTEMROOT", "TMPDIR", "LD_LIBRARY_PATH")
"""What a worker may know of the environment: nothing that could be a secret."""


class RenderError(msgspec.Struct, frozen=True):
    """Why a unit has no prompt. `kind` is undefined, error, timeout, too_large or memory."""

    kind: str
    message: str


class RenderSettings(msgspec.Struct, frozen=True):
    """Bounds of one render (`seconds` of time, `output` characters) and of a worker (`memory` bytes of address space).

    A worker silent for `seconds` + `grace` is killed. `workers` is the pool's size, `batch` how many contexts go to a worker at once.
    """

    seconds: float = 1.0
    output: int = 4 << 20
    memory: int = 512 << 20
    workers: int = 1
    batch: int = 256
    grace: float = 2.0


def prompt_context(
    fields: JsonObject,
    global_context: JsonObject,
    values: JsonObject | None = None,
    *,
    retry_attempt: int = 0,
    retry_errors: Sequence[Json] = (),
) -> JsonObject:
    """What a template sees: `prompts.global_context`, the unit's fields, the values of `processing.expressions`; the later win.

    On a retry `_retry.attempt` (from 1) and `_retry.errors` (a list of ``{path, rule, message}``) are there as well.
    """
    context = {**global_context, **fields, **(values or {})}
    if retry_attempt:
        context["_retry"] = {"attempt": retry_attempt, "errors": list(retry_errors)}
    return context


class _WorkerGone(Exception):
    """The worker ended or stayed silent too long. `kind` is that of a `RenderError`."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class _Worker:
    """One process, spoken to by one task at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._input = process.stdin
        self._output = process.stdout

    @classmethod
    async def start(cls, setup: Setup) -> _Worker:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        command = (sys.executable, "-P", "-m", "headgate.batch.render_worker")
        # A session of its own: Ctrl-C is for us, and we end the worker by closing its input.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment, start_new_session=True
        )
        worker = cls(process)
        try:
            await worker.send(setup)
            await worker.receive(_START_SECONDS)
        except BaseException as error:
            await worker.kill()
            if isinstance(error, _WorkerGone):
                hint = f"{sys.executable} -m headgate.batch.render_worker </dev/null"
                raise RunError("the template worker does not start", hint=f"see what is wrong with: {hint}") from error
            raise
        return worker

    async def send(self, message: Setup | Job) -> None:
        try:
            self._input.write(frame(message))
            await self._input.drain()
        except (BrokenPipeError, ConnectionResetError, RuntimeError) as error:  # the last is uvloop's word for a closed pipe
            raise _WorkerGone("memory") from error

    async def receive(self, seconds: float) -> Results:
        try:
            async with asyncio.timeout(seconds):
                size = int.from_bytes(await self._output.readexactly(HEADER), "big")
                if size > MAX_FRAME:
                    raise _WorkerGone("too_large")
                return decode_results(await self._output.readexactly(size))
        except TimeoutError as error:
            raise _WorkerGone("timeout") from error
        except asyncio.IncompleteReadError as error:
            raise _WorkerGone("memory") from error

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        self._input.close()
        await self._process.wait()


_GONE = {
    "timeout": "the template was still running long after its deadline",
    "memory": "the template used up its worker's memory",
    "too_large": "the template's output is too large",
}


class RenderPool:
    """Worker processes for one pipeline's templates; an async context manager.

    `templates` maps file names to source, `template_of` steps to file names. Workers start when first needed.
    """

    def __init__(self, templates: Mapping[str, str], template_of: Mapping[str, str], settings: RenderSettings | None = None) -> None:
        self.settings = settings or RenderSettings()
        self.template_of = template_of
        self._setup = Setup(dict(templates), dict(template_of), self.settings.seconds, self.settings.memory, self.settings.output)
        self._idle: asyncio.Queue[_Worker | None] = asyncio.Queue()
        self.replaced = 0
        """Workers that had to be killed so far."""

    async def __aenter__(self) -> Self:
        for _ in range(self.settings.workers):
            self._idle.put_nowait(None)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while not self._idle.empty():
            worker = self._idle.get_nowait()
            if worker is not None:
                await worker.kill()

    async def render(self, step: str, contexts: Sequence[JsonObject]) -> list[str | RenderError]:
        """The prompt of `step` for each context, in order. Raises `RunError` only if no worker can be started."""
        size = self.settings.batch
        parts = [contexts[start : start + size] for start in range(0, len(contexts), size)]
        if len(parts) == 1:
            return await self._render_part(step, parts[0])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._render_part(step, part)) for part in parts]
        return [outcome for task in tasks for outcome in task.result()]

    async def _render_part(self, step: str, contexts: Sequence[JsonObject]) -> list[str | RenderError]:
        encoded = [_encoded(context) for context in contexts]
        ready = [context for context in encoded if isinstance(context, msgspec.Raw)]
        slot = await self._idle.get()
        try:
            slot, outcomes = await self._through(slot, step, ready)
        except BaseException:
            if slot is not None:
                await slot.kill()
            self._idle.put_nowait(None)
            raise
        self._idle.put_nowait(slot)
        rendered = iter(outcomes)
        return [context if isinstance(context, RenderError) else next(rendered) for context in encoded]

    async def _through(
        self, worker: _Worker | None, step: str, contexts: list[msgspec.Raw]
    ) -> tuple[_Worker | None, list[str | RenderError]]:
        """Render all `contexts`, replacing the worker as often as it takes.

        After the first loss of a worker every context is answered by itself, so that the next loss names its culprit: the one not answered.
        """
        outcomes: list[str | RenderError] = []
        careful = False
        while len(outcomes) < len(contexts):
            worker = worker or await _Worker.start(self._setup)
            try:
                await worker.send(Job(step, contexts[len(outcomes) :], each=careful))
                while len(outcomes) < len(contexts):
                    results = await worker.receive(self.settings.seconds + self.settings.grace)
                    outcomes += [RenderError(one.kind, one.message) if one.text is None else one.text for one in results.outcomes]
            except _WorkerGone as gone:
                await worker.kill()
                worker = None
                self.replaced += 1
                if careful:
                    outcomes.append(RenderError(gone.kind, _GONE[gone.kind]))
                careful = True
        return worker, outcomes


def _encoded(context: JsonObject) -> msgspec.Raw | RenderError:
    try:
        return msgspec.Raw(encode_context(context))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return RenderError("error", f"the unit's fields cannot be passed on: {error}")
