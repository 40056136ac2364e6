#!/usr/bin/env python3
"""What a run costs, from the command to its last result: CPU, memory, bytes and time, against a provider that is free.

    bench/runs.py                          # every kind of run at 20,000 units; minutes
    bench/runs.py --scale                  # 1,000,000 units x 2 steps and 100,000 x 5, as batches; half an hour
    bench/runs.py --only realtime          # cases whose name begins so
    bench/runs.py --smoke                  # a few hundred units, seconds; nothing is judged

CPU is that of ``headgate run`` and the process in which it renders templates (`render` of it), both user and system; the provider is a
process of its own and not counted. *loop* is a bare asyncio loop over the same HTTP client with nothing written down: the limit. *manifest*
is what the design figures of Octobatch's state file say for as many chunks: one JSON file, written whole at every change. `status` is
asked from another process while the run goes on; `resume` is the time from the command to the first call after ``kill -9``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop
from runs_measure import SCHEMA, Case, Taken, measure, stub
from runs_stub import ANSWER

from headgate.batch.answers import Extracted, extract_json
from headgate.batch.expressions import CompiledStep, compile_expression, compile_named, run_expression_step
from headgate.batch.pipeline import Rules
from headgate.batch.schemas import CompiledSchema
from headgate.batch.validate import CompiledRules, StepValidator
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import TransportSettings, parse_origin
from headgate.wire.http import Send

OUT = Path(__file__).resolve().parent / "out"
WALK = {
    "init": {"position": "start_position", "path": "[start_position]", "steps_taken": "0"},
    "turn": {
        "direction": "random.choice([-1, 1])",
        "position": "position + direction",
        "path": "path + [position]",
        "steps_taken": "steps_taken + 1",
    },
    "until": "position <= 0 or position >= 10",
}
"""The walk of the demo (OCT-190)."""
GOALS = {"rss_peak": 300.0, "status_ms": 50.0, "resume_seconds": 5.0}


def cases(units: int) -> list[Case]:
    """One run of each kind."""
    return [
        Case(name="expression", steps=("expression",), units=units),
        Case(name="realtime", steps=("llm",), units=units, concurrency=256, kill_at=0.3),
        Case(name="realtime 200 ms", steps=("llm",), units=5 * units, seconds=0.2, concurrency=2000),
        Case(name="realtime 1 s", steps=("llm",), units=2 * units, seconds=1.0, concurrency=2000),
        Case(name="batch", steps=("llm",), units=units, mode="batch", kill_at=0.3),
        Case(name="batch x 2", steps=("llm", "llm"), units=units, mode="batch"),
        Case(name="small batches", steps=("llm",), units=units, mode="batch", chunk=100),
    ]


def scale(units: int) -> list[Case]:
    """The large ones."""
    return [
        Case(name="batch 1000k x 2", steps=("llm", "llm"), units=units, mode="batch", chunk=5000, kill_at=0.2),
        Case(name="batch 100k x 5", steps=("llm",) * 5, units=units // 10, mode="batch", chunk=1000, kill_at=0.2),
    ]


async def loop_limit(url: str, count: int, width: int) -> dict[str, float]:
    """A bare loop over our client: calls a second and CPU for each, nothing rendered, judged or written."""
    origin = parse_origin(f"{url}/openai/v1", allow_private=True)
    body = json.dumps({"model": "sim-small", "messages": [{"role": "user", "content": "river stone lamp " * 60}]}).encode()
    send = Send("POST", "/chat/completions", body, (("content-type", "application/json"), ("authorization", "Bearer sim-key")))
    left = count
    async with HttpClient(TransportSettings(max_connections=width, max_idle=width)) as client:

        async def caller() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                assert (await client.request(origin, send)).ok

        cpu, start = time.process_time(), time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(width)))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"units_per_second": round(count / seconds), "cpu_us": round(cpu / count * 1e6, 1)}


def manifest(chunks: int, rounds: int) -> dict[str, float]:
    """A state file rewritten whole, as for every change of a chunk: milliseconds and bytes of one save."""
    entry = {"batch_id": "batch_6a1", "provider_status": "in_progress", "attempts": 1, "retries": 0, "state": "analyze_SUBMITTED"}
    entry |= {"items": 20, "valid": 18, "failed": 2, "input_tokens": 51234, "output_tokens": 12345, "submitted_at": "2026-01-01T00:00:00Z"}
    state = {"pipeline": "x" * 4000, "chunks": {f"chunk_{n:04d}": entry | {"why": "none " * 16} for n in range(chunks)}}
    times, size = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            start = time.process_time()
            draft = Path(folder) / "manifest.tmp"
            with draft.open("w", encoding="utf-8") as file:
                json.dump(state, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            size = draft.stat().st_size
            draft.replace(Path(folder) / "manifest.json")
            times.append(time.process_time() - start)
    return {"chunks": chunks, "save_cpu_ms": round(statistics.median(times) * 1e3, 1), "save_bytes": size}


def timed(action: Callable[[], object], count: int, rounds: int = 5) -> float:
    """CPU microseconds of one call, the median over rounds."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(count):
            action()
        found.append((time.process_time() - start) / count * 1e6)
    return round(statistics.median(found), 2)


