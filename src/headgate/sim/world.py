"""The running simulator's parts, and one request's view of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import msgspec

from headgate.sim import dice, responder
from headgate.sim.bill import Bill, Tokens
from headgate.sim.clock import Clock
from headgate.sim.exchange import Answer, Problem, Request
from headgate.sim.faults import AnswerName, BatchAction, Script
from headgate.sim.prefixes import PrefixMemory
from headgate.sim.settings import SimSettings
from headgate.sim.state import BatchRecord, FileRecord, Keeper, Shelf
from headgate.wire.json import Json, JsonObject

Phase: TypeAlias = Literal["validating", "failed", "running", "finalizing", "cancelling", "completed", "expired", "cancelled"]
Settler: TypeAlias = "Callable[[World, BatchRecord, Moment], None]"

JOURNAL_LENGTH = 100_000


class Entry(msgspec.Struct):
    """One line of the request journal."""

    seq: int
    time: float
    provider: str
    operation: str
    key: str
    model: str | None = None
    status: int | None = None
    rows: int | None = None
    batch_id: str | None = None
    tag: Json = None
    request_id: str | None = None
    client_request_id: str | None = None
    client_gone: float | None = None
    """Simulated time at which the client closed the connection before its answer was whole."""


class Moment(msgspec.Struct, frozen=True):
    """Where a batch stands: its phase, the rows executed so far, and when each phase began (None: not yet)."""

    phase: Phase
    done: int
    running_at: float | None = None
    finalizing_at: float | None = None
    cancelling_at: float | None = None
    ended_at: float | None = None


class StoredResponse(msgspec.Struct, frozen=True):
    """One response of OpenAI's Responses API that its `owner` (provider and account) may read and follow.

    `given` are all input items up to it, `items` those and its output.
    """

    owner: tuple[str, str]
    body: JsonObject
    given: tuple[JsonObject, ...]
    items: tuple[JsonObject, ...]


class World:
    """Everything a handler may touch. `settlers` writes the results of a provider's batches that have ended."""

    def __init__(self, settings: SimSettings, clock: Clock, keeper: Keeper, settlers: Mapping[str, Settler]) -> None:
        self.settings = settings
        self.settlers = settlers
        self.clock = clock
        self.keeper = keeper
        self.files: Shelf[FileRecord] = Shelf(FileRecord, keeper.folder("files"))
        self.batches: Shelf[BatchRecord] = Shelf(BatchRecord, keeper.folder("batches"))
        self.bill = Bill(keeper.recorder(), keeper.lines())
        self.script = Script(settings.faults, settings.seed)
        self.prefixes = PrefixMemory()
        self.uploads: dict[str, JsonObject] = {}
        self.responses: dict[str, StoredResponse] = {}
        self.journal: deque[Entry] = deque(maxlen=JOURNAL_LENGTH)
        self.seq = 0
        self._ids = 0

    def new_id(self, prefix: str, length: int, alphabet: str = dice.BASE62) -> str:
        """An identifier never given before, the same in every run that makes the same requests."""
        self._ids += 1
        return prefix + dice.token(alphabet, length, "id", self.settings.seed, self.keeper.boot, self._ids)

    def new_uuid(self) -> str:
        """An identifier in the form of a UUID."""
        raw = self.new_id("", 32, dice.HEX)
        return "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))

    def next_serial(self) -> int:
        """A number that orders batches created within one instant."""
        return 1 + max((batch.serial for batch in self.batches.all()), default=0)

    def reset(self) -> None:
        """Forget files, batches, bill, journal and fault counters; the clock runs on."""
        self.files.clear()
        self.batches.clear()
        self.bill.clear()
        self.keeper.forget_bill()
        self.script = Script(self.settings.faults, self.settings.seed)
        self.prefixes = PrefixMemory()
        self.uploads.clear()
        self.responses.clear()
        self.journal.clear()
        self.seq = 0


class Call(msgspec.Struct):
    """One request being served: who asks, for what, and which faults apply to its content."""

    world: World
    request: Request
    provider: str
    operation: str
    account: str
    params: dict[str, str]
    entry: Entry
    body: Json = None
    request_id: str = ""
    twist: AnswerName | None = None
    script: tuple[BatchAction, ...] = ()

    @property
    def now(self) -> float:
        """Simulated time."""
        return self.world.clock.now()

    @property
    def origin(self) -> str:
        """``http://host:port`` as the client wrote it."""
        return "http://" + self.request.headers.get("host", "127.0.0.1")

    def json(self) -> JsonObject:
        """The body as an object, or a bad request."""
        if not isinstance(self.body, dict):
            raise Problem("bad_request", "We could not parse the JSON body of your request.")
        return self.body

    def charge(self, model: str, usage: Tokens, response_id: str) -> None:
        """Put one realtime answer on the bill."""
        ours, theirs = self.request_id, self.entry.client_request_id
        self.world.bill.add(self.provider, self.account, model, usage, request_id=ours, response_id=response_id, client_request_id=theirs)

    def reply(self, ask: responder.Ask, index: int = 0) -> responder.Reply:
        """The model's answer, spoilt if a fault says so."""
        settings = self.world.settings
        return responder.respond(ask, settings.seed, index, self.twist, settings.mistakes)


Handler: TypeAlias = Callable[[Call], Answer]


class Route(msgspec.Struct, frozen=True):
    """`pattern` is a path below the provider's prefix; `chat` marks requests that may stream, `streams` those that do unless told not to.

    ``{name}`` stands for a segment without slash or colon, ``{name...}`` for anything. `sort` tells the operation from the body where the
    path does not.
    """

    method: str
    pattern: str
    operation: str
    handler: Handler
    chat: bool = False
    streams: bool = False
    sort: Callable[[JsonObject], str] | None = None


class Wire(msgspec.Struct, frozen=True):
    """One provider: its routes, how it knows an account, how it refuses, and where its request id goes (a UUID where `uuids` says so).

    `base` is what a client's base URL has after the provider's name.
    """

    name: str
    routes: tuple[Route, ...]
    authenticate: Callable[[Request], str]
    refuse: Callable[[Problem, str, Request], Answer]
    stream_error: Callable[[Problem, str], bytes]
    request_id_header: str
    request_id_prefix: str
    uuids: bool = False
    base: str = ""
