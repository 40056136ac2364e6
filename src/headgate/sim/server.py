"""The simulator as a server: in the caller's event loop, in a thread of its own, or as a process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from headgate.sim import (
    anthropic_batches,
    anthropic_routes,
    batch_routes,
    batches,
    faults,
    gemini_batches,
    gemini_routes,
    openai_routes,
    realtime,
)
from headgate.sim.app import App
from headgate.sim.bill import Bill
from headgate.sim.clock import Clock, ScaledClock
from headgate.sim.faults import Action, ErrorName, Match, Rule, Status
from headgate.sim.protocol import Connection
from headgate.sim.settings import SimSettings
from headgate.sim.state import Keeper
from headgate.sim.world import Entry, World

SETTLERS = {**batch_routes.SETTLERS, "anthropic": anthropic_batches.settle, "gemini": gemini_batches.settle}
WIRES = (
    openai_routes.WIRE,
    anthropic_routes.WIRE,
    gemini_routes.WIRE,
    *map(batch_routes.with_batches, realtime.WIRES),
    *batch_routes.FURTHER_WIRES,
)


class Simulator:
    """One simulated world and, once started, the socket it listens on.

    As an async context manager it starts on a free port of loopback unless `start` was called before.
    """

    def __init__(self, settings: SimSettings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = settings or SimSettings()
        keeper = Keeper(self.settings.state_dir)
        self.clock = clock or ScaledClock(max(time.time(), keeper.latest), self.settings.time_scale)
        self._world = World(self.settings, self.clock, keeper, SETTLERS)
        self._app = App(self._world, WIRES)
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._address = ("", 0)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; port 0 takes a free one. Returns the port. Raises `OSError` when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self._app, self._connections), host, port, backlog=1024)
        taken = self._server.sockets[0].getsockname()
        self._address = (host, int(taken[1]))
        return self._address[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection; the state stays readable."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for connection in list(self._connections):
                connection.close()
            await server.wait_closed()
        self._world.keeper.note_time(self.clock.now())
        self._world.keeper.close()

    @property
    def url(self) -> str:
        """``http://host:port``; every wire lies below it, see `url_of`."""
        return f"http://{self._address[0]}:{self._address[1]}"

    def url_of(self, wire: str) -> str:
        """The base URL a client of a provider's wire takes, ``http://host:port/openai/v1`` for ``openai``. Raises `KeyError` for none."""
        known = {known.name: known for known in WIRES}
        return f"{self.url}/{wire}{known[wire].base}"

    @property
    def port(self) -> int:
        """The port listened on, 0 before the start."""
        return self._address[1]

    @property
    def bill(self) -> Bill:
        """The invoice up to now, batches that have ended included."""
        with self._app.lock:
            batches.settle_all(self._world)
            return self._world.bill

    @property
    def requests(self) -> list[Entry]:
        """The journal: every request in order."""
        with self._app.lock:
            return list(self._world.journal)

    def advance(self, seconds: float) -> None:
        """Move simulated time forward."""
        with self._app.lock:
            self.clock.advance(seconds)
            batches.settle_all(self._world)

    def set_faults(self, rules: tuple[Rule, ...]) -> None:
        """Replace the fault script; counters start again."""
        with self._app.lock:
            self._world.script = faults.Script(rules, self.settings.seed)

    def fail(
        self,
        action: Action | ErrorName,
        *,
        provider: str | None = None,
        operation: str | None = None,
        model: str | None = None,
        nth: int | None = None,
        every: int | None = None,
        first: int | None = None,
        share: float | None = None,
    ) -> None:
        """Add a rule to the fault script, an error's name standing for its `Status`; the counters of all rules start again."""
        what = Status(action) if isinstance(action, str) else action
        match = Match(provider=provider, operation=operation, model=model, nth=nth, every=every, first=first, share=share)
        with self._app.lock:
            self._world.script = faults.Script((*self._world.script.rules, Rule(what, match)), self.settings.seed)

    def reset(self) -> None:
        """Forget files, batches, responses, bill and journal, and go back to the fault script of the settings; the clock runs on."""
        with self._app.lock:
            self._world.reset()

    async def __aenter__(self) -> Simulator:
        if self._server is None:
            await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    @contextlib.contextmanager
    def run_in_thread(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[Simulator]:
        """Serve from a background thread while the block runs. Raises what `start` raises."""
        ready = threading.Event()
        loop = asyncio.new_event_loop()
        failure: list[OSError] = []

        def work() -> None:
            asyncio.set_event_loop(loop)
            try:
                loop.run_until_complete(self.start(host, port))
            except OSError as error:
                failure.append(error)
                ready.set()
                return
            ready.set()
            loop.run_forever()
            loop.run_until_complete(self.stop())

        thread = threading.Thread(target=work, name="headgate-sim", daemon=True)
        thread.start()
        ready.wait()
        try:
            if failure:
                raise failure[0]
            yield self
        finally:
            if not failure:
                loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _serve(settings: SimSettings, ready: Callable[[Simulator], None] | None) -> None:
    simulator = Simulator(settings)
    await simulator.start(settings.host, settings.port)
    finished = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, finished.set)
    try:
        if ready is not None:
            ready(simulator)
        await finished.wait()
    finally:
        await simulator.stop()


def serve(settings: SimSettings, ready: Callable[[Simulator], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is called once the socket listens. Raises `OSError` when the port is taken."""
    asyncio.run(_serve(settings, ready))
