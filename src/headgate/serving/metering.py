"""One receipt for every request that had a target: answered, failed or abandoned; never free, never twice (faults D6, D7, E9, E10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec

from headgate.catalog.cards import day_of
from headgate.catalog.prices import price, unit_prices
from headgate.client import Target
from headgate.dialects.base import Note
from headgate.domain.cost import Cost
from headgate.domain.estimate import estimate_tokens, estimate_usage
from headgate.domain.response import Response
from headgate.domain.usage import BUCKETS, Usage
from headgate.errors import ErrorKind, HeadgateError, ProviderError, StoreError, Truncated, WireError
from headgate.ledger import Attempt, Ledger, Receipt
from headgate.ledger.receipt import Face, Operation, Status

_LOG = logging.getLogger("headgate.metering")
_INPUTS = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "input_image")
_LIST_TIERS = frozenset({"", "default", "standard", "auto", "on_demand", "service_tier_standard"})
"""What providers call the service tier their list prices are for; None says the same."""
NOTHING = Usage()
MOST = 1_000_000_000
"""A count above this is a provider's mistake, whatever it counts: no request has a billion tokens (faults B12)."""
MOST_NOTES = 100
LONGEST_FIELD = 200


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request before it is sent. `id` names its receipt, `at` is seconds since the epoch, `clock` loop time.

    `dialect_in` is the wire it came on (None: the library), `request_bytes` what was (or would have been) sent upstream.
    """

    id: str
    at: float
    clock: float
    face: Face
    target: Target
    dialect_in: str | None = None
    stream: bool = False
    operation: Operation = "chat"
    request_bytes: int = 0
    notes: tuple[Note, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended.

    `response` is the answer or as much of it as came. `whole` says that its terminator was seen; `status` is the provider's HTTP status,
    `called` False when no byte was sent. `unheard` are bytes of the answer that could not be read, and so are not in `response`.
    `finished` is loop time; `first_byte` seconds after the start.
    """

    response: Response = Response()
    whole: bool = False
    error: HeadgateError | None = None
    cancelled: bool = False
    called: bool = True
    unheard: int = 0
    status: int | None = None
    upstream_id: str | None = None
    first_byte: float | None = None
    finished: float = 0.0


def charged_usage(call: Call, outcome: Outcome) -> Usage:
    """What the call consumed: the provider's count of a whole answer, nothing for a refusal, else an estimate that says so.

    A broken or abandoned answer is estimated from the request and from what came; where the provider had counted the input already, that
    count stands, and its count of the output is the least the estimate may say. A count that cannot be true, such as none for an answer
    that has text, is estimated as well: nothing is free because it was counted wrong.
    """
    response = outcome.response
    if unbilled(outcome):
        return NOTHING
    seen = response.usage if response.usage is not None and _credible(response.usage) else None
    if seen is not None and outcome.whole and seen.input_total and seen.output_total:
        return seen
    guess = _guessed(call, outcome)
    if seen is None:
        return guess
    if outcome.whole and seen.input_total and not guess.output_total:
        return seen
    counted = {name: getattr(seen if seen.input_total else guess, name) for name in _INPUTS}
    text = max(guess.output_text, seen.output_total - max(guess.output_reasoning, seen.output_reasoning))
    reasoning = max(guess.output_reasoning, seen.output_reasoning)
    return Usage(**counted, output_text=text, output_reasoning=reasoning, fees=seen.fees, source="estimated", native=seen.native)


def _credible(usage: Usage) -> bool:
    """Whether a provider's counts can be true."""
    if usage.total > MOST and not all(getattr(usage, name) <= MOST for name in BUCKETS):
        return False
    return not usage.fees or all(count <= MOST for count in usage.fees.values())


def _guessed(call: Call, outcome: Outcome) -> Usage:
    """An estimate. Bytes nobody could read are taken for text, as far as the model can have written so much: never for nothing."""
    guess = estimate_usage(call.request_bytes, outcome.response)
    unheard, most = estimate_tokens(outcome.unheard), call.target.capabilities.max_output
    return msgspec.structs.replace(guess, output_text=guess.output_text + (unheard if most is None else min(unheard, most)))


