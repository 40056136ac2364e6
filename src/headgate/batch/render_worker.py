"""The process in which user templates are rendered: ``python -m headgate.batch.render_worker``, spoken to over its pipes.

It has a memory limit, a deadline per render and a cap on output; it writes nothing else anywhere, ignores Ctrl-C (its parent decides) and
ends when its input does.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import BinaryIO

from jinja2 import Template, TemplateError, UndefinedError

from headgate.batch.expressions import EVALUATION_ERRORS
from headgate.batch.render_protocol import HEADER, Job, Rendered, Results, Setup, decode_context, decode_job, decode_setup, frame
from headgate.batch.sandbox import TemplateEnvironment, template_environment

if sys.platform != "win32":
    import resource

FLUSH_OUTCOMES = 256
FLUSH_CHARACTERS = 1 << 18
FLUSH_SECONDS = 0.05
_MESSAGE = 500


class _Overrun(BaseException):
    """The deadline of one render has passed."""


class _TooLong(ValueError):
    """The output cap was passed."""


class Renderer:
    """Renders the templates of one `Setup`; a template that cannot be compiled fails every unit at once, without another try."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._environment: TemplateEnvironment = template_environment(setup.templates)
        self._templates: dict[str, Template | Rendered] = {}

    def render(self, step: str, context: bytes) -> Rendered:
        """The text for one encoded context, or why there is none."""
        template = self._templates.get(step)
        if template is None:
            template = self._templates[step] = self._bounded(lambda: self._environment.get_template(self._setup.template_of[step]))
        if isinstance(template, Rendered):
            return template
        ready = template
        outcome = self._bounded(lambda: self._text(ready, context))
        return outcome if isinstance(outcome, Rendered) else Rendered(None, "error", "the template gave no text")

    def _text(self, template: Template, context: bytes) -> Rendered:
        pieces = []
        size = 0
        for piece in template.root_render_func(template.new_context(decode_context(context))):
            size += len(piece)
            if size > self._setup.output:
                raise _TooLong(f"the prompt is longer than {self._setup.output:,} characters")
            pieces.append(piece)
        text = "".join(pieces)
        text.encode()
        return Rendered(text)

    def _bounded(self, action: Callable[[], Template | Rendered]) -> Template | Rendered:
        try:
            try:
                _alarm(self._setup.seconds)
                return action()
            finally:
                _alarm(0.0)
        except _Overrun:
            return Rendered(None, "timeout", f"the template was still running after {self._setup.seconds:g} s")
        except MemoryError:
            return Rendered(None, "memory", "the template needs more memory than it may have")
        except _TooLong as error:
            return Rendered(None, "too_large", str(error))
        except UndefinedError as error:
            return Rendered(None, "undefined", _clip(str(error)))
        except (TemplateError, *EVALUATION_ERRORS) as error:
            return Rendered(None, "error", _clip(f"{type(error).__name__}: {error}"))


def _clip(text: str) -> str:
    return text if len(text) <= _MESSAGE else f"{text[: _MESSAGE - 1]}…"


def _alarm(seconds: float) -> None:
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _overrun(_signal: int, _frame: FrameType | None) -> None:
    raise _Overrun


def _confine(setup: Setup) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, _overrun)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = setup.memory if hard == resource.RLIM_INFINITY else min(setup.memory, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _read(source: BinaryIO) -> bytes | None:
    header = source.read(HEADER)
    if len(header) < HEADER:
        return None
    size = int.from_bytes(header, "big")
    body = source.read(size)
    return body if len(body) == size else None


def _write(target: BinaryIO, results: Results) -> None:
    target.write(frame(results))
    target.flush()


def _work(renderer: Renderer, job: Job, target: BinaryIO) -> None:
    waiting: list[Rendered] = []
    size = 0
    flushed = time.monotonic()
    for context in job.contexts:
        outcome = renderer.render(job.step, bytes(context))
        waiting.append(outcome)
        size += len(outcome.text or "")
        if job.each or len(waiting) >= FLUSH_OUTCOMES or size >= FLUSH_CHARACTERS or time.monotonic() - flushed > FLUSH_SECONDS:
            _write(target, Results(waiting))
            waiting, size, flushed = [], 0, time.monotonic()
    if waiting:
        _write(target, Results(waiting))


def main() -> int:
    """Serve jobs from standard input until it ends."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    first = _read(source)
    if first is None:
        return 0
    setup = decode_setup(first)
    _confine(setup)
    renderer = Renderer(setup)
    _write(target, Results(ready=True))
    while (body := _read(source)) is not None:
        _work(renderer, decode_job(body), target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
