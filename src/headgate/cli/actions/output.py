"""What the commands print: money, progress lines, tables. Everything untrusted passes `sanitize`."""

from __future__ import annotations

import sys
import time
from shutil import get_terminal_size

import click

from headgate.batch.document import text_table
from headgate.batch.progress import Progress, duration_text, goals
from headgate.batch.rows import unit_steps
from headgate.domain.cost import known_money, money


def progress_line(progress: Progress) -> str:
    """One line: share done, units, ETA, money spent and projected."""
    shown = zip(unit_steps(progress.steps), goals(progress.units, progress.steps), strict=True)
    steps = "  ".join(f"{step.name} {step.valid}/{goal}" + _failed(step.failed) for step, goal in shown)
    projected = _projected(progress)
    cap = f" (cap {money(progress.cap)})" if progress.cap is not None else ""
    waiting = f"  {progress.waiting}" if progress.waiting else ""
    spent = known_money(progress.spent, progress.unpriced)
    return f"{int(100 * progress.done + 1e-9):3}%  {steps}  ETA {duration_text(progress.eta)}  {spent}{projected}{cap}{waiting}"


def _projected(progress: Progress) -> str:
    """What the whole run will cost: extrapolated once something is decided, before that at most what is set aside."""
    if progress.projected is not None:
        if not progress.projected and not progress.spent:
            return ""
        return f" of ~{money(progress.projected)}"
    bounded = progress.held and not progress.unpriced
    return f" of at most {money(progress.spent + progress.held)}" if bounded else ""


def _failed(count: int) -> str:
    return f" ({count} failed)" if count else ""


class ProgressPrinter:
    """Prints progress: on a terminal one line that rewrites itself, else a line when something changed and a `heartbeat` (seconds)."""

    def __init__(self, quiet: bool = False, heartbeat: float = 60.0) -> None:
        self._quiet = quiet
        self._heartbeat = heartbeat
        self._terminal = sys.stderr.isatty()
        self._last: tuple[float, str, str] = (0.0, "", "")

    def __call__(self, progress: Progress) -> None:
        """Show `progress` if it is time to."""
        if self._quiet:
            return
        now, line = time.monotonic(), progress_line(progress)
        if self._terminal:
            self._rewrite(now, line)
        else:
            self._append(now, line, _milestone(progress))

    def _rewrite(self, now: float, line: str) -> None:
        if now - self._last[0] >= 0.1 and line != self._last[1]:
            width = get_terminal_size().columns
            click.echo(f"\r\x1b[2K{line[: max(20, width - 1)]}", err=True, nl=False)
            self._last = (now, line, "")

    def _append(self, now: float, line: str, milestone: str) -> None:
        changed = milestone != self._last[2] and now - self._last[0] >= 0.5
        if changed or now - self._last[0] >= self._heartbeat or not self._last[1]:
            click.echo(line, err=True)
            self._last = (now, line, milestone)

    def silence(self) -> None:
        """Print no more."""
        self._quiet = True

    def finish(self) -> None:
        """Leave the line that rewrites itself."""
        if self._terminal and not self._quiet and self._last[1]:
            click.echo("", err=True)


def _milestone(progress: Progress) -> str:
    """What must change for another line: a tenth of the work, or a provider's word."""
    tenths = ",".join(str((step.valid + step.failed) * 10 // max(1, progress.units or step.started)) for step in progress.steps)
    return f"{progress.state}|{tenths}|{progress.waiting.partition(',')[0]}"


table = text_table
__all__ = ["ProgressPrinter", "money", "progress_line", "table"]
