#!/usr/bin/env python3
"""What the gateway adds to the latency of a call: requests at a fixed rate, straight to the upstream and through the gateway, in turns.

    bench/latency.py                    five turns of 3 s at 300 requests/s
    bench/latency.py --rate 1000
    bench/latency.py --smoke            short

Open loop: latency counts from the instant a request was due, so that queueing is not hidden. The gateway has one core, upstream and load
generator the other. Figures are milliseconds, medians over the turns, of the whole answer; and the gateway's resident memory afterwards.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gateway import CASES, COLUMNS, CORES, HERE, Bench, resident, running

GOAL_MS = 0.5
GOAL_MB = 60.0
QUANTILES = ("p50", "p90", "p99")


def turn(bench: Bench, port: int, headers: list[str], rate: float) -> dict[str, float]:
    """One turn of ordinary requests. Raises `SystemExit` when any failed."""
    seen: dict[str, Any] = dict(bench.load(port, CASES[0], headers, rate=rate))
    failed = sum(int(seen[name]) for name in ("err_status", "err_body", "err_conn", "err_timeout"))
    if failed or not seen["ok"]:
        raise SystemExit(f"{failed} requests failed: {seen['first_error']}")
    return {name: float(seen["lat_us"][name]) / 1e3 for name in QUANTILES}


def medians(turns: list[dict[str, float]]) -> dict[str, float]:
    """The median of each quantile."""
    return {name: statistics.median(each[name] for each in turns) for name in QUANTILES}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    if shutil.which("cc") is None or shutil.which("taskset") is None or len(CORES) < 2:
        print("skipped: needs a C compiler, taskset and two cores")
        return 0
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), 0.5 if options.smoke else options.seconds)
        with running([f"{folder}/upstream", str(bench.upstream)], CORES[-1], Path(folder) / "upstream.log"):
            time.sleep(0.2)
            for column in COLUMNS:
                with bench.headgate(column) as (process, port, headers):
                    direct, through = [], []
                    for _ in range(1 if options.smoke else options.turns):
                        direct.append(turn(bench, bench.upstream, [], options.rate))
                        through.append(turn(bench, port, headers, options.rate))
                    plain, ours = medians(direct), medians(through)
                    added = {f"added_{name}": round(ours[name] - plain[name], 3) for name in QUANTILES}
                    figures[column] = {**added, "direct_p50": round(plain["p50"], 3), "rss_mb": round(resident(process.pid), 1)}
    for column, row in figures.items():
        print(f"{column:10}" + "  ".join(f"{name} {value}" for name, value in row.items()))
    (HERE / "out").mkdir(exist_ok=True)
    (HERE / "out" / "latency.json").write_text(json.dumps({"rate": options.rate, "columns": figures}, indent=1) + "\n")
    print(f"goals: added_p50 at most {GOAL_MS} ms, rss_mb at most {GOAL_MB}; on a machine that does nothing else")
    return 0


if __name__ == "__main__":
    sys.exit(main())
