"""Defects of our own on the short way: a dialect that trips, a ledger that does not take what it is given.

The client gets an end all the same, what was taken is booked at its bound or given back, once, and it is reported.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from headgate.client import Target
from headgate.dialects.base import ChatDialect, StreamDecoder, StreamTap
from headgate.domain.events import Failed
from headgate.domain.response import Response
from headgate.errors import StoreError
from headgate.gateway.endpoints.chat import Chat
from headgate.gateway.fast.prepared import Prepared
from headgate.ledger.limiter import Limiter
from headgate.ledger.spending import Spending
from headgate.router import Router
from headgate.serving.limits import ServerLimits
from headgate.sim.faults import Delay, Rule, Status
from headgate.sim.faults_bytes import Drip, Stall
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Gate, Rig, running_gateway
from headgate.testing.simulators import wait_for
from headgate.testing.ways import NOTHING, WAYS, Seen, ask, begun, settled

FAST = pytest.mark.parametrize("way", ["fast", "fast anthropic"])
SHAPES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
NewReceipts = Callable[[], list[Any]]
BROKE = "an answer could not be passed on"
SLOWLY = Rule(Drip(bytes=4000, seconds=0.01))


class Tap:
    """A tap with the defects."""

    def __init__(self, defects: Defects, tap: StreamTap) -> None:
        self.defects = defects
        self.tap = tap

    @property
    def complete(self) -> bool:
        return self.tap.complete

    @property
    def error(self) -> Failed | None:
        return self.tap.error

    def feed(self, data: bytes) -> None:
        self.defects.pass_by("feed")
        self.tap.feed(data)

    def close(self) -> None:
        self.tap.close()

    def response(self) -> Response:
        self.defects.pass_by("response")
        return self.tap.response()


class Defects:
    """What trips: `place` is one of ``skim``, ``feed`` and ``response``, `after` how often that goes well before."""

    def __init__(self) -> None:
        self.place = ""
        self.after = 0
        self.tripped = 0

    def pass_by(self, place: str) -> None:
        if place == self.place:
            self.after -= 1
            if self.after < 0:
                self.tripped += 1
                raise ZeroDivisionError(place)

    def set(self, place: str, after: int = 0) -> None:
        self.place, self.after, self.tripped = place, after, 0

    def within(self, target: Target) -> Target:
        """A target whose dialect has the defects."""
        provider = target.provider
        return replace(
            target, provider=replace(provider, chat=self._tripping(provider.chat), surfaces=tuple(map(self._tripping, provider.surfaces)))
        )

    def _tripping(self, chat: ChatDialect) -> ChatDialect:
        defects = self

        def skim(body: bytes) -> Response | None:
            defects.pass_by("skim")
            return chat.skim(body)

        def tap(decoder: StreamDecoder, name: str) -> StreamTap:
            return Tap(defects, chat.stream_tap(decoder, name))

        return replace(chat, skim=skim, stream_tap=tap)


DEFECTS = Defects()


@pytest.fixture(scope="module")
def module_rig(tmp_path_factory: pytest.TempPathFactory, once: Gate) -> Iterator[Rig]:
    """Without budgets: no request waits for a part of one, which takes it the long way."""
    gate = replace(once, budgets=())
    with running_gateway(tmp_path_factory.mktemp("defects"), settings=SimSettings(seed=7), gate=gate, change=DEFECTS.within) as running:
        ask(running, WAYS["fast"])  # the key is known from here on
        assert settled(running) == NOTHING
        yield running


@pytest.fixture(autouse=True)
def no_defects() -> Iterator[None]:
    yield
    DEFECTS.set("")


def reported(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.exc_info and record.levelno >= logging.ERROR]


def booked_at_its_bound(found: list[Any]) -> None:
    (receipt,) = found
    assert (receipt.status, receipt.error, receipt.attempts[0].kind) == ("cancelled", "lost", "lost")
    assert receipt.cost_nanos == receipt.bound_nanos > 0


def internal(seen: Seen) -> bool:
    """A whole answer in the envelope of its surface that says that the fault is ours."""
    error = seen.json()["error"]
    assert isinstance(error, dict)
    return (seen.status, seen.end) == (500, "whole") and error["message"] == "internal error" and "x-request-id" in seen.headers


@FAST
@pytest.mark.parametrize(("place", "stream"), [("skim", False), ("feed", True)])
def test_a_dialect_that_trips_before_anything_was_written(
    rig: Rig, new_receipts: NewReceipts, caplog: pytest.LogCaptureFixture, way: str, place: str, stream: bool
) -> None:
    DEFECTS.set(place)
    seen = ask(rig, WAYS[way], stream=stream)
    assert DEFECTS.tripped == 1 and internal(seen)
    booked_at_its_bound(new_receipts())
    assert reported(caplog) == [BROKE]


@FAST
@pytest.mark.parametrize("after", [1, 3])
def test_a_dialect_that_trips_within_a_stream(
    rig: Rig, new_receipts: NewReceipts, caplog: pytest.LogCaptureFixture, way: str, after: int
) -> None:
    rig.sim.set_faults((SLOWLY,))
    DEFECTS.set("feed", after)
    seen = ask(rig, WAYS[way], stream=True)
    assert (seen.status, seen.end, seen.failed_in_the_stream) == (200, "whole", True)
    booked_at_its_bound(new_receipts())
    assert reported(caplog) == [BROKE]


@FAST
def test_a_dialect_that_trips_over_a_stream_that_is_complete(
    rig: Rig, new_receipts: NewReceipts, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    DEFECTS.set("response")
    seen = ask(rig, WAYS[way], stream=True)
    assert seen.complete and b"internal" not in seen.body
    booked_at_its_bound(new_receipts())
    assert reported(caplog) == [BROKE]


@FAST
def test_a_dialect_that_trips_when_the_client_has_left(
    rig: Rig, new_receipts: NewReceipts, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    rig.sim.set_faults((Rule(Stall(30.0, events=3)),))
    DEFECTS.set("response")
    with begun(rig, WAYS[way]) as wire:
        assert wire.socket.recv(100)
    assert wait_for(lambda: DEFECTS.tripped > 0)
    booked_at_its_bound(new_receipts())
    assert reported(caplog) == [BROKE]


@pytest.mark.parametrize("after", [0, 3])
def test_a_dialect_that_trips_on_the_long_way(rig: Rig, new_receipts: NewReceipts, caplog: pytest.LogCaptureFixture, after: int) -> None:
    rig.sim.set_faults((SLOWLY,))
    DEFECTS.set("feed", after)
    seen = ask(rig, WAYS["endpoint"], stream=True)
    assert seen.failed_in_the_stream and seen.end == "whole" if after else internal(seen)
    (receipt,) = new_receipts()
    assert (receipt.status, receipt.usage.source) == ("error", "estimated")
    assert reported(caplog) == ["an endpoint failed"]


class Once:
    """In the place of a method: fails once, after it went well `after` times."""

    def __init__(self, method: Callable[..., Any], error: Exception, after: int = 0) -> None:
        self.method = method
        self.error = error
        self.after = after
        self.calls = 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        if self.calls == self.after + 1:
            raise self.error
        return self.method(*arguments, **named)


class Failing:
    """In the place of one of several methods: fails with what is left of `failures`, which they share."""

    def __init__(self, method: Callable[..., Any], failures: Iterator[Exception]) -> None:
        self.method = method
        self.failures = failures

    def __call__(self, *arguments: Any) -> Any:
        for failure in self.failures:
            raise failure
        return self.method(*arguments)


@FAST
@SHAPES
@pytest.mark.parametrize("error", [StoreError("the ledger is closed"), ValueError("mmap closed or invalid")])
def test_a_ledger_that_does_not_take_a_receipt(
    rig: Rig,
    new_receipts: NewReceipts,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    way: str,
    stream: bool,
    error: Any,
) -> None:
    assert ask(rig, WAYS[way], stream=stream).complete  # from here on there is a template
    new_receipts()
    failures = iter([error])
    for name in ("close", "close_one"):
        monkeypatch.setattr(rig.spending, name, Failing(getattr(rig.spending, name), failures))
    seen = ask(rig, WAYS[way], stream=stream)
    assert next(failures, None) is None
    assert seen.complete if stream else internal(seen)
    booked_at_its_bound(new_receipts())
    assert reported(caplog) == [BROKE]


@FAST
@SHAPES
def test_a_ledger_that_takes_nothing_at_all(
    tmp_path: Path, once: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str, stream: bool
) -> None:
    """What could not be booked lies in the journal, and is booked at its bound by whoever comes next."""

    def closed(*arguments: Any) -> None:
        raise StoreError("the ledger is closed")

    with running_gateway(tmp_path, settings=SimSettings(seed=7), gate=once) as rig:
        ask(rig, WAYS[way])
        assert settled(rig) == NOTHING
        monkeypatch.setattr(rig.spending, "close", closed)
        monkeypatch.setattr(rig.spending, "close_one", closed)
        seen = ask(rig, WAYS[way], stream=stream)
        assert seen.complete if stream else internal(seen)
        assert settled(rig, 0.2) == replace(NOTHING, holds=1, slots=1)
        assert reported(caplog) == [BROKE, "nor could that be put in order"]
    with running_gateway(tmp_path, settings=SimSettings(seed=7), gate=once) as rig:
        booked_at_its_bound(rig.receipts(2)[1:])


@FAST
@SHAPES
@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [(Limiter, "admit", 0), (Limiter, "admit", 1), (Router, "begin", 0), (Prepared, "head", 0), (Spending, "sent", 0)],
)
def test_what_fails_before_anything_was_sent_goes_the_long_way(
    rig: Rig,
    new_receipts: NewReceipts,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    way: str,
    stream: bool,
    owner: type,
    name: str,
    after: int,
) -> None:
    once = Once(getattr(owner, name), ZeroDivisionError(name), after)
    monkeypatch.setattr(owner, name, lambda *arguments, **named: once(*arguments, **named))
    assert ask(rig, WAYS[way], stream=stream).complete
    (receipt,) = new_receipts()
    assert (receipt.status, receipt.usage.source, len(receipt.attempts)) == ("ok", "provider", 1)
    assert reported(caplog) == ["a request could not be served the short way"]


@FAST
@SHAPES
@pytest.mark.parametrize("name", ["launch", "launch_later"])
def test_a_call_that_cannot_be_made_at_all(
    rig: Rig,
    new_receipts: NewReceipts,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    way: str,
    stream: bool,
    name: str,
) -> None:
    if name == "launch_later":
        monkeypatch.setattr(rig.http, "launch", lambda *arguments: False)
    monkeypatch.setattr(rig.http, name, Once(getattr(rig.http, name), ZeroDivisionError(name)))
    before = len(rig.sim.requests)
    assert internal(ask(rig, WAYS[way], stream=stream))
    assert (new_receipts(), len(rig.sim.requests)) == ([], before)
    assert reported(caplog) == [BROKE]


@FAST
@SHAPES
def test_what_fails_while_another_is_looked_for(
    rig: Rig, new_receipts: NewReceipts, monkeypatch: pytest.MonkeyPatch, way: str, stream: bool
) -> None:
    """A visit that failed, and an errand that cannot be gone on with."""
    rig.sim.set_faults((Rule(Status("server")),))
    monkeypatch.setattr(Chat, "execution", Once(Chat.execution, ZeroDivisionError("execution")))
    assert internal(ask(rig, WAYS[way], stream=stream))
    booked_at_its_bound(new_receipts())


@FAST
@SHAPES
def test_a_server_that_ends_says_so(tmp_path: Path, once: Gate, way: str, stream: bool) -> None:
    """D15: streams get last words, whole requests an answer; neither is asked for nothing."""
    with running_gateway(tmp_path, settings=SimSettings(seed=7), gate=once, limits=ServerLimits(drain=0.1)) as rig:
        ask(rig, WAYS[way])
        rig.sim.set_faults((Rule(Delay(0.9)),))
        wire = begun(rig, WAYS[way], stream=stream)
        assert wait_for(lambda: len(rig.sim.requests) > 1)
    with wire:
        rest = wire.read_to_end()
    assert rest.startswith(b"HTTP/1.1 503 ") and b"server_stopping" in rest and b"retry-after: 1\r\n" in rest
