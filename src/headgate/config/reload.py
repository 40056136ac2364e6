"""Taking new settings while serving: what changed, what of it takes a restart, and a watcher that never leaves a half-changed state (F18).

The file is looked at every second. One that changed is read only after it stood still for a second, is read and checked whole, and is
believed only when it did not change meanwhile; then it is applied. Whatever goes wrong, the settings in force stay in force, and the
error stands in `Reloader.state` until a later reading succeeds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import msgspec

from headgate.config.environment import Environment
from headgate.config.leaves import Row, rows
from headgate.config.settings import FILE, Settings, settings_file
from headgate.errors import ConfigError, HeadgateError

INTERVAL = 1.0
LIVE = (
    "aliases",
    "routes",
    "routing",
    "budgets",
    "limits",
    "cache",
    "providers",
    "catalog_file",
    "default_provider",
    "request_timeout",
    "gateway.body_limit",
    "gateway.max_in_flight",
    "gateway.metrics",
    "gateway.store_prompts",
)
"""What takes effect while serving; everything else takes a restart."""

T = TypeVar("T")
Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]
"""Of each watched file: modification time in nanoseconds, inode, bytes; None for one that is not there."""


Offload: TypeAlias = Callable[[Callable[[], T]], Awaitable[T]]
"""Runs a function in a thread."""


class Change(msgspec.Struct, frozen=True):
    """A value that differs, both sides as they may be shown; None: not there. `live`: it takes effect without a restart."""

    label: str
    before: str | None
    after: str | None
    live: bool

    def __str__(self) -> str:
        later = "" if self.live else "  (takes a restart)"
        if self.before is None:
            return f"+ {self.label}: {self.after}{later}"
        if self.after is None:
            return f"- {self.label}: {self.before}{later}"
        after = f"{self.after} (another one)" if self.before == self.after else self.after
        return f"~ {self.label}: {self.before} → {after}{later}"


def plan_reload(old: Settings, new: Settings) -> tuple[Change, ...]:
    """What differs between two generations, in the order of the settings."""
    before = {row.label: row for row in rows(old) if row.text}
    after = {row.label: row for row in rows(new) if row.text}
    labels = dict.fromkeys((*before, *after))
    return tuple(
        Change(label, _shown(before.get(label)), _shown(after.get(label)), is_live(label))
        for label in labels
        if not _same(before.get(label), after.get(label))
    )


def is_live(label: str) -> bool:
    """Whether a value takes effect while serving."""
    return any(label == name or label.startswith((f"{name}.", f"{name}[")) for name in LIVE)


def _same(one: Row | None, other: Row | None) -> bool:
    return (None if one is None else one.value) == (None if other is None else other.value)


def _shown(row: Row | None) -> str | None:
    return None if row is None else row.text


class ReloadState(msgspec.Struct, frozen=True):
    """`generation` counts the settings taken since the start, `attempts` all readings that came to an end; `error` is what is wrong with
    the file now, `restart` the changed values that take a restart."""

    generation: int = 1
    attempts: int = 0
    error: str | None = None
    restart: tuple[str, ...] = ()


def watched_files(environment: Environment, folder: Path, settings: Settings, config_file: Path | None = None) -> tuple[Path, ...]:
    """The files that settings come from, those that are not there yet included."""
    named = settings_file(environment, folder, config_file) or folder / FILE
    more = () if settings.catalog_file is None else (settings.catalog_file,)
    return (named, folder / ".env", *more)


class Reloader(Generic[T]):
    """Keeps what is in force: settings, or parts made of them, from which `settings_of` takes the settings.

    `load` reads and checks anew, raising errors of the tree; `apply` puts into force or raises. When it raises it is called again with
    what was in force. Errors of the tree are kept in `state`; anything else is a defect and passes on, after the same way back. `say`
    gets lines for the log, in which nothing secret stands; `note` the state after each reading.
    """

    def __init__(
        self,
        current: T,
        load: Callable[[], T],
        apply: Callable[[T], None],
        *,
        settings_of: Callable[[T], Settings],
        files: Callable[[T], Sequence[Path]],
        say: Callable[[str], None],
        note: Callable[[ReloadState], None] = lambda state: None,
    ) -> None:
        self.current = current
        self.state = ReloadState()
        self._load, self._apply = load, apply
        self._settings_of, self._files = settings_of, files
        self._say, self._note = say, note
        self._settled: Stamp | None = None
        self._good: Stamp = ()
        self._seen: Stamp | None = None
        self._asked = False

    def ask(self) -> None:
        """Read at the next look, changed or not; may be called by a signal handler."""
        self._asked = True

    async def run(self, sleep: Callable[[float], Awaitable[None]], offload: Offload[T]) -> None:
        """Look every second, until cancelled. `offload` runs a function in a thread, so that reading does not hold up requests."""
        while True:
            await sleep(INTERVAL)
            await self.look(offload)

    async def look(self, offload: Offload[T]) -> None:
        """One look at the files, and what follows from it."""
        asked, self._asked = self._asked, False
        stamp = self._stamp()
        if not asked and (stamp == self._settled or stamp != self._seen):
            self._seen = stamp
            return
        try:
            if not asked:
                self._check_whole(stamp)
            new = await offload(self._load)
        except HeadgateError as error:
            self._settled = stamp
            self._failed(error)
            return
        self._seen = self._stamp()
        if self._seen == stamp:
            self._settled = stamp
            self._take(new)
        else:
            self._asked = asked

    def _stamp(self) -> Stamp:
        return tuple(_stamp_of(path) for path in self._files(self.current))

    def _check_whole(self, stamp: Stamp) -> None:
        """Raise for a file that went away or became empty since: somebody is about to write it, or it was lost."""
        files = self._files(self.current)
        for path, before, now in zip(files, self._good, stamp, strict=False):
            if before is not None and before[2] and (now is None or not now[2]):
                lost = "is gone" if now is None else "is empty"
                raise ConfigError(f"{lost}; what it said stays in force", where=str(path), hint="headgate reload")

    def _take(self, new: T) -> None:
        changes = plan_reload(self._settings_of(self.current), self._settings_of(new))
        try:
            if changes:
                self._apply(new)
        except Exception as error:
            back = self._go_back()
            if not isinstance(error, HeadgateError):
                raise
            self._failed(error, back)
            return
        self.current, self._good = new, self._settled or ()
        restart = tuple(dict.fromkeys((*self.state.restart, *(change.label for change in changes if not change.live))))
        self._end(ReloadState(self.state.generation + bool(changes), self.state.attempts + 1, None, restart))
        if changes:
            self._say(f"settings reloaded, generation {self.state.generation}:")
        for change in changes:
            self._say(f"  {change}")

    def _go_back(self) -> str:
        """Put the settings before into force again; what to say when that fails as well."""
        try:
            self._apply(self.current)
        except HeadgateError as error:
            return f"; going back failed as well: {error.message}"
        return ""

    def _failed(self, error: HeadgateError, more: str = "") -> None:
        message = f"{error.message}{more}"
        if message != self.state.error:
            self._say(f"settings not reloaded, those in force stay: {message}")
        self._end(ReloadState(self.state.generation, self.state.attempts + 1, message, self.state.restart))

    def _end(self, state: ReloadState) -> None:
        self.state = state
        self._note(state)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
