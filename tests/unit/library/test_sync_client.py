"""The blocking client: one thread, one loop, anywhere."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from headgate.errors import ProviderError, UsageError
from headgate.ledger import Ledger
from headgate.library import Client, LibraryParts
from headgate.sim.faults import Delay, Match, Rule, Status
from headgate.sim.server import Simulator
from headgate.testing.simulators import wait_for

MakeParts = Callable[[], LibraryParts]
MODEL = "sim-anthropic/sim-small"
PATIENCE = 20.0
ASK = "Where is the sailor's harbour, and how far is it from there to the sea?"


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_complete_and_close(make_parts: MakeParts, ledger: Ledger) -> None:
    with Client(make_parts=make_parts) as client:
        answer = client.complete(MODEL, ASK, max_tokens=50)
        assert answer.text
        assert ledger.get(answer.receipt_id) is not None
        assert "headgate-client" in threads()
    assert "headgate-client" not in threads()
    client.close()
    with pytest.raises(UsageError, match="closed"):
        client.complete(MODEL, ASK)


def test_stream(make_parts: MakeParts) -> None:
    with Client(make_parts=make_parts) as client:
        whole = client.complete(MODEL, ASK)
        with client.stream(MODEL, ASK) as stream:
            pieces = list(stream)
        assert len(pieces) > 1
        assert "".join(pieces) == stream.completion.text == whole.text
        with client.stream(MODEL, ASK) as stream:
            assert len(list(stream.events())) > len(pieces)


def test_leaving_early(make_parts: MakeParts, sim: Simulator, ledger: Ledger) -> None:
    with Client(make_parts=make_parts) as client:
        with client.stream(MODEL, ASK) as stream:
            for _ in stream:
                break
        assert [receipt.status for receipt in ledger.list()] == ["cancelled"]
        assert wait_for(lambda: sim.requests[-1].client_gone is not None)
        assert client.complete(MODEL, ASK).text


def test_errors_arrive(make_parts: MakeParts, sim: Simulator) -> None:
    sim.set_faults((Rule(Status("server")),))
    with Client(make_parts=make_parts) as client, pytest.raises(ProviderError):
        client.complete(MODEL, ASK)


def test_from_several_threads(make_parts: MakeParts, ledger: Ledger) -> None:
    with Client(make_parts=make_parts) as client, ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda n: client.complete(MODEL, f"Question {n}").text, range(24)))
    assert len(texts) == len(ledger.list()) == 24


def test_inside_a_running_loop(make_parts: MakeParts) -> None:
    """As in a notebook."""

    async def cell() -> str:
        with Client(make_parts=make_parts) as client:
            return client.complete(MODEL, ASK).text

    assert asyncio.run(cell())


def test_a_fork_is_noticed(make_parts: MakeParts, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(make_parts=make_parts) as client:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(os, "getpid", lambda: -1)
            with pytest.raises(UsageError, match="forked"):
                client.complete(MODEL, ASK)
            client.close()
        assert client.complete(MODEL, ASK).text


def test_parts_that_cannot_be_made_leave_no_thread() -> None:
    def fail() -> LibraryParts:
        raise UsageError("no settings")

    with pytest.raises(UsageError, match="no settings"):
        Client(make_parts=fail)
    assert "headgate-client" not in threads()


class Ready(Client):
    """A client that needs no argument, as the package offers it."""

    make: MakeParts

    def __init__(self) -> None:
        super().__init__(make_parts=type(self).make)


def test_subclass_without_arguments(make_parts: MakeParts) -> None:
    Ready.make = staticmethod(make_parts)
    with Ready() as client:
        assert client.complete(MODEL, ASK).text


def test_closing_wakes_the_threads_that_wait(make_parts: MakeParts, sim: Simulator, ledger: Ledger) -> None:
    sim.set_faults((Rule(Delay(PATIENCE), Match(operation="chat")),))
    parts = make_parts()
    client = Client(parts)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(client.complete, MODEL, ASK) for _ in range(3)]
        assert wait_for(lambda: parts.http.in_flight == 3)
        client.close()
        for call in calls:
            with pytest.raises((UsageError, ProviderError), match="closed"):
                call.result(PATIENCE / 2)
    assert len(ledger.list()) == 3


def test_closing_wakes_a_thread_that_reads_a_stream(make_parts: MakeParts, ledger: Ledger) -> None:
    client = Client(make_parts=make_parts)
    begun = threading.Event()

    def read() -> None:
        with client.stream(MODEL, ASK) as stream:
            for _ in stream:
                begun.set()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert begun.wait(PATIENCE)
        client.close()
        with pytest.raises((UsageError, ProviderError), match="closed"):
            reading.result(PATIENCE / 2)
    assert [receipt.status for receipt in ledger.list()] == ["cancelled"]


def test_a_stream_that_is_still_open_at_the_end_is_booked(make_parts: MakeParts, ledger: Ledger) -> None:
    with Client(make_parts=make_parts) as client:
        stream = client.stream(MODEL, ASK).__enter__()
        assert next(iter(stream))
    assert [receipt.status for receipt in ledger.list()] == ["cancelled"]