def answers(count: int) -> dict[str, float]:
    """What an answer costs to read: JSON out of plain and fenced text, then the schema and rules."""
    validator = StepValidator(CompiledSchema(SCHEMA, "bench"), CompiledRules(Rules(required=("label",), ranges={"score": (0.0, 10.0)})))
    fields = {"unit_id": "u1", "text": "river stone " * 80}
    found = extract_json(ANSWER)
    assert isinstance(found, Extracted)
    fenced = f"Here it is:\n```json\n{ANSWER}\n```\nDone."
    return {
        "extract_us": timed(lambda: extract_json(ANSWER), count),
        "extract_fenced_us": timed(lambda: extract_json(fenced), count),
        "validate_us": timed(lambda: validator.validate(found.value, fields), count),
    }


def walks(count: int, asteval_python: str | None) -> dict[str, float]:
    """CPU microseconds of a turn of the demo's walk here and, where it is installed, with asteval."""
    step = CompiledStep(
        name="walk",
        init=compile_named(WALK["init"].items()),
        expressions=compile_named(WALK["turn"].items()),
        loop_until=compile_expression(WALK["until"], name="until"),
    )
    turns, start = 0, time.process_time()
    for seed in range(count):
        values = run_expression_step(step, {"start_position": 5}, seed)
        turns += values.iterations  # type: ignore[union-attr]
    ours = (time.process_time() - start) / turns * 1e6
    result = {"turn_us": round(ours, 2)}
    command = [asteval_python or sys.executable, str(Path(__file__).with_name("runs_asteval.py")), str(max(5, count // 40))]
    theirs = subprocess.run(command, input=json.dumps(WALK), capture_output=True, text=True, check=False)
    if theirs.returncode == 0:
        result |= {"asteval_turn_us": float(theirs.stdout), "ratio": round(float(theirs.stdout) / ours, 1)}
    return result


def limits(smoke: bool) -> dict[str, dict[str, float]]:
    """The bare loop without latency, and with 200 ms and 2,000 calls in flight."""
    with stub(0.0) as url:
        quick = uvloop.run(loop_limit(url, 500 if smoke else 20_000, 64))
    with stub(0.2) as url:
        wide = uvloop.run(loop_limit(url, 500 if smoke else 50_000, 100 if smoke else 2000))
    return {"loop": quick, "loop 200 ms": wide}


def show(row: Taken) -> None:
    """Print what a run took."""
    names = [name for name in Taken.__struct_fields__ if name not in ("name", "units", "steps")]
    print(f"{row.name}: {row.units:,} units x {row.steps}")
    print("   " + "  ".join(f"{name.replace('_', ' ')} {_shown(getattr(row, name))}" for name in names))


def _shown(value: float | None) -> str:
    return "—" if value is None else f"{value:,}"


def main() -> int:
    """Run the benchmark; exit status 1 when a goal is missed by a large run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few hundred units: checks that it runs")
    parser.add_argument("--scale", action="store_true", help="the large runs instead of the usual ones")
    parser.add_argument("--only", default="", metavar="NAME", help="cases whose name begins so")
    parser.add_argument("--units", type=int, metavar="N", help="units of a case")
    parser.add_argument("--scratch", type=Path, help="where runs are made; a folder of the system's by default")
    parser.add_argument("--asteval-python", metavar="PATH", help="an interpreter that has asteval")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    units = options.units or (300 if options.smoke else 1_000_000 if options.scale else 20_000)
    wanted = [case for case in (scale if options.scale else cases)(units) if case.name.startswith(options.only)]
    rows: list[Taken] = []
    with tempfile.TemporaryDirectory(prefix="headgate-runs-", dir=options.scratch) as folder:
        for case in wanted:
            rows.append(measure(case, Path(folder), whole=not options.smoke))
            show(rows[-1])
    result: dict[str, object] = {"runs": [msgspec.to_builtins(row) for row in rows]}
    if not options.only and not options.scale:
        result |= limits(options.smoke)
        result["manifest"] = manifest(5000, 3)
        result["answers"] = answers(200 if options.smoke else 20_000)
        result["walk"] = walks(40 if options.smoke else 2000, options.asteval_python)
    for name, values in result.items():
        if name != "runs":
            print(f"{name:<12}", values)
    missed = [f"{row.name}: {goal}" for row in rows for goal, most in GOALS.items() if (getattr(row, goal) or 0.0) > most]
    OUT.mkdir(exist_ok=True)
    name = "runs-scale.json" if options.scale else "runs.json"
    (OUT / name).write_text(json.dumps({**result, "missed": missed}, indent=2) + "\n", encoding="utf-8")
    for miss in missed:
        print("missed:", miss)
    return 1 if missed and options.scale else 0


if __name__ == "__main__":
    raise SystemExit(main())
