#!/usr/bin/env python3
"""What admission costs: microseconds a request, for subjects that nothing limits and for two with three figures each.

    bench/limits.py             # best of 5; exit 1 when a limit is passed
    bench/limits.py --smoke     # best of 2; limits are shown, not enforced

One limiter, one process, no shares: the request path as it is while a process has been granted enough.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path

from headgate.ledger.limit_gates import Permit
from headgate.ledger.limit_headers import limit_headers
from headgate.ledger.limiter import Limiter
from headgate.ledger.limits import Limit

OUT = Path(__file__).resolve().parent / "out"
SUBJECTS = ("global", "key:a", "team:b", "model:openai/gpt-5", "provider:openai", "deployment:d")
PLENTY = 10**12
ROUND = 50_000

OPEN = Limiter([Limit(subject="key:other", rpm=1)])
LIMITED = Limiter([Limit(subject=name, rpm=PLENTY, tpm=PLENTY, concurrency=PLENTY) for name in ("key:*", "provider:*")])
FULL = Limiter([Limit(subject="key:a", rpm=0)])


def admit(limiter: Limiter) -> None:
    """Admission alone."""
    limiter.admit(SUBJECTS, 1, 100, 100, 1.0)


def whole() -> None:
    """Admission, settlement and release."""
    permit = LIMITED.admit(SUBJECTS, 1, 100, 100, 1.0)
    assert isinstance(permit, Permit)
    permit.settle(90, 20)
    permit.release()


CASES: dict[str, tuple[Callable[[], object], float | None]] = {
    "admit, nothing limited": (lambda: admit(OPEN), 1.5),
    "admit, rpm+tpm+concurrency on 2": (lambda: admit(LIMITED), 4.0),
    "admit + settle + release": (whole, None),
    "fits (for the router)": (lambda: LIMITED.fits(SUBJECTS, 1, 100, 100, 1.0), None),
    "headroom + headers": (lambda: limit_headers("openai", LIMITED.headroom("key:a", 1.0), 1.0), None),
    "refusal with its numbers": (lambda: admit(FULL), None),
}
"""Name → what is timed, and the most microseconds it may take."""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two rounds, no verdict")
    options = parser.parse_args()
    rows = []
    print(f"{'':<34}{'µs':>7}{'limit':>7}")
    for name, (case, limit) in CASES.items():
        micros = min(timeit.repeat(case, timer=time.process_time, number=ROUND, repeat=2 if options.smoke else 5)) / ROUND * 1e6
        rows.append({"name": name, "us": round(micros, 2), "limit_us": limit})
        print(f"{name:<34}{micros:>7.2f}{'' if limit is None else limit:>7}")
    OUT.mkdir(exist_ok=True)
    (OUT / "limits.json").write_text(json.dumps({"python": sys.version.split()[0], "rows": rows}, indent=2) + "\n", encoding="utf-8")
    slow = [row for row in rows if row["limit_us"] is not None and row["us"] > row["limit_us"]]
    return 1 if slow and not options.smoke else 0


if __name__ == "__main__":
    sys.exit(main())
