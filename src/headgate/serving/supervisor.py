"""Several processes on one port: started, watched, started again, stopped together (faults D15, D16).

The supervisor holds the listening sockets, so that connections wait while a process is replaced instead of being refused.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import msgspec

from headgate.config.reload import ReloadState
from headgate.serving.inheritance import READING, READY, Inherited, render_inherited
from headgate.serving.listening import BALANCED, listen_again
from headgate.serving.reports import Reports
from headgate.serving.restarts import Restart, decide_restart
from headgate.wire.json import JsonObject

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
USAGE_CODES = frozenset({2, 3})
"""Exit codes of a process that was asked for something impossible: at the start another try will not help. Once all have served, a
settings file that was broken since is no reason to end those that go on by the one before; it may be mended."""
GRACE = 5.0
"""Seconds after the drain in which processes have to be gone."""
WITHDRAWN = 1.0
"""A process that comes back after more seconds than this gives up its socket meanwhile, so that its clients go to the others."""


class Place:
    """One of the processes, and what is known of it."""

    def __init__(self, slot: int, listening: socket.socket) -> None:
        self.slot = slot
        self.listening: socket.socket | None = listening
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.due: float | None = None
        self.ready = False
        self.short_lives = 0
        self.unfinished = b""
        """The beginning of a line that it says."""


class Supervisor:
    """Runs `command` once for each of `sockets` until it is told to stop.

    `options` are passed to every process; `say` is called with a line for each event, `ready` once all processes serve; `drain` is what
    processes may take to end, in seconds. `note` is told how the settings were read, once every process has read them.
    """

    def __init__(
        self,
        command: Sequence[str],
        sockets: Sequence[socket.socket],
        options: JsonObject,
        *,
        say: Callable[[str], None],
        ready: Callable[[], None],
        drain: float,
        backlog: int = 1024,
        clock: Callable[[], float] = time.monotonic,
        decide: Callable[[int, float], Restart] = decide_restart,
        note: Callable[[ReloadState], None] = lambda state: None,
    ) -> None:
        self._command = tuple(command)
        self._places = [Place(slot, listening) for slot, listening in enumerate(sockets)]
        self._family, self._address = sockets[0].family, sockets[0].getsockname()
        self._options = options
        self._say = say
        self._ready = ready
        self._drain = drain
        self._backlog = backlog
        self._clock = clock
        self._decide = decide
        self._note_reading = note
        self._reports = Reports()
        self._signals: deque[int] = deque()
        self._selector = selectors.DefaultSelector()
        self._announced = False
        self._deadline: float | None = None
        self._code = 0

    def run(self) -> int:
        """Supervise until every process has ended; the exit code: 0 after a stop that was asked for, else that of what went wrong."""
        with self._listening_to_signals():
            for place in self._places:
                self._start(place)
            while any(place.process is not None for place in self._places) or not self._stopping:
                self._turn()
        self._close_sockets()
        self._selector.close()
        return self._code

    @property
    def _stopping(self) -> bool:
        return self._deadline is not None

    # One turn of the loop

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            if isinstance(key.data, Place):
                self._hear(key.data)
            else:
                self._drain_wakeups(key.fd)
        while self._signals:
            self._obey(self._signals.popleft())
        now = self._clock()
        for place in self._places:
            self._look_after(place, now)

    def _patience(self) -> float | None:
        moments = [place.due for place in self._places if place.due is not None and not self._stopping]
        if self._deadline is not None:
            moments.append(self._deadline)
        return max(0.0, min(moments) - self._clock()) if moments else None

    def _drain_wakeups(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(descriptor, 4096)

    def _obey(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return
        if number == signal.SIGHUP:
            self._say("reloading the settings in every process")
        elif self._stopping:
            self._say("stopping at once")
        else:
            self._say(f"stopping: requests under way have {self._drain:g} s")
            self._stop(0)
            return
        self._send(number)

    def _look_after(self, place: Place, now: float) -> None:
        process = place.process
        if process is not None:
            code = process.poll()
            if code is not None:
                self._bury(place, process, code, now)
            elif self._deadline is not None and now >= self._deadline:
                self._say(f"worker {place.slot} did not end in time and is killed")
                self._code = self._code or 1
                process.kill()
                process.wait()
                self._bury(place, process, -signal.SIGKILL, now)
        elif place.due is not None and now >= place.due and not self._stopping:
            self._start(place)

    # Processes

    def _start(self, place: Place) -> None:
        place.due = None
        if place.listening is None:
            place.listening = listen_again(self._family, self._address, self._backlog)
        told = Inherited(place.slot, len(self._places), place.listening.fileno(), self._options)
        place.process = subprocess.Popen(  # noqa: S603
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(told.descriptor,), process_group=0, bufsize=0
        )
        place.started, place.ready, place.unfinished = self._clock(), False, b""
        self._reports.begun(place.slot)
        assert place.process.stdin is not None and place.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead already, which is seen in a moment
            place.process.stdin.write(render_inherited(told))
        self._selector.register(place.process.stdout, selectors.EVENT_READ, place)

    def _hear(self, place: Place) -> None:
        """What a process says, line by line; the end of its output says that it is about to be gone."""
        assert place.process is not None and place.process.stdout is not None
        said = os.read(place.process.stdout.fileno(), 4096)
        if not said:
            self._selector.unregister(place.process.stdout)
        *lines, place.unfinished = (place.unfinished + said).split(b"\n")
        for line in lines:
            if line == READY and not place.ready:
                place.ready = True
                self._announce(place)
            elif line.startswith(READING):
                self._read(place, msgspec.json.decode(line.removeprefix(READING), type=ReloadState))

    def _read(self, place: Place, state: ReloadState) -> None:
        """A process has read the settings."""
        living = [other.slot for other in self._places if other.ready]
        together = self._reports.said(place.slot, state, living)
        if together is not None:
            self._note_reading(together)

    def _announce(self, place: Place) -> None:
        if self._announced:
            self._say(f"worker {place.slot} serves again")
        elif all(other.ready for other in self._places):
            self._announced = True
            self._ready()

    def _bury(self, place: Place, process: subprocess.Popen[bytes], code: int, now: float) -> None:
        assert process.stdin is not None and process.stdout is not None
        if process.stdout in self._selector.get_map():
            self._selector.unregister(process.stdout)
        process.stdin.close()
        process.stdout.close()
        was_ready, place.process, place.ready = place.ready, None, False
        if self._stopping:
            begun = was_ready or code != -signal.SIGTERM  # else it was told to stop before it could hear that
            self._code = self._code or (1 if code and begun else 0)
        elif code in USAGE_CODES and not self._announced:
            self._stop(code)
        else:
            self._revive(place, code, now)

    def _revive(self, place: Place, code: int, now: float) -> None:
        restart = self._decide(place.short_lives, now - place.started)
        place.short_lives = restart.short_lives
        others = any(other.ready for other in self._places)
        what = f"worker {place.slot} {_ended(code)}"
        if restart.hopeless and not others:
            self._say(f"{what} {restart.short_lives} times in a row right after its start: giving up")
            self._stop(1)
            return
        self._say(f"{what}; it is started again" + (f" in {restart.delay:g} s" if restart.delay else ""))
        place.due = now + restart.delay
        if restart.delay > WITHDRAWN and others and BALANCED and place.listening is not None:
            place.listening.close()
            place.listening = None

    # The end

    def _stop(self, code: int) -> None:
        """Stop accepting and have every process drain. The sockets go first: nobody is to wait at one that is not served any more."""
        self._code = code
        self._deadline = self._clock() + self._drain + GRACE
        self._close_sockets()
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        for place in self._places:
            if place.process is not None:
                place.process.send_signal(number)

    def _close_sockets(self) -> None:
        for place in self._places:
            if place.listening is not None:
                place.listening.close()
                place.listening = None

    @contextlib.contextmanager
    def _listening_to_signals(self) -> Iterator[None]:
        """Signals wake the loop, which obeys them in order. Only the main thread may do this."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        self._selector.register(reading, selectors.EVENT_READ)
        before_wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        before = {number: signal.signal(number, self._note) for number in (*FORWARDED, signal.SIGCHLD)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before_wakeup)
            self._selector.unregister(reading)
            os.close(reading)
            os.close(writing)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
