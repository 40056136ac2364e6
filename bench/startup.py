#!/usr/bin/env python3
"""How long the first moments take: ``import headgate`` and ``headgate --help``, beside a bare interpreter.

    bench/startup.py             # best of 20 of each; exit 1 when a limit is passed
    bench/startup.py --smoke     # best of 3; limits are shown, not enforced

Times are milliseconds of a whole process, the best of N (noise only adds), with byte code compiled beforehand. Which modules are loaded
is a test, tests/architecture/test_startup.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

OUT = Path(__file__).resolve().parent / "out"
HEADGATE = str(Path(sysconfig.get_path("scripts")) / "headgate")

COMMANDS: dict[str, tuple[list[str], float | None]] = {
    "bare python": ([sys.executable, "-c", "pass"], None),
    "import headgate": ([sys.executable, "-c", "import headgate"], 150.0),
    "headgate --help": ([HEADGATE, "--help"], 200.0),
    "headgate ask --help": ([HEADGATE, "ask", "--help"], None),
}
"""Name → command, and the most milliseconds it may take."""


def once(command: Sequence[str]) -> float:
    """Milliseconds of one process. Raises `CalledProcessError` when it fails."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1000


def measure(rounds: int) -> dict[str, float]:
    """The best time of each command; rounds are interleaved, so that a slow moment hits all of them."""
    best = {name: once(command) for name, (command, _) in COMMANDS.items()}
    for _ in range(rounds):
        for name, (command, _) in COMMANDS.items():
            best[name] = min(best[name], once(command))
    return best


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="three rounds, no verdict")
    options = parser.parse_args()
    best = measure(3 if options.smoke else 20)
    bare = best["bare python"]
    rows = []
    print(f"{'':<22}{'ms':>8}{'x bare':>9}{'limit':>8}")
    for name, (_, limit) in COMMANDS.items():
        rows.append({"name": name, "ms": round(best[name], 1), "ratio": round(best[name] / bare, 2), "limit_ms": limit})
        verdict = "" if limit is None else f"{limit:8.0f}  {'ok' if best[name] <= limit else 'OVER'}"
        print(f"{name:<22}{best[name]:8.1f}{best[name] / bare:9.2f}{verdict}")
    OUT.mkdir(exist_ok=True)
    (OUT / "startup.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    over = any(limit is not None and best[name] > limit for name, (_, limit) in COMMANDS.items())
    return 1 if over and not options.smoke else 0


if __name__ == "__main__":
    sys.exit(main())
