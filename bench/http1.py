"""What our HTTP client costs, against aiohttp's on the same stub; whether it buffers; whether cancelling leaks.

    python bench/http1.py                    CPU per request, stream latency, 2,000 cancels
    python bench/http1.py --cancels 10000    the full cancellation run
    python bench/http1.py --smoke --json     quick, for CI

CPU is the client process's own (user and system), the median over rounds that alternate between the clients.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import uvloop

from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin, TransportSettings, parse_origin
from headgate.wire.http import Send

BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"' + b"word " * 180 + b'"}]}'
HEADERS = (("content-type", "application/json"), ("authorization", "Bearer sk-0123456789abcdef0123456789abcdef"))
CONCURRENCY = 16
Call = Callable[[], Awaitable[int]]


async def burn(call: Call, count: int) -> float:
    """CPU microseconds per request, `CONCURRENCY` at a time."""
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            assert await call() > 900

    start = time.process_time()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return (time.process_time() - start) / count * 1e6


async def cpu(origin: Origin, count: int, rounds: int) -> dict[str, float]:
    """Median CPU per request of both clients, and their ratio."""
    send = Send("POST", "/json", BODY, HEADERS)
    async with HttpClient() as client, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as session:

        async def ours() -> int:
            return len((await client.request(origin, send)).body)

        async def theirs() -> int:
            async with session.post(f"{origin.url}/json", data=BODY, headers=HEADERS) as reply:
                return len(await reply.read())

        calls: dict[str, Call] = {"headgate": ours, "aiohttp": theirs}
        costs: dict[str, list[float]] = {name: [] for name in calls}
        for name in calls:
            await burn(calls[name], count // 10 + CONCURRENCY)
        for _ in range(rounds):
            for name, call in calls.items():
                gc.collect()
                costs[name].append(await burn(call, count))
    medians = {name: statistics.median(values) for name, values in costs.items()}
    return {f"{name}_us": round(value, 2) for name, value in medians.items()} | {
        "ratio": round(medians["aiohttp"] / medians["headgate"], 2)
    }


async def latency(origin: Origin, streams: int) -> dict[str, float]:
    """Milliseconds from the stub's write of an event to our reader; a buffered stream would show multiples of the 5 ms gap."""
    delays = []
    async with HttpClient() as client:
        for _ in range(streams):
            async with client.stream(origin, Send("POST", "/stream", BODY, HEADERS)) as reply:
                async for data in reply.body:
                    now = time.monotonic()
                    delays += [(now - float(event[6:])) * 1e3 for event in data.split(b"\n\n") if event]
    assert len(delays) == streams * 20
    return {
        "events": len(delays),
        "median_ms": round(statistics.median(delays), 3),
        "p99_ms": round(sorted(delays)[len(delays) * 99 // 100], 3),
    }


async def cancels(origin: Origin, count: int, seed: int) -> dict[str, int]:
    """Cancel `count` calls at random moments, then look for what they left behind."""
    rand = random.Random(seed)
    async with HttpClient() as client:  # the loop opens descriptors of its own at first use
        await client.request(origin, Send("POST", "/json", BODY, HEADERS))
    await asyncio.sleep(0.01)
    descriptors = len(os.listdir("/proc/self/fd"))
    cancelled = 0
    async with HttpClient(TransportSettings(max_connections=10)) as client:

        async def call(kind: int) -> None:
            if kind == 2:
                async with client.stream(origin, Send("POST", "/stream", BODY, HEADERS)) as reply:
                    async for _ in reply.body:
                        pass
            else:
                await client.request(origin, Send("POST", ("/json", "/slow")[kind], BODY, HEADERS))

        async def worker() -> None:
            nonlocal cancelled
            while cancelled < count:
                task = asyncio.create_task(call(rand.randrange(3)))
                for _ in range(rand.choice((0, 1, 2, 3, 5, 8))):
                    await asyncio.sleep(0)
                await asyncio.sleep(rand.random() * rand.choice((0, 0.002, 0.03)))
                cancelled += task.cancel()
                await asyncio.wait([task])

        await asyncio.gather(*(worker() for _ in range(14)))
        in_flight = client.in_flight
        healthy = await asyncio.gather(*(client.request(origin, Send("POST", "/json", BODY, HEADERS)) for _ in range(30)))
        still_open = client.open_connections
    await asyncio.sleep(0.01)
    return {
        "cancelled": cancelled,
        "healthy_after": sum(reply.ok for reply in healthy),
        "connections_after": still_open,
        "in_flight": in_flight,
        "tasks": len(asyncio.all_tasks()) - 1,
        "file_descriptors": len(os.listdir("/proc/self/fd")) - descriptors,
    }


def main() -> int:
    """Run what was asked for; exit status 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cancels", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="few requests: checks that it runs, the ratio is not judged")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    count, rounds = (300, 1) if options.smoke else (5000, 5)
    stub = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("http1_stub.py"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert stub.stdin is not None and stub.stdout is not None
    try:
        origin = parse_origin(f"http://127.0.0.1:{int(stub.stdout.readline())}", allow_private=True)
        costs = uvloop.run(cpu(origin, count, rounds))
        stream = uvloop.run(latency(origin, 3 if options.smoke else 20))
        leaks = uvloop.run(cancels(origin, 300 if options.smoke else options.cancels, options.seed))
    finally:
        stub.stdin.close()
        stub.wait(10)
    clean = leaks["healthy_after"] == 30 and leaks["connections_after"] <= 10
    clean = clean and not (leaks["in_flight"] or leaks["tasks"] or leaks["file_descriptors"])
    passed = clean and stream["median_ms"] < 5 and (options.smoke or costs["ratio"] >= 2)
    result: dict[str, dict[str, float] | dict[str, int]] = {"cpu": costs, "stream": stream, "cancels": leaks}
    out = Path(__file__).resolve().parent / "out"
    out.mkdir(exist_ok=True)
    (out / "http1.json").write_text(json.dumps({**result, "passed": passed}, indent=2) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps({**result, "passed": passed}))
    else:
        for name, values in result.items():
            print(f"{name:8}", "  ".join(f"{key} {value}" for key, value in values.items()))
        print("aiohttp's client costs", f"{costs['ratio']}x", "ours in CPU per request (goal: at least 2x)")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
