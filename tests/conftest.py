"""What holds for every test: no skipping of services where they are required, and figures of the long sweeps as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Generator
from pathlib import Path

import pytest

PROOFS = Path(__file__).resolve().parents[1] / "bench" / "out" / "proofs.json"

proofs_key = pytest.StashKey[list[dict[str, object]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start with no results."""
    config.stash[proofs_key] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test that needs a service into a failure where services are required; note what a sweep found."""
    report = yield
    if report.skipped and os.environ.get("HEADGATE_REQUIRE_SERVICES") and item.get_closest_marker("service"):
        report.outcome = "failed"
        report.longrepr = f"HEADGATE_REQUIRE_SERVICES is set, but: {report.longrepr}"
    if report.when == "call" and item.get_closest_marker("proofs"):
        figures = dict(report.user_properties)
        result = {"test": item.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 3), "figures": figures}
        item.config.stash[proofs_key].append(result)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what the sweeps found (their `record_property` figures) for the notes."""
    results = session.config.stash[proofs_key]
    if results:
        PROOFS.parent.mkdir(parents=True, exist_ok=True)
        machine = {"python": platform.python_version(), "system": platform.system(), "cores": os.cpu_count()}
        PROOFS.write_text(json.dumps({"machine": machine, "proofs": results}, indent=2) + "\n", encoding="utf-8")