def unbilled(outcome: Outcome) -> bool:
    """Whether nothing was carried out: the call never left, or brought nothing but an error status, not even a count."""
    if not outcome.called:
        return True
    error = outcome.error
    if outcome.response.choices or outcome.response.usage is not None or not isinstance(error, ProviderError):
        return False
    return not error.sent or (error.status is not None and error.status >= 400)


def make_receipt(call: Call, outcome: Outcome) -> Receipt:
    """The receipt of a call. Pure."""
    target, response = call.target, outcome.response
    usage = charged_usage(call, outcome)
    record = None if target.card is None else target.card.price_on(day_of(call.at))
    if not lists_price(response.service_tier):
        record = None
    cost = Cost(0) if unbilled(outcome) else price(record, usage)
    kind = error_kind(outcome.error)
    attempt = Attempt(
        provider=target.provider.name,
        model=target.model,
        status=outcome.status if outcome.status is not None else getattr(outcome.error, "status", None),
        kind=kind,
        started=call.at,
        duration=outcome.finished - call.clock,
        request_id=outcome.upstream_id or getattr(outcome.error, "request_id", None),
        cost_nanos=cost.nanos,
    )
    return Receipt(
        id=call.id,
        at=call.at,
        face=call.face,
        provider=target.provider.name,
        account=target.credential.account,
        model=target.model,
        model_answered=response.model or None,
        dialect_in=call.dialect_in,
        dialect_out=wire_of(call),
        operation=call.operation,
        stream=call.stream,
        status=status_of(outcome),
        finish=None if response.finish is None else response.finish.value,
        error=kind,
        attempts=(attempt,) if outcome.called else (),
        usage=usage,
        cost_nanos=cost.nanos,
        price_rule=cost.rule,
        price_digest=cost.digest,
        unit_prices=unit_prices(record, usage),
        notes=call.notes,
        request_id=attempt.request_id,
        duration=attempt.duration,
        first_byte=outcome.first_byte,
    )


def wire_of(call: Call) -> str:
    """The name of the wire the target is asked in."""
    embed = call.target.provider.embed
    return embed.name if call.operation == "embed" and embed is not None else call.target.chat.name


def lists_price(tier: str | None) -> bool:
    """Whether the list prices hold for an answer of this service tier. Those of other tiers are unknown here (faults E16)."""
    return tier is None or tier.lower() in _LIST_TIERS


def status_of(outcome: Outcome) -> Status:
    if outcome.cancelled:
        return "cancelled"
    return "ok" if outcome.error is None else "error"


_KINDS: tuple[tuple[type[HeadgateError], ErrorKind], ...] = ((Truncated, ErrorKind.CONNECTION), (WireError, ErrorKind.SERVER))


def error_kind(error: HeadgateError | None) -> str | None:
    """The word for an error in a receipt."""
    if error is None:
        return None
    if isinstance(error, ProviderError):
        return error.kind.value
    return next((kind.value for known, kind in _KINDS if isinstance(error, known)), ErrorKind.BAD_REQUEST.value)


