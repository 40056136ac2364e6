"""What holds for every test: no skipping of services where they are required, laws that do not depend on how busy the machine is, and
figures of the long sweeps as JSON."""

from __future__ import annotations

import json
import os
import platform
import secrets
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from headgate.config import Secret

PROOFS = Path(__file__).resolve().parents[1] / "bench" / "out" / "proofs.json"

SERVICES = {
    "postgresql": ("HEADGATE_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/test"),
    "redis": ("HEADGATE_TEST_REDIS", "redis://127.0.0.1:6379"),
}
"""Real services that tests marked `service` use: the variable that says where one is, and where it is looked for otherwise."""

settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

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


@pytest.fixture(scope="session")
def service_url() -> Callable[[str], str]:
    """Gives the URL of a service by name; the test is skipped when nobody listens there."""

    def find(name: str) -> str:
        variable, usual = SERVICES[name]
        url = os.environ.get(variable, usual)
        parts = urlsplit(url)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0), timeout=2).close()
        except OSError as error:
            pytest.skip(f"{name} is not reachable at {parts.hostname}:{parts.port} ({error}); {variable} says where it is")
        return url

    return find


@pytest.fixture
def postgres_url(service_url: Callable[[str], str]) -> Iterator[Secret]:
    """The URL of a PostgreSQL schema that no other test uses, dropped afterwards. For tests marked `service`."""
    server = service_url("postgresql")
    schema = f"test_{secrets.token_hex(6)}"
    yield Secret(f"{server}?schema={schema}")
    with closing(psycopg.connect(server, autocommit=True)) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
