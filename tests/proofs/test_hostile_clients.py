"""Clients that mean harm, while others are served: thousands that never finish their headers, and bodies made to be expensive (D2, D4)."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections import Counter
from contextlib import suppress
from statistics import quantiles
from typing import TYPE_CHECKING

import pytest

from headgate.sim.settings import SimSettings
from headgate.testing.books import read_books
from headgate.testing.raw_http import KEY
from headgate.testing.served import open_sockets, resident_kib
from headgate.testing.simulators import wait_for
from headgate.testing.traffic import CHAT, Line, chat_body

if TYPE_CHECKING:
    from tests.proofs.conftest import MakeGate, MakeSimulator, Record

    from headgate.testing.served import Served

# Slow-loris


async def p99(gate: Served, count: int) -> float:
    """Milliseconds that all but one in a hundred requests take at most, one after the other."""
    async with Line(gate.port) as line:
        times = []
        for _ in range(count):
            began = time.perf_counter()
            assert (await line.ask(CHAT, chat_body())).status == 200
            times.append(time.perf_counter() - began)
    return quantiles(times, n=100)[98] * 1e3


async def loris(gate: Served, drip: float) -> float:
    """A client that sends its headers byte by byte. Seconds until it is closed."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nx-slow: ")
    with suppress(OSError):
        while True:
            try:
                async with asyncio.timeout(drip):
                    if not await reader.read(1024):
                        break
            except TimeoutError:
                writer.write(b"a")
    writer.close()
    return time.monotonic() - began


async def besieged(gate: Served, count: int, asked: int, drip: float) -> dict[str, float]:
    await p99(gate, asked // 4)
    alone = await p99(gate, asked)
    sieging = [asyncio.create_task(loris(gate, drip)) for _ in range(count)]
    await asyncio.sleep(drip)
    beside = await p99(gate, asked)
    assert not all(task.done() for task in sieging), "the measurement was beside them"
    closed = await asyncio.gather(*sieging)
    return {"slow": count, "p99_alone_ms": alone, "p99_beside_ms": beside, "ratio": beside / alone, "last_closed_s": max(closed)}


def test_slow_clients_are_closed_and_others_are_served(make_simulator: MakeSimulator, make_gate: MakeGate) -> None:
    gate = make_gate(make_simulator(SimSettings(seed=7)), settings="gateway: {header_timeout: 3}\n")
    idle = open_sockets(gate.pid)
    found = asyncio.run(besieged(gate, 200, 100, 0.5))
    assert found["last_closed_s"] < 3 + 2
    assert wait_for(lambda: open_sockets(gate.pid) <= idle + 4, 5)


@pytest.mark.proofs
def test_two_thousand_slow_clients(make_simulator: MakeSimulator, make_gate: MakeGate, record_property: Record) -> None:
    gate = make_gate(make_simulator(SimSettings(seed=7)))
    for name, value in asyncio.run(besieged(gate, 2_000, 1_500, 2.0)).items():
        record_property(name, round(value, 2))
        assert name != "last_closed_s" or value <= 12


# Bodies


def deep(dice: random.Random) -> bytes:
    depth = dice.choice((1_000, 100_000, 1_000_000))
    return b'{"model":"sim-openai/sim-small","messages":' + b"[" * depth + b"]" * depth + b"}"


def wide(dice: random.Random) -> bytes:
    fields = b",".join(b'"k%d":0' % n for n in range(dice.choice((1_000, 100_000))))
    return b'{"model":"sim-openai/sim-small",' + fields + b',"messages":[]}'


def long_number(dice: random.Random) -> bytes:
    field = dice.choice((b"max_tokens", b"max_completion_tokens", b"n"))
    number = b"9" * dice.choice((15, 18, 19, 40, 400, 500_000))
    return b'{"model":"sim-openai/sim-small","messages":[{"role":"user","content":"x"}],"%b":%b}' % (field, number)


def long_string(dice: random.Random) -> bytes:
    return b'{"model":"' + b"\\u0000" * dice.choice((10, 200_000)) + b'","messages":[]}'


def many_turns(dice: random.Random) -> bytes:
    turn = b'{"role":"user","content":"x"}'
    return b'{"model":"sim-openai/nobody","messages":[' + b",".join([turn] * dice.choice((10, 50_000))) + b"]}"


def twice(dice: random.Random) -> bytes:
    return b'{"model":"sim-openai/sim-small","model":"nobody/x","messages":[{"role":"user"}],"messages":"x"}'


def broken(dice: random.Random) -> bytes:
    whole = bytearray(chat_body("hello" * 50))
    for _ in range(dice.randrange(1, 9)):
        whole[dice.randrange(len(whole))] = dice.randrange(256)
    return bytes(whole[: dice.randrange(len(whole))])


def noise(dice: random.Random) -> bytes:
    return dice.randbytes(dice.choice((1, 100, 1 << 20)))


def bomb(dice: random.Random) -> bytes:
    return gzip.compress(b" " * (16 << 20))


BODIES = (deep, wide, long_number, long_string, many_turns, twice, broken, noise, bomb)
PATHS = (CHAT, "/v1/messages", "/v1/responses", "/v1/completions", "/v1/embeddings", "/v1beta/models/sim-small:generateContent")


async def attacked(gate: Served, count: int, seed: int) -> Counter[int]:
    """So many hostile bodies, eight at a time. Gives how often each status came."""
    found: Counter[int] = Counter()

    async def client(number: int) -> None:
        dice = random.Random(seed * 100 + number)
        async with Line(gate.port) as line:
            for _ in range(count // 8):
                make = dice.choice(BODIES)
                fields = {"content-encoding": "gzip"} if make is bomb and dice.random() < 0.8 else {}
                heard = await line.ask(dice.choice(PATHS), make(dice), **fields, x_api_key=KEY, anthropic_version="2023-06-01")
                found[heard.status] += 1

    await asyncio.gather(*(client(number) for number in range(8)))
    return found


CAPPED = """budgets:
  - {scope: global, limit_usd: "1000", window: total, action: block}
limits:
  - {subject: global, rpm: 1000000, tpm: 1000000000, concurrency: 500}
"""


def survived(gate: Served, count: int) -> dict[str, object]:
    asyncio.run(attacked(gate, 80, seed=0))
    before, most, pid = resident_kib(gate.pid), 0, gate.pid
    found: Counter[int] = Counter()
    for number in range(max(1, count // 200)):
        found += asyncio.run(attacked(gate, min(count, 200), seed=number + 1))
        most = max(most, resident_kib(gate.pid))
    assert all(status in range(200, 500) or status in (501,) for status in found), found
    assert most - before <= 64 << 10, f"{(most - before) >> 10} MiB more"
    assert gate.pid == pid
    assert asyncio.run(p99(gate, 100)) < 5_000
    assert gate.stop() == 0, gate.said
    assert "Traceback" not in gate.said
    assert read_books(gate.place).contradictions() == []
    return {"bodies": sum(found.values()), "rss_before_kib": before, "rss_most_kib": most, **{f"status_{s}": n for s, n in found.items()}}


@pytest.mark.parametrize("settings", ["", CAPPED], ids=["open", "capped"])
def test_hostile_bodies(make_simulator: MakeSimulator, make_gate: MakeGate, settings: str) -> None:
    survived(make_gate(make_simulator(SimSettings(seed=7)), settings=settings), 200)


@pytest.mark.proofs
def test_ten_thousand_hostile_bodies(make_simulator: MakeSimulator, make_gate: MakeGate, record_property: Record) -> None:
    for name, value in survived(make_gate(make_simulator(SimSettings(seed=7))), 10_000).items():
        record_property(name, value)