class Meter:
    """Writes receipts. Requests do not wait for the disk; the next one does, and is refused, when the disk has failed (faults F5)."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._new_id = new_id
        self._writing: set[asyncio.Task[None]] = set()
        self._unwritten: dict[str, Receipt] = {}

    def call(
        self, face: Face, target: Target, *, dialect_in: str | None = None, stream: bool = False, operation: Operation = "chat"
    ) -> Call:
        """A new call, beginning now."""
        return Call(
            id=self._new_id(),
            at=self._clock(),
            clock=asyncio.get_running_loop().time(),
            face=face,
            target=target,
            dialect_in=dialect_in,
            stream=stream,
            operation=operation,
        )

    async def ready(self) -> None:
        """Return when receipts can be written. Raises `StoreError` while earlier ones cannot: what cannot be booked is not called."""
        while self._unwritten:
            receipt = next(iter(self._unwritten.values()))
            await self._ledger.record(receipt)
            self._unwritten.pop(receipt.id, None)  # another request may have been here meanwhile

    def settle(self, call: Call, outcome: Outcome) -> Receipt:
        """Make the receipt of a finished call and have it written in the background."""
        return self._book(call, outcome)[0]

    async def settle_now(self, call: Call, outcome: Outcome) -> Receipt:
        """As `settle`, and wait for the writing, which goes on when the wait is cancelled."""
        receipt, writing = self._book(call, outcome)
        await asyncio.shield(writing)
        return receipt

    async def drain(self) -> None:
        """Wait for what is being written, and try once more what could not be. Raises `StoreError`."""
        while self._writing:
            await asyncio.wait(self._writing)
        await self.ready()

    def _book(self, call: Call, outcome: Outcome) -> tuple[Receipt, asyncio.Task[None]]:
        loop = asyncio.get_running_loop()
        receipt = make_receipt(call, msgspec.structs.replace(outcome, finished=loop.time()))
        task = loop.create_task(self._write(receipt))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return receipt, task

    async def _write(self, receipt: Receipt) -> None:
        try:
            await self._ledger.record(receipt)
        except StoreError as error:
            _LOG.error("the receipt %s could not be written and is kept for the next try: %s", receipt.id, error.message)
            self._unwritten[receipt.id] = receipt


def kept_notes(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """What a receipt says of the fields of a request: the first of them where a client invents thousands, with names of bounded length."""
    first = tuple(note if len(note.field) <= LONGEST_FIELD else _shortened(note) for note in notes[:MOST_NOTES])
    more = len(notes) - MOST_NOTES
    return first if more <= 0 else (*first, Note("*", "dropped", f"and {more} fields more that were dropped or approximated"))


def _shortened(note: Note) -> Note:
    return msgspec.structs.replace(note, field=note.field[:LONGEST_FIELD] + "…")


class Tab:
    """What a request has run up so far, filled in while it is served and turned into its receipt once."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.whole = False
        self.called = False
        self.cancelled = False
        self.unheard = 0
        self.error: HeadgateError | None = None
        self.status: int | None = None
        self.upstream_id: str | None = None
        self.first_byte: float | None = None
        self.response: Callable[[], Response] = Response
        self.receipt: Receipt | None = None

    def describe(self, *, request_bytes: int, notes: tuple[Note, ...] = ()) -> None:
        """Say what will be sent."""
        self.call = msgspec.structs.replace(self.call, request_bytes=request_bytes, notes=kept_notes(notes))

    def answered(self, response: Response, upstream_id: str | None) -> None:
        """Say that a whole answer came."""
        self.response, self.whole = lambda: response, True
        self.status, self.upstream_id = 200, upstream_id

    def note(self, error: BaseException) -> None:
        """Say what ended it early."""
        if isinstance(error, HeadgateError):
            self.error = error
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.cancelled = True
        else:
            self.error = HeadgateError(f"internal error: {type(error).__name__}")

    def outcome(self) -> Outcome:
        """How it stands."""
        return Outcome(
            response=self.response(),
            whole=self.whole,
            error=self.error,
            cancelled=self.cancelled,
            called=self.called,
            unheard=self.unheard,
            status=self.status,
            upstream_id=self.upstream_id,
            first_byte=self.first_byte,
        )

    @contextmanager
    def settled_by(self, meter: Meter) -> Iterator[None]:
        """However the block ends, its receipt is made then and written in the background."""
        try:
            yield
        except BaseException as error:
            self.note(error)
            raise
        finally:
            self.receipt = meter.settle(self.call, self.outcome())

    @asynccontextmanager
    async def settled_now_by(self, meter: Meter) -> AsyncIterator[None]:
        """As `settled_by`, and leaving the block waits for the writing."""
        try:
            yield
        except BaseException as error:
            self.note(error)
            raise
        finally:
            self.receipt = await meter.settle_now(self.call, self.outcome())
